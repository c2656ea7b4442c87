package app

import (
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestWrite_IsReadAsTheSameApp: for all that Write speaks of.
func TestWrite_IsReadAsTheSameApp(t *testing.T) {
	files, _ := filepath.Glob("render/testdata/*.yaml")
	for _, name := range append(files, "testdata/good.yaml", "testdata/least.yaml") {
		f, err := Parse(name, read(t, name))
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range f.Apps {
			// What nobody who drafts a file knows.
			a.Config, a.Follow, a.Gates, a.Notify, a.After, a.Limits, a.TLS.Cert, a.TLS.Key, a.Route.Sticky = nil, nil, nil, nil, nil, Limits{}, "", "", ""
			for i := range a.Plan.Steps {
				a.Plan.Steps[i].Match, a.Plan.Steps[i].Mirror = nil, 0
			}
			for i := range a.Plan.Steps {
				a.Plan.Steps[i].Weight = max(1, a.Plan.Steps[i].Weight)
			}
			text := Write(Draft{App: a, Head: []string{"a draft"}, Open: []string{"one thing"}})
			again, err := Parse("gapless.yaml", text)
			if err != nil {
				t.Errorf("%s: %v\n%s", name, err, text)
				continue
			}
			got := again.Apps[0]
			got.Plan.Gates, a.Plan.Gates = nil, nil
			if a.Plan.Deadline == 0 { // never is not written
				got.Plan.Deadline = 0
			}
			if a.Plan.Strategy == "blue-green" { // nor that
				got.Plan = a.Plan
			}
			if d := cmp.Diff(a, got); d != "" {
				t.Errorf("%s (-want +got):\n%s\n%s", name, d, text)
			}
		}
	}
}
