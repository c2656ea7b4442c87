// Package webhook is the gate that asks a URL.
package webhook

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"gapless.dev/gapless/internal/gate"
	"gapless.dev/gapless/internal/gate/spec"
	"gapless.dev/gapless/internal/post"
	"gapless.dev/gapless/internal/rollout"
)

// A Call is the body of the request.
type Call struct {
	// Type is confirm-start, confirm-step, confirm-promotion or confirm-end.
	Type string `json:"type"`
	// ID stays the same when a question is put again: after an answer "wait", a try that failed, or a restart.
	ID        string `json:"id"`
	App       string `json:"app"`
	Namespace string `json:"namespace,omitempty"`
	Revision  int    `json:"revision"`
	// Step counts from 1; 0 where there is none.
	Step      int    `json:"step,omitempty"`
	Weight    int    `json:"weight"`
	Stable    string `json:"stable"`
	Candidate string `json:"candidate"`
	Gate      string `json:"gate"`
}

// A Reply is the body of the answer. An empty one with status 2xx says pass.
type Reply struct {
	Verdict rollout.Outcome `json:"verdict"`
	Reason  string          `json:"reason"`
}

// A Webhook asks a URL.
type Webhook struct {
	spec   spec.Webhook
	client *post.Client
}

// New makes one of what the user wrote, and of the key that it names.
func New(s spec.Webhook, key []byte) *Webhook {
	return &Webhook{spec: s, client: post.New(s.URL, key, s.Header, s.Timeout)}
}

var types = map[rollout.Moment]string{
	rollout.BeforeStart: "confirm-start", rollout.DuringStep: "confirm-step", rollout.BeforePromotion: "confirm-promotion", rollout.AfterPromotion: "confirm-end",
}

// Watch asks until the answer is pass, fail or inconclusive.
func (w *Webhook) Watch(ctx context.Context, q gate.Question, say func(rollout.Verdict)) error {
	if q.Memory != "" {
		var v rollout.Verdict
		if err := json.Unmarshal([]byte(q.Memory), &v); err == nil && v.Outcome != "" {
			say(remembered(v))
			return nil
		}
	}
	for {
		v, err := w.try(ctx, q)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			v = rollout.Verdict{Outcome: rollout.Wait, Reason: "no answer: " + err.Error()}
		case v.Outcome != rollout.Wait:
			say(remembered(v))
			return nil
		}
		say(v)
		if !post.Sleep(ctx, w.spec.Every) {
			return nil
		}
	}
}

// remembered is a final answer, which is not asked for again after a restart.
func remembered(v rollout.Verdict) rollout.Verdict {
	v.Memory = ""
	text, _ := json.Marshal(v) // strings can be encoded
	v.Memory = string(text)
	return v
}

// try asks once, and again if there was no answer, with a growing pause.
func (w *Webhook) try(ctx context.Context, q gate.Question) (rollout.Verdict, error) {
	pause := 500 * time.Millisecond
	var last error
	for n := range max(0, w.spec.Retries) + 1 {
		if n > 0 && !post.Sleep(ctx, pause) {
			return rollout.Verdict{}, ctx.Err()
		}
		pause *= 2
		v, err := w.ask(ctx, q)
		if err == nil {
			return v, nil
		}
		last = err
	}
	if w.spec.Retries > 0 {
		return rollout.Verdict{}, fmt.Errorf("%w (%d tries)", last, w.spec.Retries+1)
	}
	return rollout.Verdict{}, last
}

func (w *Webhook) ask(ctx context.Context, q gate.Question) (rollout.Verdict, error) {
	body, id := w.body(q)
	status, text, err := w.client.Send(ctx, id, body)
	if err != nil {
		return rollout.Verdict{}, err
	}
	return judge(status, text)
}

func (w *Webhook) body(q gate.Question) (body []byte, id string) {
	s := q.Subject()
	c := Call{
		Type: types[q.Moment], App: s.App, Namespace: s.Namespace, Revision: q.Revision, Weight: s.Candidate.Weight,
		Stable: s.Stable.Name, Candidate: s.Candidate.Name, Gate: q.Name,
	}
	if q.Moment == rollout.DuringStep {
		c.Step = q.Step + 1
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s/%s/%s/%s/%d", c.Namespace, c.App, q.Key(), q.Name, q.Since.UnixNano()))
	c.ID = hex.EncodeToString(sum[:8])
	body, _ = json.Marshal(c) // strings and numbers can be encoded
	return body, c.ID
}

// judge reads an answer. What is neither a yes nor a no is none.
func judge(status int, text []byte) (rollout.Verdict, error) {
	switch {
	case status == http.StatusForbidden || status == http.StatusConflict:
		reason := fmt.Sprintf("it says no (status %d)", status)
		var r Reply
		if json.Unmarshal(text, &r) == nil && r.Reason != "" {
			reason = line(r.Reason)
		}
		return rollout.Verdict{Outcome: rollout.Fail, Reason: reason}, nil
	case status < 200 || status >= 300:
		return rollout.Verdict{}, fmt.Errorf("status %d", status)
	case len(bytes.TrimSpace(text)) == 0:
		if status == http.StatusAccepted {
			return rollout.Verdict{Outcome: rollout.Wait, Reason: "it has not decided yet (status 202)"}, nil
		}
		return rollout.Verdict{Outcome: rollout.Pass, Reason: fmt.Sprintf("it says yes (status %d)", status)}, nil
	}
	var r Reply
	if err := json.Unmarshal(text, &r); err != nil {
		return rollout.Verdict{}, fmt.Errorf(`the answer is not {"verdict": "pass", "reason": "..."}: %q`, line(string(text)))
	}
	switch r.Verdict {
	case rollout.Pass, rollout.Fail, rollout.Wait, rollout.Inconclusive:
		return rollout.Verdict{Outcome: r.Verdict, Reason: line(r.Reason)}, nil
	}
	return rollout.Verdict{}, fmt.Errorf("verdict %q is none of pass, fail, wait and inconclusive", line(string(r.Verdict)))
}

// line is a text as a short single line.
func line(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	const longest = 200
	if len(s) > longest {
		return strings.ToValidUTF8(s[:longest], "") + "..."
	}
	return strings.ToValidUTF8(s, "")
}
