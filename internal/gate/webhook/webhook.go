// Package webhook is the gate that asks a URL.
package webhook

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"gapless.dev/gapless/internal/gate"
	"gapless.dev/gapless/internal/gate/spec"
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

// The headers of a request. Signature is the hex HMAC-SHA256, with the key, of the timestamp, a dot and the body.
const (
	SignatureHeader = "Gapless-Signature"
	TimestampHeader = "Gapless-Timestamp"
	IDHeader        = "Gapless-Id"
)

// most is how many bytes of an answer are read.
const most = 64 << 10

// A Webhook asks a URL.
type Webhook struct {
	spec   spec.Webhook
	key    []byte
	client *http.Client
	// Now is the clock of the timestamp.
	Now func() time.Time
}

// New makes one of what the user wrote, and of the key that it names.
func New(s spec.Webhook, key []byte) *Webhook {
	return &Webhook{spec: s, key: key, Now: time.Now, client: &http.Client{
		Timeout: s.Timeout,
		// An answer comes from where the question was put, and from nowhere else.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport:     &http.Transport{Proxy: nil, DisableKeepAlives: true, TLSHandshakeTimeout: s.Timeout, ResponseHeaderTimeout: s.Timeout},
	}}
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
		if !sleep(ctx, w.spec.Every) {
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
		if n > 0 && !sleep(ctx, pause) {
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
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.spec.URL, bytes.NewReader(body))
	if err != nil {
		return rollout.Verdict{}, err
	}
	for name, value := range w.spec.Header {
		req.Header.Set(name, value)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "gapless")
	req.Header.Set(IDHeader, id)
	if len(w.key) > 0 {
		stamp := fmt.Sprint(w.Now().Unix())
		req.Header.Set(TimestampHeader, stamp)
		req.Header.Set(SignatureHeader, Sign(w.key, stamp, body))
	}
	res, err := w.client.Do(req)
	if err != nil {
		return rollout.Verdict{}, w.plain(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, most+1))
	if err != nil {
		return rollout.Verdict{}, fmt.Errorf("the answer broke off: %w", w.plain(err))
	}
	return judge(res, text)
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

// Sign is the signature of a request.
func Sign(key []byte, stamp string, body []byte) string {
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.", stamp)
	mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}

// judge reads an answer. What is neither a yes nor a no is none.
func judge(res *http.Response, text []byte) (rollout.Verdict, error) {
	switch {
	case len(text) > most:
		return rollout.Verdict{}, fmt.Errorf("the answer is longer than %d bytes", most)
	case res.StatusCode >= 300 && res.StatusCode < 400:
		return rollout.Verdict{}, fmt.Errorf("status %d: it redirects to another place, and only the one that is named is asked", res.StatusCode)
	case res.StatusCode == http.StatusForbidden || res.StatusCode == http.StatusConflict:
		reason := fmt.Sprintf("it says no (status %d)", res.StatusCode)
		var r Reply
		if json.Unmarshal(text, &r) == nil && r.Reason != "" {
			reason = line(r.Reason)
		}
		return rollout.Verdict{Outcome: rollout.Fail, Reason: reason}, nil
	case res.StatusCode < 200 || res.StatusCode >= 300:
		return rollout.Verdict{}, fmt.Errorf("status %d", res.StatusCode)
	case len(bytes.TrimSpace(text)) == 0:
		if res.StatusCode == http.StatusAccepted {
			return rollout.Verdict{Outcome: rollout.Wait, Reason: "it has not decided yet (status 202)"}, nil
		}
		return rollout.Verdict{Outcome: rollout.Pass, Reason: fmt.Sprintf("it says yes (status %d)", res.StatusCode)}, nil
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

// plain leaves out what the client says around an error, the URL among it.
func (w *Webhook) plain(err error) error {
	var timeout interface{ Timeout() bool }
	if errors.As(err, &timeout) && timeout.Timeout() {
		return fmt.Errorf("it did not answer within %s", w.spec.Timeout)
	}
	var around *url.Error
	if errors.As(err, &around) {
		return around.Err
	}
	return err
}

func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
