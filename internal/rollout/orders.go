package rollout

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// obey goes through the orders that nobody has answered yet, oldest first. Each is obeyed or refused, and answered.
func (l *look) obey() {
	orders := slices.SortedFunc(slices.Values(l.seen.Orders), func(a, b Order) int { return cmp.Compare(a.ID, b.ID) })
	for _, o := range orders {
		if o.ID <= l.s.Done {
			continue
		}
		l.s.Done = o.ID
		message, obeyed := l.take(o)
		l.answers = append(l.answers, Answer{Order: o, Obeyed: obeyed, Message: message})
	}
}

// take obeys one order, or says why not.
func (l *look) take(o Order) (message string, obeyed bool) {
	switch o.Verb {
	case Promote:
		return l.takePromote(o)
	case PromoteFull:
		return l.takePromoteFull(o)
	case Abort:
		return l.takeAbort(o)
	case Undo:
		return l.takeUndo(o)
	case Pause:
		return l.takePause(o)
	case Resume:
		return l.takeResume()
	case Retry:
		return l.takeRetry(o)
	}
	return fmt.Sprintf("there is no order %q", o.Verb), false
}

func (l *look) takePromote(o Order) (string, bool) {
	switch {
	case Active(l.s.Phase) && l.s.Phase != Aborting && l.s.Paused == nil && l.atGateStop():
		q := *l.s.Asked
		q.Waived = &o
		l.s.Asked = &q
		return fmt.Sprintf("%s goes on without the answer of its gates", l.s.Candidate), true
	case !Active(l.s.Phase) || l.s.Phase == Aborting || l.s.Phase == Finishing:
		return l.nothingMoves(), false
	case l.s.Paused != nil:
		return fmt.Sprintf("%s paused the rollout; resume it first", l.s.Paused.By), false
	case !l.atManualStop() || l.s.Promoted != nil:
		return "the rollout stands at no manual stop; promote --full skips all the rest, gates too", false
	case l.s.StandsAt.IsZero():
		return "the manual stop is not reached yet", false
	}
	l.s.Promoted = &o
	return fmt.Sprintf("%s goes on", l.s.Candidate), true
}

// atManualStop tells whether the rollout has come to a stop that lasts until somebody promotes.
func (l *look) atManualStop() bool {
	switch l.s.Phase {
	case Preparing:
		return l.plan.Strategy == BlueGreen && l.plan.Manual
	case Shifting:
		return l.plan.Strategy == Canary && l.s.Step < len(l.plan.Steps) && l.plan.Steps[l.s.Step].Manual
	}
	return false
}

func (l *look) takePromoteFull(o Order) (string, bool) {
	if !Active(l.s.Phase) || l.s.Phase == Aborting {
		return l.nothingMoves(), false
	}
	if l.s.Paused != nil {
		return fmt.Sprintf("%s paused the rollout; resume it first", l.s.Paused.By), false
	}
	l.s.Full, l.s.Promoted = true, &o
	if l.s.Phase == Finishing {
		return fmt.Sprintf("%s is not held back any longer", l.s.Stable), true
	}
	return fmt.Sprintf("%s gets all traffic as soon as it can carry it", l.s.Candidate), true
}

func (l *look) takeAbort(o Order) (string, bool) {
	switch {
	case !Active(l.s.Phase) || l.s.Phase == Aborting:
		return l.nothingMoves(), false
	case l.s.Stable == "":
		return fmt.Sprintf("%s is the first version: there is nothing to go back to", l.s.Candidate), false
	}
	candidate := l.s.Candidate
	l.abort(true, ReasonAbortOrdered, "%s by %s", o.Verb, o.By)
	return fmt.Sprintf("back from %s to %s", candidate, l.s.Stable), true
}

func (l *look) takeUndo(o Order) (string, bool) {
	switch {
	case Active(l.s.Phase):
		return l.takeAbort(o)
	case l.s.Phase == Held:
		return fmt.Sprintf("%s serves already: nothing of %s was started", l.s.Stable, l.s.Rejected), false
	case l.s.Phase != Idle || l.s.Previous == "":
		return "no version came before", false
	case l.seen.Wanted != l.s.Stable:
		return fmt.Sprintf("%s has just been asked for", l.seen.Wanted), false
	case slices.Contains(l.seen.Forgotten, l.s.Previous):
		return l.forgotten(l.s.Previous), false
	}
	l.begin(l.s.Previous)
	l.s.Called, l.s.Undo = &o, true
	return fmt.Sprintf("back from %s to %s", l.s.Stable, l.s.Candidate), true
}

func (l *look) takePause(o Order) (string, bool) {
	switch {
	case !Active(l.s.Phase) || l.s.Phase == Aborting:
		return l.nothingMoves(), false
	case l.s.Paused != nil:
		return fmt.Sprintf("%s paused it already", l.s.Paused.By), false
	case l.plan.Strategy == Recreate:
		return "a recreate is not paused: nothing would serve", false
	case l.s.Stable == "":
		return "the first version is not paused: nothing would serve", false
	}
	l.s.Paused = &o
	return "paused", true
}

func (l *look) takeResume() (string, bool) {
	if l.s.Paused == nil {
		return "nobody paused it; promote lets a rollout past a manual stop", false
	}
	l.s.Paused = nil
	l.s.ProgressAt = l.seen.Now
	if l.s.Asked != nil {
		q := *l.s.Asked
		q.From = time.Time{} // the time of a pause is nobody's fault
		l.s.Asked = &q
	}
	return "resumed", true
}

func (l *look) takeRetry(o Order) (string, bool) {
	if l.s.Phase != Idle && l.s.Phase != Held || l.s.Rejected == "" {
		return "no version was refused", false
	}
	again := l.s.Rejected
	if w := l.seen.Wanted; w != l.s.Stable && w != again {
		return fmt.Sprintf("%s has just been asked for", w), false
	}
	if slices.Contains(l.seen.Forgotten, again) {
		return l.forgotten(again), false
	}
	l.begin(again)
	if l.seen.Wanted != again {
		l.s.Called = &o
	}
	return fmt.Sprintf("%s is tried again", again), true
}

func (l *look) forgotten(v Version) string {
	return fmt.Sprintf("nothing is left of %s: write its template again, and it comes as any other version does", v)
}

func (l *look) nothingMoves() string {
	switch l.s.Phase {
	case Aborting:
		return fmt.Sprintf("the rollout is on its way back from %s already", l.s.Candidate)
	case Finishing:
		return fmt.Sprintf("%s has all traffic already", l.s.Candidate)
	}
	return "no rollout is on its way"
}
