package kittest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"gapless.dev/kit/load"
)

// Watch is told what happens while a target is judged. Both may be nil.
type Watch struct {
	Result func(Result) // each result, in the order of the rules
	Doing  func(string) // what is being tried now, in a few words; may be called from several goroutines
}

// Judgement is what came of judging a target.
type Judgement struct {
	Results  []Result
	Start    time.Duration // from the start of the process to its first readiness; 0 if that was not seen
	Traffic  Traffic       // what became of the steady load from the stop on
	Timeline []Event       // of the first stop under load
	Late     time.Duration // how late this machine itself was at the worst; what is in time was judged with that allowance
}

// Traffic is what became of the requests that were due from the moment of the
// stop until the end of the drain, over all stops under load.
type Traffic struct {
	Stops    int                `json:"stops"`
	Requests int                `json:"requests"`
	Lost     int                `json:"lost"`
	Classes  map[load.Class]int `json:"losses,omitempty"`
}

// Passed reports whether no MUST failed. Skipped rules are not held against
// the service, and not counted for it.
func (j Judgement) Passed() bool {
	return !slices.ContainsFunc(j.Results, func(r Result) bool { return r.Must && r.Status == Fail })
}

// Cause is the first MUST that failed, in the order in which rules build on
// each other: mend it first, others may be its consequence. Where no MUST
// failed it is the first SHOULD that did.
func (j Judgement) Cause() (Result, bool) {
	for _, must := range []bool{true, false} {
		for _, r := range j.Results {
			if r.Must == must && r.Status == Fail {
				return r, true
			}
		}
	}
	return Result{}, false
}

// Judge runs the rules. only limits it to some ids and those they need; none
// means all. A rule that cannot be judged because an earlier one failed is
// skipped and names it. Everything that was started has ended on return.
//
// The context ends it early: what was not judged by then is skipped.
func Judge(ctx context.Context, target Target, watch Watch, only ...string) Judgement {
	ctx, cancel := context.WithCancel(ctx)
	s := NewSession(ctx, target)
	s.watch = watch
	defer s.running.Wait()
	defer cancel()

	var j Judgement
	failed := make(map[string]bool)
	var waiting []<-chan Result
	deliver := func(r Result) {
		failed[r.ID] = failed[r.ID] || r.Status == Fail
		j.Results = append(j.Results, r)
		if watch.Result != nil {
			watch.Result(r)
		}
	}
	for _, rule := range wanted(only) {
		// Rules that others need are judged one after the other; then the
		// rest at once, as far as there is room for their instances.
		if slices.ContainsFunc(Rules(), func(r Rule) bool { return slices.Contains(r.Needs, rule.ID) }) {
			deliver(s.judge(ctx, rule, failed))
			continue
		}
		if len(waiting) == 0 && (failed["Z1"] || failed["Z3"]) {
			s.Spec.Stops = 1 // it cannot be stopped: once is enough
		}
		result := make(chan Result, 1)
		waiting = append(waiting, result)
		blocked := blocker(rule, failed)
		s.running.Go(func() { result <- s.judge(ctx, rule, blocked) })
	}
	for _, result := range waiting {
		deliver(<-result)
	}
	s.sum(&j)
	return j
}

// wanted are the rules to judge.
func wanted(only []string) []Rule {
	return slices.DeleteFunc(Rules(), func(r Rule) bool {
		return len(only) > 0 && !slices.Contains(only, r.ID) && !neededBy(r.ID, only)
	})
}

func neededBy(id string, only []string) bool {
	return slices.ContainsFunc(Rules(), func(r Rule) bool {
		return slices.Contains(only, r.ID) && slices.Contains(r.Needs, id)
	})
}

// blocker is the part of failed that a rule looks at, for its own goroutine.
func blocker(rule Rule, failed map[string]bool) map[string]bool {
	blocked := make(map[string]bool)
	for _, need := range rule.Needs {
		blocked[need] = failed[need]
	}
	return blocked
}

func (s *Session) judge(ctx context.Context, rule Rule, failed map[string]bool) Result {
	began := time.Now()
	last := &lastUsed{}
	result := s.outcome(context.WithValue(ctx, lastUsedKey{}, last), rule, failed)
	if result.Status == Fail && len(result.Evidence) == 0 {
		if result.Evidence = few(last.words()); len(result.Evidence) == 0 {
			result.Evidence = []string{result.Why} // what went wrong before there was anybody to speak
		}
	}
	if result.Status == Fail && ctx.Err() != nil {
		result = skip("not judged: it was cancelled")
	}
	result.ID, result.Title, result.Must = rule.ID, rule.Title, rule.Must
	result.Took = time.Since(began)
	return result
}

func (s *Session) outcome(ctx context.Context, rule Rule, failed map[string]bool) Result {
	for _, need := range rule.Needs {
		if failed[need] {
			return skip("blocked by %s", need)
		}
	}
	if ctx.Err() != nil {
		return skip("not judged: it was cancelled")
	}
	if why, skipped := s.Spec.Skip[rule.ID]; skipped {
		return skip("not judged: %s", why)
	}
	if judge := s.Spec.Judges[rule.ID]; judge != nil {
		return judge(ctx, s)
	}
	return rule.Run(ctx, s)
}

// sum adds up the stops under load.
func (s *Session) sum(j *Judgement) {
	s.mu.Lock()
	defer s.mu.Unlock()
	j.Late = s.late
	for i, e := range s.seen {
		if i == 0 {
			j.Start, j.Timeline = e.ready.Sub(e.began), e.timeline()
		}
		j.Traffic.Stops++
		for _, r := range e.requests {
			if !e.inDrain(s.Spec, r) {
				continue
			}
			j.Traffic.Requests++
			if r.Class.Lost() && r.Class != load.Overload {
				j.Traffic.Lost++
				if j.Traffic.Classes == nil {
					j.Traffic.Classes = make(map[load.Class]int)
				}
				j.Traffic.Classes[r.Class]++
			}
		}
	}
}

// Conform judges the target in a test, each rule as a subtest. A failed MUST
// fails the test; a failed SHOULD is logged. What came of it is returned, for a
// test that wants more: no SHOULD failed, or nothing skipped.
func Conform(t *testing.T, target Target, only ...string) Judgement {
	t.Helper()
	j := Judge(t.Context(), target, Watch{}, only...)
	rules := Rules()
	for _, result := range j.Results {
		rule := rules[slices.IndexFunc(rules, func(r Rule) bool { return r.ID == result.ID })]
		t.Run(result.ID, func(t *testing.T) {
			switch {
			case result.Status == Skip:
				t.Skip(result.Why)
			case result.Status == Pass:
				t.Log(result.Why)
			case result.Must:
				t.Error(explain(rule, result))
			default:
				t.Log("should: " + explain(rule, result))
			}
		})
	}
	if cause, failed := j.Cause(); failed {
		t.Logf("the first cause is %s; what happened around the stop:\n%s", cause.ID, story(j.Timeline))
	}
	return j
}

// explain is a failure for a reader.
func explain(rule Rule, r Result) string {
	text := fmt.Sprintf("%s %s\nseen: %s", rule.ID, rule.Title, r.Why)
	if len(r.Evidence) > 0 {
		text += "\n  " + strings.Join(r.Evidence, "\n  ")
	}
	return text + "\nwhy:  " + rule.Why + "\nfix:  " + rule.Fix
}

func story(events []Event) string {
	var b strings.Builder
	for _, e := range events {
		fmt.Fprintf(&b, "  %s\n", e)
	}
	return b.String()
}
