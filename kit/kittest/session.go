package kittest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Session is one judgement of one target. Rules share what they can: most of
// them look at the same stop under load.
type Session struct {
	Target Target
	Spec   Spec

	loaded func() (*episode, error)
}

// NewSession prepares to judge the target. Nothing is started yet.
func NewSession(ctx context.Context, target Target) *Session {
	s := &Session{Target: target, Spec: target.Spec().withDefaults()}
	s.loaded = sync.OnceValues(func() (*episode, error) { return s.stopUnderLoad(ctx) })
	return s
}

// Judge runs the rules one after the other and calls each, if not nil, after
// every one. only limits it to some ids and those they need; none means all.
// A rule that cannot be judged because an earlier one failed is skipped and
// names it.
func Judge(ctx context.Context, target Target, each func(Result), only ...string) []Result {
	s := NewSession(ctx, target)
	var results []Result
	failed := make(map[string]bool)
	for _, rule := range Rules() {
		if len(only) > 0 && !slices.Contains(only, rule.ID) && !neededBy(rule.ID, only) {
			continue
		}
		began := time.Now()
		result := s.judge(ctx, rule, failed)
		result.ID, result.Title, result.Must = rule.ID, rule.Title, rule.Must
		result.Took = time.Since(began)
		if result.Status == Fail {
			failed[rule.ID] = true
		}
		results = append(results, result)
		if each != nil {
			each(result)
		}
	}
	return results
}

func neededBy(id string, only []string) bool {
	for _, rule := range Rules() {
		if slices.Contains(only, rule.ID) && slices.Contains(rule.Needs, id) {
			return true
		}
	}
	return false
}

func (s *Session) judge(ctx context.Context, rule Rule, failed map[string]bool) Result {
	for _, need := range rule.Needs {
		if failed[need] {
			return skip("blocked by %s", need)
		}
	}
	if err := ctx.Err(); err != nil {
		return skip("not judged: %v", err)
	}
	return rule.Run(ctx, s)
}

// Passed reports whether no MUST failed. Skipped rules are not held against
// the service, and not counted for it.
func Passed(results []Result) bool {
	return !slices.ContainsFunc(results, func(r Result) bool { return r.Must && r.Status == Fail })
}

// Conform judges the target in a test, each rule as a subtest. A failed MUST
// fails the test; a failed SHOULD is logged.
func Conform(t *testing.T, target Target, only ...string) {
	t.Helper()
	results := Judge(t.Context(), target, nil, only...)
	rules := Rules()
	for _, result := range results {
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
}

// explain is a failure for a reader.
func explain(rule Rule, r Result) string {
	text := fmt.Sprintf("%s %s\nseen: %s", rule.ID, rule.Title, r.Why)
	if len(r.Evidence) > 0 {
		text += "\n  " + strings.Join(r.Evidence, "\n  ")
	}
	return text + "\nwhy:  " + rule.Why + "\nfix:  " + rule.Fix
}

// start starts an instance that is killed with the context.
func (s *Session) start(ctx context.Context, env ...string) (Instance, error) {
	in, err := s.Target.Start(ctx, env...)
	if err != nil {
		return nil, fmt.Errorf("start: %w", err)
	}
	context.AfterFunc(ctx, in.Kill)
	return in, nil
}

// startReady starts an instance and waits until its readiness says 2xx.
func (s *Session) startReady(ctx context.Context, env ...string) (Instance, error) {
	in, err := s.start(ctx, env...)
	if err != nil {
		return nil, err
	}
	url := "http://" + in.HealthAddr() + s.Spec.ReadyPath
	limit := time.After(s.Spec.Startup)
	for {
		if ask(ctx, url).ok() {
			return in, nil
		}
		select {
		case <-in.Exited():
			return nil, fmt.Errorf("exited with %v before it was ready; it said:\n%s", in.Exit(), in.Logs())
		case <-limit:
			in.Kill()
			return nil, fmt.Errorf("not ready after %v: GET %s; it said:\n%s", s.Spec.Startup, url, in.Logs())
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// wait waits for the instance's end, at most until the given time.
func wait(in Instance, until time.Time) (Exit, bool) {
	select {
	case <-in.Exited():
		return in.Exit(), true
	case <-time.After(time.Until(until)):
		return Exit{}, false
	}
}

// String is "0" or "signal terminated".
func (e Exit) String() string {
	if e.Signal != "" {
		return "signal " + e.Signal
	}
	return fmt.Sprint(e.Code)
}
