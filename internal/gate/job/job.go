// Package job is the gate that runs something to its end: on a cluster a Job made from a CronJob of the user, on one machine a process.
// What ends well passes.
package job

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"gapless.dev/gapless/internal/gate"
	"gapless.dev/gapless/internal/gate/spec"
	"gapless.dev/gapless/internal/rollout"
)

// A Runner runs tasks. A task that was started goes on, or is found again, when Run is called once more with the same one.
type Runner interface {
	// Run starts a task if it does not run yet, and tells what has become of it.
	Run(ctx context.Context, t Task) (State, error)
}

// A Task is one run.
type Task struct {
	// Name is the same for the same question, and else another one. It can be that of an object.
	Name string
	Spec spec.Job
	// Env tells it what it is about.
	Env map[string]string
}

// A State is what has become of a task.
type State struct {
	// Over tells that it ended, OK that it ended well, and Gone that it was taken away before it ended.
	Over, OK, Gone bool
	// Message is one sentence without a full stop.
	Message string
}

// A Job is one gate.
type Job struct {
	spec   spec.Job
	runner Runner
	every  time.Duration
}

// New makes one of what the user wrote.
func New(s spec.Job, r Runner) *Job { return &Job{spec: s, runner: r, every: 2 * time.Second} }

// Watch runs the task and says what became of it.
func (j *Job) Watch(ctx context.Context, q gate.Question, say func(rollout.Verdict)) error {
	if q.Memory != "" {
		var v rollout.Verdict
		if err := json.Unmarshal([]byte(q.Memory), &v); err == nil && v.Outcome != "" {
			v.Memory = q.Memory
			say(v)
			return nil
		}
	}
	task := Task{Name: name(q), Spec: j.spec, Env: env(q)}
	for {
		s, err := j.runner.Run(ctx, task)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		case s.Over:
			say(final(s))
			return nil
		}
		say(rollout.Verdict{Outcome: rollout.Wait, Reason: s.Message})
		timer := time.NewTimer(j.every)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
	}
}

// final is an answer that a restart does not ask for again.
func final(s State) rollout.Verdict {
	v := rollout.Verdict{Outcome: rollout.Fail, Reason: s.Message}
	switch {
	case s.Gone:
		v.Outcome = rollout.Inconclusive
	case s.OK:
		v.Outcome = rollout.Pass
	}
	text, _ := json.Marshal(v) // strings can be encoded
	v.Memory = string(text)
	return v
}

// name is unique to the question and short enough for an object that pods are named after.
func name(q gate.Question) string {
	s := q.Subject()
	sum := sha256.Sum256(fmt.Appendf(nil, "%s/%s/%s/%s/%d", s.Namespace, s.App, q.Key(), q.Name, q.Since.UnixNano()))
	base := s.App
	if len(base) > 30 {
		base = base[:30]
	}
	return fmt.Sprintf("%s-gate-%s", base, hex.EncodeToString(sum[:5]))
}

// env are the variables of a task.
func env(q gate.Question) map[string]string {
	s := q.Subject()
	all := map[string]string{
		"GAPLESS_APP": s.App, "GAPLESS_NAMESPACE": s.Namespace, "GAPLESS_GATE": q.Name, "GAPLESS_MOMENT": string(q.Moment),
		"GAPLESS_REVISION": strconv.Itoa(q.Revision), "GAPLESS_STABLE": s.Stable.Name, "GAPLESS_CANDIDATE": s.Candidate.Name,
		"GAPLESS_WEIGHT": strconv.Itoa(s.Candidate.Weight), "GAPLESS_ENTRY": s.Entry, "GAPLESS_CANDIDATE_ADDRESS": "", "GAPLESS_STABLE_ADDRESS": "",
	}
	if q.Moment == rollout.DuringStep {
		all["GAPLESS_STEP"] = strconv.Itoa(q.Step + 1)
	}
	for name, side := range map[string]gate.Side{"GAPLESS_CANDIDATE_ADDRESS": s.Candidate, "GAPLESS_STABLE_ADDRESS": s.Stable} {
		if serving := side.Serving(); len(serving) > 0 {
			all[name] = serving[0].Address
		}
	}
	return all
}
