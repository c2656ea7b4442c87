package app

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	"gapless.dev/gapless/internal/gate/spec"
	"gapless.dev/gapless/internal/rollout"
	"go.yaml.in/yaml/v3"
)

// MaxReplicas is how many instances of an app one machine is asked for at most.
const MaxReplicas = 1000

func (p *parser) app(o object) App {
	a := App{
		Name:      p.name(o, "the name of the app, such as demo-api"),
		Image:     image(o),
		Command:   command(o),
		Dir:       o.text("dir", ""),
		Version:   version(o),
		Ports:     ports(o),
		TLS:       tls(o),
		Stop:      stop(o),
		Resources: resources(o),
		Config:    config(o),
		Limits:    limits(o),
		Account:   o.like("account", subdomain, "is not the name of a ServiceAccount", subdomainRule),
		After:     o.words("after"),
	}
	_, hasImage := o.get("image")
	_, hasCommand := o.get("command")
	if !hasImage && !hasCommand {
		o.missing("command", `write the program and its arguments as a list, command: ["./bin/api-{version}"], or image: for a cluster, or both`)
	}
	a.Replicas, a.Autoscale = replicas(o)
	a.Env, a.Secrets = env(o)
	a.Labels = labels(o)
	a.Kubernetes = kubernetes(o)
	a.Route = route(o, a.Name)
	a.Health = health(o, a.Ports)
	a.Metrics = metrics(o, a.Ports)
	a.Helpers = p.helpers(o, a.Ports)
	a.Follow = following(o)
	a.Plan = plan(o, a)
	a.Gates = gates(o, a.Plan)
	a.Plan.Gates = spec.Planned(a.Gates)
	a.Notify = notifications(o)
	placeholders(o, a)
	return a
}

var label = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

const labelRule = "use a to z, 0 to 9 and -, at most 63, beginning and ending with a letter or digit"

func (p *parser) name(o object, what string) string {
	v, ok := o.get("name")
	if !ok {
		o.missing("name", "write name: and "+what)
		return ""
	}
	s, ok := v.text()
	if ok && !label.MatchString(s) {
		v.wrong("is not a name", labelRule)
	}
	return s
}

func command(o object) []string {
	v, ok := o.get("command")
	if !ok {
		return nil
	}
	words := v.words()
	if v.node.Kind == yaml.SequenceNode && (len(v.node.Content) == 0 || len(words) > 0 && strings.TrimSpace(words[0]) == "") {
		v.wrong("names no program", `write the program and its arguments as a list: command: ["./bin/api-{version}"]`)
	}
	return words
}

