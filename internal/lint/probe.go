package lint

import (
	"cmp"

	"gapless.dev/gapless/internal/lint/manifest"
)

// Handlers are the ways in which a probe can ask.
var Handlers = []string{"httpGet", "tcpSocket", "grpc", "exec"}

// Port is the number of a port that is written by its name or number; a name that the container does not have stays as it is.
func (c Container) Port(text string) string {
	for _, p := range c.Get("ports").Items() {
		if name := p.Get("name").String(); name != "" && name == text {
			return p.Get("containerPort").String()
		}
	}
	return text
}

// SameHandler reports whether two probes of the container ask the same question, however it is written.
func (c Container) SameHandler(a, b manifest.Value) bool {
	for _, handler := range Handlers {
		x, y := a.Get(handler), b.Get(handler)
		if !x.Exists() {
			continue
		}
		if handler == "exec" || !y.Exists() {
			return x.Same(y)
		}
		same := c.Port(x.Get("port").String()) == c.Port(y.Get("port").String()) && x.Get("httpHeaders").Same(y.Get("httpHeaders"))
		for key, def := range map[string]string{"path": "/", "scheme": "HTTP", "host": "", "service": ""} {
			same = same && cmp.Or(x.Get(key).String(), def) == cmp.Or(y.Get(key).String(), def)
		}
		return same
	}
	return false
}
