// Package group tells in which order several apps are rolled, and what becomes of the rest when one is taken back. It is pure.
package group

import (
	"fmt"
	"slices"
	"strings"
)

// A Stage is where a member stands within one deploy of the group.
type Stage string

// The stages.
const (
	// Waiting: nothing was begun. It is left when all that it comes after stands, or the group has failed.
	Waiting Stage = "waiting"
	// Rolling: its rollout is under way. It is left when that is over.
	Rolling Stage = "rolling"
	// Stands: the version asked for is stable. It is left only if the group fails afterwards and its rollout is to be taken back.
	Stands Stage = "stands"
	// Failed: its rollout was taken back, or could not be begun.
	Failed Stage = "failed"
	// HeldBack: it was never begun, because another failed.
	HeldBack Stage = "held back"
	// Returning: it stood, and is on its way to the version before.
	Returning Stage = "going back"
	// Returned: it stood, and the version before is stable again.
	Returned Stage = "taken back"
	// Stuck: it should have been taken back, and could not be.
	Stuck Stage = "not taken back"
)

// A Member is one app of the group.
type Member struct {
	Name string
	// After are the members that have to stand before this one begins.
	After []string
	Stage Stage
	// Unchanged is set where there was nothing to do: it is not taken back.
	Unchanged bool
	// Why it failed, in words.
	Why string
}

// A Do is what is to be done with a member now.
type Do string

// What can be done.
const (
	Begin  Do = "begin"
	Abort  Do = "abort"
	Return Do = "return"
	Hold   Do = "hold"
)

// A Step is one thing to do.
type Step struct {
	Name string
	Do   Do
}

// Next tells what is to be done now. Nothing, while nothing is under way, is the end. hold leaves standing what stood before one failed.
func Next(all []Member, hold bool) []Step {
	var steps []Step
	if i := slices.IndexFunc(all, func(m Member) bool { return m.Stage == Failed }); i < 0 {
		for _, m := range all {
			if m.Stage == Waiting && stand(all, m.After) {
				steps = append(steps, Step{m.Name, Begin})
			}
		}
		return steps
	}
	rolling := false
	for _, m := range all {
		switch m.Stage {
		case Waiting:
			steps = append(steps, Step{m.Name, Hold})
		case Rolling:
			rolling = true
			if !hold {
				steps = append(steps, Step{m.Name, Abort})
			}
		}
	}
	if hold || rolling {
		return steps
	}
	// What others came after goes last: the reverse of the way here.
	for _, m := range all {
		if m.Stage == Stands && !m.Unchanged && !needed(all, m.Name) {
			steps = append(steps, Step{m.Name, Return})
		}
	}
	return steps
}

func stand(all []Member, names []string) bool {
	for _, name := range names {
		if i := slices.IndexFunc(all, func(m Member) bool { return m.Name == name }); i >= 0 && all[i].Stage != Stands {
			return false
		}
	}
	return true
}

// needed tells whether somebody who came after a member still stands or is on the way back.
func needed(all []Member, name string) bool {
	return slices.ContainsFunc(all, func(m Member) bool {
		return slices.Contains(m.After, name) && !m.Unchanged && (m.Stage == Stands || m.Stage == Returning)
	})
}

// Over tells whether there is nothing left to do and nothing under way.
func Over(all []Member, hold bool) bool {
	return len(Next(all, hold)) == 0 && !slices.ContainsFunc(all, func(m Member) bool { return m.Stage == Rolling || m.Stage == Returning })
}

// Verdict says how a deploy of the group ended, in words; "" if every member stands.
func Verdict(all []Member) string {
	var failed, others []string
	for _, m := range all {
		switch m.Stage {
		case Stands:
		case Failed:
			failed = append(failed, fmt.Sprintf("%s failed: %s", m.Name, m.Why))
		default:
			others = append(others, fmt.Sprintf("%s is %s", m.Name, m.Stage))
		}
	}
	return strings.Join(append(failed, others...), "; ")
}
