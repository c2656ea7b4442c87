package local

import (
	"slices"
	"strings"
	"testing"
	"time"

	"gapless.dev/gapless/internal/app"
	"gapless.dev/gapless/internal/rollout"
	"gapless.dev/kit"
)

func TestGrace_IsToldWheneverAServiceWithKitStartsWithIt(t *testing.T) {
	for _, c := range []struct {
		grace time.Duration
		told  string
	}{
		{time.Minute, "1m0s"}, {9 * time.Second, "9s"}, {6 * time.Second, "6s"}, {5 * time.Second, ""}, {200 * time.Millisecond, ""},
	} {
		s := &service{app: app.App{Name: "demo", Stop: app.Stop{Grace: c.grace}}}
		i := &instance{svc: s, version: "1.0.0", plate: template{Command: []string{"true"}}}
		told := ""
		for _, v := range i.command(i.plate.Command, nil, "").env {
			name, value, _ := strings.Cut(v, "=")
			if name == envGrace {
				told = value
			}
			if name == envGrace || name == envDrain {
				t.Setenv(name, value)
			}
		}
		if told != c.told {
			t.Errorf("of %v it is told %q, want %q", c.grace, told, c.told)
		}
		if code := kit.New().Run(ended()); code != 0 {
			t.Errorf("of %v a service with kit ends with %d", c.grace, code)
		}
		t.Setenv(envGrace, "")
	}
}

func TestGrace_ThatCannotBeToldIsSaid(t *testing.T) {
	for _, c := range []struct {
		grace time.Duration
		said  bool
	}{{6 * time.Second, false}, {5 * time.Second, true}} {
		var said lines
		a := testApp(t, "naive", rollout.Plan{Strategy: rollout.Rolling, MaxSurge: 1})
		a.Stop.Grace, a.Replicas = c.grace, 1
		h := up(t, Options{Log: &said, File: app.File{Apps: []app.App{a}}})
		h.stop()
		line := slices.ContainsFunc(strings.Split(said.String(), "\n"), func(l string) bool {
			return strings.Contains(l, "stop.grace is 5s") && strings.Contains(l, "raise grace to at least 6s")
		})
		if line != c.said {
			t.Errorf("grace %v, said:\n%s", c.grace, said.String())
		}
	}
}