var versionText = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+-]{0,62}$`)

// versionRule is what a version must look like: it becomes part of file names and of a header.
const versionRule = "use letters, digits and . _ + -, at most 63, beginning with a letter or digit"

// ValidVersion tells why a text cannot be a version, or nil.
func ValidVersion(s string) error {
	if versionText.MatchString(s) {
		return nil
	}
	return fmt.Errorf("version %q: %s", s, versionRule)
}

func version(o object) rollout.Version {
	v, ok := o.get("version")
	if !ok {
		o.missing("version", "write the version to run, such as version: 1.0.0")
		return ""
	}
	s, ok := v.text()
	if ok && !versionText.MatchString(s) {
		v.wrong("is not a version", versionRule)
	}
	return rollout.Version(s)
}

var portName = regexp.MustCompile(`^[a-z]([a-z0-9-]{0,13}[a-z0-9])?$`)

func ports(o object) []Port {
	v, ok := o.get("ports")
	if !ok {
		return []Port{{Name: "http", Public: 8080}}
	}
	d := v.dict()
	var all []Port
	taken := map[int]string{}
	for _, name := range d.names() {
		field := d.fields[name]
		if !portName.MatchString(name) {
			field.wrong("is not the name of a port", "use a to z, 0 to 9 and -, at most 15, beginning with a letter")
		}
		p, ok := port(field, name)
		if !ok {
			continue
		}
		if first, twice := taken[p.Public]; twice && p.Public != 0 {
			field.wrong("is also the port "+first, "give each its own")
		}
		taken[p.Public] = name
		all = append(all, p)
	}
	// The first one that clients use is the app's.
	slices.SortStableFunc(all, func(a, b Port) int { return inner(a) - inner(b) })
	return all
}

func inner(p Port) int {
	if p.Inner {
		return 1
	}
	return 0
}

func port(v value, name string) (Port, bool) {
	if v.node.Kind != yaml.MappingNode {
		n, ok := v.whole(portShape.bounds("port"))
		return Port{Name: name, Public: n}, ok
	}
	o := v.object(portShape)
	if _, ok := o.get("port"); !ok {
		if _, ok := o.get("target"); !ok {
			o.missing("port", "write the port that clients use, such as port: 80, or only target for one that they do not")
			return Port{}, false
		}
		return Port{Name: name, Target: o.whole("target", 0), Inner: true}, true
	}
	return Port{Name: name, Public: o.whole("port", 0), Target: o.whole("target", 0)}, true
}

func tls(o object) TLS {
	v, ok := o.get("tls")
	if !ok {
		return TLS{}
	}
	t := v.object(tlsShape)
	out := TLS{Cert: t.text("cert", ""), Key: t.text("key", ""), Secret: t.like("secret", subdomain, "is not the name of a Secret", subdomainRule)}
	if v.node.Kind != yaml.MappingNode || out.Secret != "" && out.Cert == "" && out.Key == "" {
		return out
	}
	if out.Cert == "" {
		t.missing("cert", "name the file with the certificate, in PEM form")
	}
	if out.Key == "" {
		t.missing("key", "name the file with the private key, in PEM form")
	}
	return out
}

func stop(o object) Stop {
	v, _ := o.get("stop")
	v.p = o.p
	s := v.object(stopShape)
	return Stop{Drain: s.duration("drain", 5*time.Second), Grace: s.positive("grace", 30*time.Second)}
}

func limits(o object) Limits {
	v, ok := o.get("limits")
	if !ok {
		return Limits{}
	}
	l := v.object(limitsShape)
	out := Limits{Timeout: l.duration("timeout", 0), InFlight: l.whole("inFlight", 0)}
	if f, ok := l.get("body"); ok {
		out.BodyBytes, _ = f.size()
	}
	if f, ok := l.get("header"); ok {
		n, ok := f.size()
		if ok && n > 16<<20 {
			f.wrong("is out of range", "write 16MiB or less")
			n = 0
		}
		out.HeaderBytes = int(n)
	}
	return out
}

func bind(o object, otherwise string) string {
	v, ok := o.get("bind")
	if !ok {
		return otherwise
	}
	s, ok := v.text()
	if !ok {
		return otherwise
	}
	if s == "localhost" {
		return otherwise
	}
	if _, err := netip.ParseAddr(s); err != nil {
		v.wrong("is not an address", "write an IP address: 127.0.0.1 for this machine only, 0.0.0.0 for everybody")
		return otherwise
	}
	return s
}

func (p *parser) helpers(o object, ports []Port) []Helper {
	v, ok := o.get("helpers")
	if !ok {
		return nil
	}
	var all []Helper
	first := map[string]int{}
	for _, item := range v.items() {
		h := item.object(helperShape)
		one := Helper{Name: p.name(h, "what the helper is called"), Image: image(h), Command: command(h), Resources: resources(h)}
		one.Env, one.Secrets = env(h)
		if _, hasImage := h.get("image"); !hasImage && h.fields["command"].node == nil {
			h.missing("command", "write the program and its arguments as a list, or image: for a cluster, or both")
		}
		if f, ok := h.get("ready"); ok {
			one.Ready = check(f, ports, time.Second)
		}
		if line, twice := first[one.Name]; twice && one.Name != "" {
			h.fields["name"].wrong(fmt.Sprintf("is also the helper of line %d", line), "give each its own name")
		}
		first[one.Name] = item.line
		all = append(all, one)
	}
	return all
}
