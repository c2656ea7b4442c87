package group

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestNext(t *testing.T) {
	m := func(name string, stage Stage, after ...string) Member {
		return Member{Name: name, Stage: stage, After: after}
	}
	unchanged := func(m Member) Member { m.Unchanged = true; return m }
	for name, c := range map[string]struct {
		all  []Member
		hold bool
		want []Step
	}{
		"the first":                  {[]Member{m("db", Waiting), m("api", Waiting, "db"), m("web", Waiting, "api")}, false, []Step{{"db", Begin}}},
		"beside each other":          {[]Member{m("a", Waiting), m("b", Waiting)}, false, []Step{{"a", Begin}, {"b", Begin}}},
		"it waits":                   {[]Member{m("db", Rolling), m("api", Waiting, "db")}, false, nil},
		"it goes on":                 {[]Member{m("db", Stands), m("api", Waiting, "db")}, false, []Step{{"api", Begin}}},
		"after one that is not here": {[]Member{m("api", Waiting, "gone")}, false, []Step{{"api", Begin}}},
		"all stand":                  {[]Member{m("db", Stands), m("api", Stands, "db")}, false, nil},
		"one fails: the rest is held back, what stood goes back": {[]Member{m("db", Stands), m("api", Failed, "db"), m("web", Waiting, "api")}, false, []Step{{"web", Hold}, {"db", Return}}},
		"one fails beside another that rolls":                    {[]Member{m("a", Rolling), m("b", Failed), m("c", Stands)}, false, []Step{{"a", Abort}}},
		"the last goes back first":                               {[]Member{m("db", Stands), m("api", Stands, "db"), m("web", Failed, "api")}, false, []Step{{"api", Return}}},
		"and then the one before":                                {[]Member{m("db", Stands), m("api", Returned, "db"), m("web", Failed, "api")}, false, []Step{{"db", Return}}},
		"not while it is on its way":                             {[]Member{m("db", Stands), m("api", Returning, "db"), m("web", Failed, "api")}, false, nil},
		"one that cannot go back holds nobody up":                {[]Member{m("db", Stands), m("api", Stuck, "db"), m("web", Failed, "api")}, false, []Step{{"db", Return}}},
		"what was as it is stays":                                {[]Member{unchanged(m("db", Stands)), m("api", Failed, "db")}, false, nil},
		"hold":                                                   {[]Member{m("db", Stands), m("api", Failed, "db"), m("web", Waiting, "api")}, true, []Step{{"web", Hold}}},
		"hold lets what rolls come to its end":                   {[]Member{m("a", Rolling), m("b", Failed)}, true, nil},
	} {
		if d := cmp.Diff(c.want, Next(c.all, c.hold)); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}

// TestNext_ComesToAnEndInOrder: whatever fails and whenever, no member begins before those that it comes after stand, none goes back before those
// that came after it, and in the end all stand or none that has changed.
func TestNext_ComesToAnEndInOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 6).Draw(t, "members")
		var all []Member
		for i := range n {
			one := Member{Name: fmt.Sprint(i), Stage: Waiting, Unchanged: rapid.IntRange(0, 4).Draw(t, "unchanged") == 0}
			for j := range i {
				if rapid.Bool().Draw(t, "after") {
					one.After = append(one.After, fmt.Sprint(j))
				}
			}
			all = append(all, one)
		}
		hold := rapid.Bool().Draw(t, "hold")
		at := func(name string) *Member {
			return &all[slices.IndexFunc(all, func(m Member) bool { return m.Name == name })]
		}
		for round := 0; !Over(all, hold); round++ {
			if round > 100 {
				t.Fatalf("it does not end: %+v", all)
			}
			for _, s := range Next(all, hold) {
				m := at(s.Name)
				switch s.Do {
				case Begin:
					for _, before := range m.After {
						if at(before).Stage != Stands {
							t.Fatalf("%s begins before %s stands", m.Name, before)
						}
					}
					m.Stage = Rolling
				case Hold:
					m.Stage = HeldBack
				case Abort:
					m.Stage = Failed
				case Return:
					for _, other := range all {
						if slices.Contains(other.After, m.Name) && !other.Unchanged && other.Stage == Stands {
							t.Fatalf("%s goes back before %s", m.Name, other.Name)
						}
					}
					m.Stage = Returning
				}
			}
			for i := range all {
				switch m := &all[i]; m.Stage {
				case Rolling:
					m.Stage = rapid.SampledFrom([]Stage{Rolling, Stands, Stands, Failed}).Draw(t, "ends as")
				case Returning:
					m.Stage = rapid.SampledFrom([]Stage{Returning, Returned, Returned, Stuck}).Draw(t, "returns as")
				}
			}
		}
		if hold || Verdict(all) == "" {
			return
		}
		for _, m := range all {
			if m.Stage == Stands && !m.Unchanged {
				t.Fatalf("%s still stands: %+v", m.Name, all)
			}
		}
	})
}
