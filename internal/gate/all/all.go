// Package all is the one visible map from what a user writes of a gate to what answers for it.
package all

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"gapless.dev/gapless/internal/gate"
	"gapless.dev/gapless/internal/gate/job"
	"gapless.dev/gapless/internal/gate/probe"
	"gapless.dev/gapless/internal/gate/prometheus"
	"gapless.dev/gapless/internal/gate/spec"
	"gapless.dev/gapless/internal/gate/webhook"
	"gapless.dev/gapless/internal/gate/window"
)

// Tools are what gates need of whoever asks them.
type Tools struct {
	// Keys is the folder that names of keys and tokens are looked up in. Empty: there are none.
	Keys string
	// Jobs runs jobs.
	Jobs job.Runner
}

// kinds in the order of the docs.
var kinds = map[string]func(spec.Gate, Tools) (gate.Gate, error){
	"probe":  func(s spec.Gate, _ Tools) (gate.Gate, error) { return probe.New(*s.Probe), nil },
	"window": func(s spec.Gate, _ Tools) (gate.Gate, error) { return window.New(*s.Window) },
	"job":    func(s spec.Gate, t Tools) (gate.Gate, error) { return job.New(*s.Job, t.Jobs), nil },
	"webhook": func(s spec.Gate, t Tools) (gate.Gate, error) {
		key, err := t.Key(s.Webhook.Key)
		return webhook.New(*s.Webhook, key), err
	},
	"prometheus": func(s spec.Gate, t Tools) (gate.Gate, error) {
		token, err := t.Key(s.Prometheus.Token)
		if err != nil {
			return nil, err
		}
		return prometheus.New(*s.Prometheus, string(token))
	},
}

// Make makes a gate of what the user wrote, defaults filled in.
func Make(s spec.Gate, t Tools) (gate.Gate, error) {
	build, known := kinds[s.Kind()]
	if !known {
		return nil, fmt.Errorf("there is no gate %q", s.Kind())
	}
	return build(s, t)
}

// Key reads a key by its name; no name is no key.
func (t Tools) Key(name string) ([]byte, error) {
	switch {
	case name == "":
		return nil, nil
	case t.Keys == "":
		return nil, fmt.Errorf("key %q: no folder of keys is given; start Gapless with --keys", name)
	case name != filepath.Base(name) || strings.HasPrefix(name, "."):
		return nil, fmt.Errorf("key %q: name a file, without a path", name)
	}
	text, err := os.ReadFile(filepath.Join(t.Keys, name))
	if err != nil {
		return nil, fmt.Errorf("key %q: %w", name, err)
	}
	return []byte(strings.TrimRight(string(text), "\r\n")), nil
}
