package app

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// An app that names no readiness is ready when its first port accepts connections: a process that merely exists is not.
func health(o object, ports []Port) Health {
	v, _ := o.get("health")
	v.p = o.p
	h := v.object(healthShape)
	out := Health{Startup: h.positive("startup", 60*time.Second)}
	if len(ports) > 0 {
		out.Ready = timing(object{}, Check{TCP: true}, time.Second)
	}
	if f, ok := h.get("ready"); ok {
		out.Ready = check(f, ports, time.Second)
	}
	if f, ok := h.get("live"); ok {
		out.Live = check(f, ports, 10*time.Second)
	}
	if len(ports) > 0 {
		for _, c := range []*Check{&out.Ready, &out.Live} {
			if c.Port == "" && c.Set() && len(c.Exec) == 0 {
				c.Port = ports[0].Name
			}
		}
	}
	return out
}

// check reads "/path" or the long form.
func check(v value, ports []Port, period time.Duration) Check {
	if v.node.Kind == yaml.ScalarNode {
		s, _ := v.text()
		if !strings.HasPrefix(s, "/") {
			v.wrong("is not a path", "write a path such as /ready, or {tcp: true}, or {exec: [./check]}")
		}
		return timing(object{}, Check{Path: urlPath(v, s)}, period)
	}
	o := v.object(checkShape)
	headers, fields := o.texts("headers")
	c := Check{Headers: headers, Port: o.text("port", ""), Exec: o.words("exec")}
	ways := 0
	if f, ok := o.get("path"); ok {
		ways++
		c.Path, _ = f.text()
		c.Path = urlPath(f, c.Path)
	}
	if f, ok := o.get("tcp"); ok {
		c.TCP, _ = f.flag()
		if c.TCP {
			ways++
		}
	}
	if f, ok := o.get("exec"); ok {
		ways++
		if f.node.Kind == yaml.SequenceNode && len(c.Exec) == 0 {
			f.wrong("names no program", "write the program and its arguments as a list")
		}
	}
	if v.node.Kind == yaml.MappingNode && ways != 1 {
		v.wrong("must ask in exactly one way", "write one of path: /ready, tcp: true and exec: [./check]")
	}
	for name, field := range fields {
		if !headerName.MatchString(name) {
			field.wrong("is not the name of a header", "use letters, digits and -")
		}
	}
	if c.Port != "" && !slices.ContainsFunc(ports, func(p Port) bool { return p.Name == c.Port }) {
		o.fields["port"].wrong("is not a port of the app", portNames(ports))
	}
	return timing(o, c, period)
}

func timing(o object, c Check, period time.Duration) Check {
	c.InitialDelay = o.duration("initialDelay", 0)
	c.Period = o.positive("period", period)
	c.Timeout = o.positive("timeout", time.Second)
	c.FailureThreshold = o.whole("failureThreshold", 3)
	c.SuccessThreshold = o.whole("successThreshold", 1)
	return c
}

var (
	headerName = regexp.MustCompile(`^[A-Za-z0-9!#$%&'*+.^_|~-]+$`)
	pathText   = regexp.MustCompile(`^/[^\s#\x00-\x1f]*$`)
)

// urlPath checks a path of the service's own; it may carry a query.
func urlPath(v value, s string) string {
	if strings.HasPrefix(s, "/") && !pathText.MatchString(s) || s != "" && !strings.HasPrefix(s, "/") && v.node.Kind == yaml.ScalarNode && strings.HasSuffix(v.path, ".path") {
		v.wrong("is not a path", "begin with / and use no spaces: /ready")
	}
	return s
}

func portNames(ports []Port) string {
	var names []string
	for _, p := range ports {
		names = append(names, p.Name)
	}
	return "the app has: " + strings.Join(names, ", ")
}
