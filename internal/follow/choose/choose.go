package choose

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/Masterminds/semver/v3"
)

// A Tag of a repository, and the commit that it leads to.
type Tag struct {
	Name   string `json:"name"`
	Commit string `json:"commit"`
}

// Memory is what is remembered from one look to the next. It is saved before anything is started.
type Memory struct {
	// Started is the tag that was deployed last, whatever became of it. Nothing below its version starts by itself.
	Started *Tag `json:"started,omitempty"`
	// Version of Started, and Digest of its image where there is one.
	Version string `json:"version,omitempty"`
	Digest  string `json:"digest,omitempty"`
	// At is when it was started.
	At time.Time `json:"at,omitzero"`
	// Awaited is the tag that was chosen and is not ready to start: its image does not exist, or it is being built.
	Awaited *Tag `json:"awaited,omitempty"`
	// Yes is the tag, with its commit, that a person has said yes to.
	Yes *Tag `json:"yes,omitempty"`
}

// A Choice is what a look at the tags comes to.
type Choice struct {
	// Tag and Version are what is to be live. Of a question they are what a yes would start.
	Tag     Tag
	Version string
	Reason  Reason
	Message string
}

// Starts tells whether the tag is to be started now.
func (c Choice) Starts() bool { return c.Reason == Start }

// Asks tells whether a person has to say yes first.
func (c Choice) Asks() bool {
	return c.Reason == Moved || c.Reason == Downgrade || c.Reason == Ambiguous
}

type versioned struct {
	tag Tag
	v   *semver.Version
}

// Choose tells which tag is to be live. live is the version that is wanted now, by whomever; empty if it is not known. The order of the
// tags does not matter.
func Choose(r Rule, tags []Tag, m Memory, live string) Choice {
	if err := r.Check(); err != nil {
		return Choice{Reason: BadRule, Message: err.Error()}
	}
	var counts [kinds]int
	var all []versioned
	for _, t := range tags {
		v, k := r.version(t.Name)
		counts[k]++
		if k == followed {
			all = append(all, versioned{t, v})
		}
	}
	slices.SortFunc(all, func(a, b versioned) int { return cmp.Or(b.v.Compare(a.v), cmp.Compare(a.tag.Name, b.tag.Name)) })
	if m.Yes != nil && (m.Started == nil || *m.Started != *m.Yes) {
		if i := slices.IndexFunc(all, func(o versioned) bool { return o.tag == *m.Yes }); i >= 0 {
			return start(all[i], "somebody said yes to "+all[i].tag.Name)
		}
	}
	if len(all) == 0 {
		return none(m, len(tags), counts)
	}
	best := all[0]
	last := lastStarted(m)
	// What came otherwise, by hand or before anything was followed, counts as well.
	v, err := semver.StrictNewVersion(live)
	byHand := err == nil && (last == nil || v.GreaterThan(last))
	if byHand {
		last = v
	}
	switch {
	case len(all) > 1 && all[1].v.Equal(best.v) && all[1].tag.Commit != best.tag.Commit && (last == nil || best.v.GreaterThan(last)):
		return ask(best, Ambiguous, "the tags %s (%s) and %s (%s) both say %s: take one of them away, or say yes to the right one",
			best.tag.Name, Short(best.tag.Commit), all[1].tag.Name, Short(all[1].tag.Commit), best.v)
	case last == nil || best.v.GreaterThan(last):
		if m.Awaited != nil && m.Awaited.Name == best.tag.Name && m.Awaited.Commit != best.tag.Commit {
			return ask(best, Moved, "the tag %s led to %s when it was chosen, and leads to %s now: a tag that moves is not taken without a yes",
				best.tag.Name, Short(m.Awaited.Commit), Short(best.tag.Commit))
		}
		return start(best, "the highest version that is followed is "+best.tag.Name)
	case byHand && best.v.Equal(last):
		return Choice{Tag: best.tag, Version: live, Reason: UpToDate, Message: live + " is live already"}
	case byHand:
		return ask(best, Downgrade, "%s is live and came by no tag, and the highest version that is followed is %s: going back is not done without a yes", live, best.tag.Name)
	case best.v.Equal(last):
		return same(all, best, m, live)
	}
	return lower(best, m, live)
}

// same is for the version that was started last: it must still be what it was.
func same(all []versioned, best versioned, m Memory, live string) Choice {
	for _, one := range all {
		if one.v.Equal(best.v) && one.tag == *m.Started {
			text := "%s (%s) is the highest version that is followed"
			if v, err := semver.StrictNewVersion(live); err == nil && v.LessThan(best.v) {
				text = "%s (%s) was started and did not stay: " + live + " is wanted. It is not tried again by itself; the next version is"
			}
			return Choice{Tag: one.tag, Version: one.v.String(), Reason: UpToDate, Message: fmt.Sprintf(text, one.tag.Name, Short(one.tag.Commit))}
		}
	}
	if best.tag.Name != m.Started.Name && best.tag.Commit == m.Started.Commit {
		return Choice{Tag: best.tag, Version: best.v.String(), Reason: UpToDate, Message: fmt.Sprintf("%s leads to the commit that was started as %s", best.tag.Name, m.Started.Name)}
	}
	return ask(best, Moved, "the tag %s leads to %s, and %s was started from %s: a tag that moves is not taken without a yes",
		best.tag.Name, Short(best.tag.Commit), m.Version, Short(m.Started.Commit))
}

// lower is for a repository whose highest version is below the one that was started last: its tag is gone.
func lower(best versioned, m Memory, live string) Choice {
	if best.v.String() == live {
		return Choice{Tag: best.tag, Version: live, Reason: UpToDate, Message: fmt.Sprintf("%s is live; %s was tried after it, and its tag is gone", best.tag.Name, m.Started.Name)}
	}
	return ask(best, Downgrade, "the tag %s that was started last is gone, and the highest that is left is %s: going back is not done without a yes",
		m.Started.Name, best.tag.Name)
}

func none(m Memory, n int, counts [kinds]int) Choice {
	var why []string
	for k := otherName; k < kinds; k++ {
		if counts[k] > 0 {
			why = append(why, fmt.Sprintf("%d %s", counts[k], kindWords[k]))
		}
	}
	text := "the repository has no tags yet"
	switch {
	case n == 1:
		text = "the one tag is not followed: " + strings.Join(why, ", ")
	case n > 1:
		text = fmt.Sprintf("none of the %d tags is followed: %s", n, strings.Join(why, ", "))
	}
	if m.Started != nil {
		text += fmt.Sprintf("; %s stays", m.Started.Name)
	}
	return Choice{Reason: NoTag, Message: text}
}

func start(one versioned, message string) Choice {
	return Choice{Tag: one.tag, Version: one.v.String(), Reason: Start, Message: message}
}

func ask(one versioned, reason Reason, format string, args ...any) Choice {
	return Choice{Tag: one.tag, Version: one.v.String(), Reason: reason, Message: fmt.Sprintf(format, args...)}
}

func lastStarted(m Memory) *semver.Version {
	if m.Started == nil {
		return nil
	}
	v, err := semver.StrictNewVersion(m.Version)
	if err != nil {
		return nil
	}
	return v
}

// Short is a commit as people write it.
func Short(commit string) string { return commit[:min(12, len(commit))] }
