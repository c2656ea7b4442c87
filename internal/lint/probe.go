package lint

import (
	"cmp"

	"gapless.dev/gapless/internal/lint/manifest"
)

// handlers are the ways in which a probe can ask.
var handlers = []string{"httpGet", "tcpSocket", "grpc", "exec"}

// Port is the number of a port that is written by its name or number; a name that the container does not have stays as it is.
func (c Container) Port(text string) string {
	for _, p := range c.Get("ports").Items() {
		if name := p.Get("name").String(); name != "" && name == text {
			return p.Get("containerPort").String()
		}
	}
	return text
}

// HandlerOf is the way in which a probe asks, and its name; none does not exist.
func HandlerOf(probe manifest.Value) (name string, handler manifest.Value) {
	for _, name := range handlers {
		if h := probe.Get(name); h.Exists() {
			return name, h
		}
	}
	return "", manifest.Value{}
}

// SameHandler reports whether two probes of the container ask the same question, however it is written.
func (c Container) SameHandler(a, b manifest.Value) bool {
	name, x := HandlerOf(a)
	if name == "" {
		return false
	}
	y := b.Get(name)
	if name == "exec" || !y.Exists() {
		return x.Same(y)
	}
	same := c.Port(x.Get("port").String()) == c.Port(y.Get("port").String()) && x.Get("httpHeaders").Same(y.Get("httpHeaders"))
	for key, def := range map[string]string{"path": "/", "scheme": "HTTP", "host": "", "service": ""} {
		same = same && cmp.Or(x.Get(key).String(), def) == cmp.Or(y.Get(key).String(), def)
	}
	return same
}
