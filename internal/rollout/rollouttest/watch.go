package rollouttest

import "gapless.dev/gapless/internal/rollout"

// watch remembers what the rules need of the past.
type watch struct {
	refused  rollout.Version // aborted for a reason of its own, and not asked for by anybody's order since
	used     int64           // the promote that let the rollout past its last manual stop
	revision int
	calm     int             // looks in a row that found nothing to do
	fresh    int             // looks in a row that were looked at, and not dropped for being late
	planAt   int             // the revision in which the plan was changed last
	waived   map[string]bool // questions that a person let the rollout go on without
	fought   bool            // somebody may have written the refused template again since the last abort began
}

func (t *watch) waive(key string) {
	if t.waived == nil {
		t.waived = map[string]bool{}
	}
	t.waived[key] = true
}

// follow remembers what the rules need, of a state that was saved.
func (t *watch) follow(w *world, d rollout.Decision, prev rollout.State) {
	s := d.State
	if q := s.Asked; q != nil {
		w.count("asked " + string(q.Moment))
		if q.Waived != nil {
			w.count("waived")
			t.waive(q.Key())
		}
	}
	if s.Phase != prev.Phase {
		w.count(string(w.plan.Strategy) + " " + string(w.plan.Split) + " " + string(s.Phase))
	}
	if s.Aborted != nil && prev.Aborted == nil {
		w.count("reason " + s.Aborted.Reason)
	}
	if back := s.Aborted; back != nil && back.Refused {
		t.refused = back.Version
	}
	if s.Phase == rollout.Aborting && prev.Phase != rollout.Aborting {
		t.fought = !w.quiet
	}
	if s.Revision != t.revision {
		ordered := false
		for _, a := range d.Answers {
			ordered = ordered || a.Obeyed && (a.Order.Verb == rollout.Retry || a.Order.Verb == rollout.Undo)
		}
		if s.Candidate != "" && s.Candidate == t.refused && !ordered {
			w.fail("a refused version does not start", "revision %d begins with %s", s.Revision, s.Candidate)
		}
		t.revision, t.refused, t.used = s.Revision, "", 0
	}
	if prev.Phase == rollout.Shifting && prev.Step < len(w.plan.Steps) && w.plan.Strategy == rollout.Canary && s.Step > prev.Step &&
		w.plan.Steps[prev.Step].Manual && !s.Full && s.Revision == prev.Revision {
		if prev.Promoted == nil && s.Promoted == nil && len(d.Answers) == 0 || prev.Promoted != nil && prev.Promoted.ID == t.used {
			w.fail("a manual stop lasts until somebody promotes", "step %d of revision %d", prev.Step+1, s.Revision)
		}
		if prev.Promoted != nil {
			t.used = prev.Promoted.ID
		}
	}
}
