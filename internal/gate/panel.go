package gate

import (
	"context"
	"encoding/json"
	"maps"
	"sync"
	"time"

	"gapless.dev/gapless/internal/gate/spec"
	"gapless.dev/gapless/internal/rollout"
)

// A Panel has the gates of one app asked what its rollout wants to know, and keeps their newest answers.
type Panel struct {
	// Wake is called when an answer has changed. It must not block.
	Wake func()

	mu       sync.Mutex
	gates    map[string]Gate
	made     map[string]string // what each gate was made of
	running  map[string]*watch
	verdicts map[string]rollout.Verdict
	subject  Subject
	sights   sights
	wg       sync.WaitGroup
}

// A watch is one gate that answers one question.
type watch struct {
	key  string
	stop context.CancelFunc
}

// Use makes the panel have a gate of what a user wrote. Where that is so already, nothing happens; what is written anew is made anew. One that
// cannot be made says so when it is asked.
func (p *Panel) Use(s spec.Gate, build func() (Gate, error)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	raw, _ := json.Marshal(s) // plain data can be encoded
	if p.made[s.Name] == string(raw) {
		return
	}
	if p.gates == nil {
		p.gates, p.made = map[string]Gate{}, map[string]string{}
	}
	p.end(s.Name)
	err := spec.Validate([]spec.Gate{s})
	var g Gate
	if err == nil {
		g, err = build()
	}
	if err != nil {
		g = broken{err}
	}
	p.gates[s.Name], p.made[s.Name] = g, string(raw)
}

// broken is a gate that could not be made.
type broken struct{ err error }

func (b broken) Watch(context.Context, Question, func(rollout.Verdict)) error { return b.err }

// Only forgets all gates but those of a plan.
func (p *Panel) Only(plan rollout.Plan) {
	p.mu.Lock()
	defer p.mu.Unlock()
	keep := map[string]bool{}
	for _, g := range plan.Gates {
		keep[g.Name] = true
	}
	for name := range p.gates {
		if !keep[name] {
			p.end(name)
			delete(p.gates, name)
			delete(p.made, name)
		}
	}
}

// Keep has the gates asked what a saved state wants to know of a subject, and returns the newest answers. It does not wait for any.
func (p *Panel) Keep(ctx context.Context, plan rollout.Plan, state rollout.State, subject Subject) map[string]rollout.Verdict {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.subject = subject
	wanted := map[string]bool{}
	if q := state.Asked; q != nil && q.Waived == nil {
		for _, g := range plan.GatesAt(q.Moment) {
			if p.gates[g.Name] == nil {
				continue
			}
			wanted[g.Name] = true
			if w := p.running[g.Name]; w == nil || w.key != q.Key() {
				p.end(g.Name)
				p.begin(ctx, g.Name, *q, state.Gates[g.Name])
			}
		}
	}
	for name := range p.running {
		if !wanted[name] {
			p.end(name)
		}
	}
	return maps.Clone(p.verdicts)
}

// begin has a gate watch a question. What was answered to it before stands until something newer comes. p.mu is held.
func (p *Panel) begin(ctx context.Context, name string, q rollout.Question, kept rollout.Verdict) {
	ctx, stop := context.WithCancel(ctx)
	w := &watch{key: q.Key(), stop: stop}
	if p.running == nil {
		p.running, p.verdicts = map[string]*watch{}, map[string]rollout.Verdict{}
	}
	p.running[name] = w
	delete(p.verdicts, name)
	memory := ""
	if kept.Of == w.key {
		p.verdicts[name], memory = kept, kept.Memory
	}
	g := p.gates[name]
	p.wg.Go(func() {
		p.ask(ctx, w, g, Question{
			Question: q, Name: name, Memory: memory,
			Subject: func() Subject { p.mu.Lock(); defer p.mu.Unlock(); return p.subject },
			Saw:     func(s Sighting) { p.mu.Lock(); defer p.mu.Unlock(); p.sights.add(s) },
		})
	})
}

// patience bounds the back-off after a gate that could not answer.
const (
	firstPatience = time.Second
	lastPatience  = 30 * time.Second
)

// ask puts the question until it is answered for good or nobody is interested.
func (p *Panel) ask(ctx context.Context, w *watch, g Gate, q Question) {
	patience := firstPatience
	for ctx.Err() == nil {
		err := g.Watch(ctx, q, func(v rollout.Verdict) {
			v.Of = w.key
			if v.Memory != "" {
				q.Memory = v.Memory
			}
			p.hear(w, q.Name, v)
		})
		if err == nil || ctx.Err() != nil {
			return
		}
		p.hear(w, q.Name, rollout.Verdict{Of: w.key, Outcome: rollout.Wait, Reason: "cannot be asked: " + err.Error(), Memory: q.Memory})
		timer := time.NewTimer(patience)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		patience = min(2*patience, lastPatience)
	}
}

// hear takes an answer in, if it is still that of the question that is asked.
func (p *Panel) hear(w *watch, name string, v rollout.Verdict) {
	p.mu.Lock()
	if p.running[name] != w {
		p.mu.Unlock()
		return
	}
	was := p.verdicts[name]
	p.verdicts[name] = v
	p.mu.Unlock()
	if was.Of != v.Of || was.Outcome != v.Outcome || was.Reason != v.Reason || was.Memory != v.Memory {
		p.Wake()
	}
}

// end lets a gate stop watching. p.mu is held.
func (p *Panel) end(name string) {
	if w := p.running[name]; w != nil {
		w.stop()
		delete(p.running, name)
		delete(p.verdicts, name)
	}
}

// Close ends all watching, and returns when nothing runs any more.
func (p *Panel) Close() {
	p.mu.Lock()
	for name := range p.running {
		p.end(name)
	}
	p.mu.Unlock()
	p.wg.Wait()
}
