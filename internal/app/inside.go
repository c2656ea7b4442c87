package app

import (
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

const subdomainRule = "use a to z, 0 to 9, - and ., at most 253, beginning and ending with a letter or digit"

// imageText is loose: whether the image exists is the registry's to say.
var imageText = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._/:@{}-]{0,510}$`)

func image(o object) Image {
	v, ok := o.get("image")
	if !ok {
		return Image{}
	}
	if v.node.Kind != yaml.MappingNode {
		return Image{Name: imageName(v)}
	}
	i := v.object(imageShape)
	name, ok := i.get("name")
	if !ok {
		i.missing("name", "write the image, such as name: registry.example.org/api:{version}")
		return Image{}
	}
	return Image{
		Name: imageName(name), Command: i.words("command"), Args: i.words("args"),
		Container: i.like("container", label, "is not a name", labelRule),
	}
}

func imageName(v value) string {
	s, ok := v.text()
	if ok && !imageText.MatchString(s) {
		v.wrong("is not the name of an image", "write for example registry.example.org/api:{version}")
	}
	return s
}

var labelKey = regexp.MustCompile(`^([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$`)

var labelValue = regexp.MustCompile(`^([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?$`)

func labels(o object) map[string]string {
	all, fields := o.texts("labels")
	for key, f := range fields {
		switch {
		case !labelKey.MatchString(key):
			f.wrong("is not the name of a label", "use letters, digits and - _ ., such as app, with a domain and / before it if need be")
		case !labelValue.MatchString(all[key]):
			f.wrong("is not the value of a label", "use letters, digits and - _ ., at most 63")
		}
	}
	if v, ok := o.get("labels"); ok && v.node.Kind == yaml.MappingNode && len(fields) == 0 {
		v.wrong("holds no label", "write labels: {app: NAME}, or leave it out")
	}
	return all
}

func kubernetes(o object) Kubernetes {
	v, ok := o.get("kubernetes")
	if !ok {
		return Kubernetes{}
	}
	f := v.object(kubernetesShape)
	fields := func(name string, taken map[string]string) map[string]any {
		one, ok := f.get(name)
		if !ok {
			return nil
		}
		for field, fix := range taken {
			if at, has := one.dict().fields[field]; has {
				at.node = nil
				at.wrong("has a field of its own", fix)
			}
		}
		var out map[string]any
		if err := one.node.Decode(&out); err != nil {
			one.wrong("is not a mapping with names", "write the fields as Kubernetes has them, each as name: value")
			return nil
		}
		return out
	}
	return Kubernetes{
		Pod: fields("pod", map[string]string{
			"containers": "write it as image", "serviceAccountName": "write it as account", "terminationGracePeriodSeconds": "write it as stop: {grace: 30s}",
		}),
		Container: fields("container", map[string]string{
			"name": "write it as image: {container: NAME}", "image": "write it as image", "command": "write it as image: {command: [...]}", "args": "write it as image: {args: [...]}",
		}),
	}
}

func replicas(o object) (int, Autoscale) {
	v, ok := o.get("replicas")
	if !ok || v.node.Kind != yaml.MappingNode {
		return o.whole("replicas", 1), Autoscale{}
	}
	r := v.object(replicasShape)
	a := Autoscale{Min: r.whole("min", 2), Max: r.whole("max", 0), CPU: r.whole("cpu", 70)}
	top, ok := r.get("max")
	switch {
	case !ok:
		r.missing("max", "write the most that may run, or a single number instead of the range")
	case a.Max != 0 && a.Max < a.Min:
		top.wrong("is less than min", "write min or more")
	}
	return a.Min, a
}

var envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// ours are the variables that Gapless gives.
var ours = map[string]string{
	"GAPLESS_VERSION": "take it out: it is always the version that runs",
	"GAPLESS_CONFIG":  "take it out: it is always the folder with the files of config",
}

func env(o object) (map[string]string, map[string]SecretKey) {
	v, ok := o.get("env")
	if !ok {
		return nil, nil
	}
	texts, secrets := map[string]string{}, map[string]SecretKey{}
	for key, f := range v.dict().fields {
		switch {
		case isNull(f.node):
			texts[key] = ""
		case f.node.Kind == yaml.MappingNode:
			secrets[key] = secret(f)
		default:
			texts[key], _ = f.text()
		}
		switch fix, given := ours[key]; {
		case !envName.MatchString(key):
			f.wrong("is not the name of a variable", "use letters, digits and _, not beginning with a digit")
		case key == "PORT" || strings.HasPrefix(key, "PORT_"):
			f.wrong("is given by Gapless: each process has a port of its own", "take it out, and give it to the program as {port} if it reads another name")
		case given:
			f.wrong("is given by Gapless", fix)
		}
	}
	if len(secrets) == 0 {
		secrets = nil
	}
	return texts, secrets
}

func secret(v value) SecretKey {
	o := v.object(secretShape)
	out := SecretKey{
		Secret: o.like("secret", subdomain, "is not the name of a Secret", subdomainRule),
		Key:    o.like("key", secretKey, "is not a key of a Secret", "use letters, digits and . _ -"),
	}
	for _, name := range []string{"secret", "key"} {
		if _, ok := o.get(name); !ok {
			o.missing(name, "write {secret: NAME, key: KEY}, or the value itself")
		}
	}
	return out
}

var fileText = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,200}$`)

func config(o object) []ConfigFile {
	v, ok := o.get("config")
	if !ok {
		return nil
	}
	var all []ConfigFile
	d := v.dict()
	for _, name := range d.names() {
		f := d.fields[name]
		one := ConfigFile{Name: name}
		if !fileText.MatchString(name) {
			f.wrong("is not the name of a file", "use letters, digits and . _ -, without folders")
		}
		if f.node.Kind == yaml.MappingNode {
			from := f.object(configShape)
			if one.File = from.text("file", ""); one.File == "" {
				from.missing("file", "name the file to read, seen from the folder of this file")
			}
		} else if !isNull(f.node) {
			one.Text, _ = f.text()
		}
		all = append(all, one)
	}
	return all
}

func metrics(o object, ports []Port) Metrics {
	v, ok := o.get("metrics")
	if !ok {
		return Metrics{}
	}
	m := Metrics{Path: "/metrics"}
	if v.node.Kind == yaml.MappingNode {
		f := v.object(metricsShape)
		if p, ok := f.get("path"); ok {
			s, _ := p.text()
			m.Path = urlPath(p, s)
		}
		m.Port = f.text("port", "")
		if m.Port != "" && !slices.ContainsFunc(ports, func(p Port) bool { return p.Name == m.Port }) {
			f.fields["port"].wrong("is not a port of the app", portNames(ports))
		}
	} else if s, ok := v.text(); ok {
		if !pathText.MatchString(s) {
			v.wrong("is not a path", "begin with / and use no spaces: /metrics")
		}
		m.Path = s
	}
	if m.Port == "" && len(ports) > 0 {
		m.Port = ports[0].Name
	}
	return m
}

func resources(o object) Resources {
	v, ok := o.get("resources")
	if !ok {
		return Resources{}
	}
	r := v.object(resourcesShape)
	amount := func(name, fix string) string {
		return r.like(name, quantity, "is not an amount", fix)
	}
	return Resources{
		CPU: amount("cpu", "write processors, such as 250m for a quarter, or 2"), CPULimit: amount("cpuLimit", "write processors, such as 500m or 2"),
		Memory: amount("memory", "write bytes with a unit, such as 256Mi"), MemoryLimit: amount("memoryLimit", "write bytes with a unit, such as 512Mi"),
	}
}
