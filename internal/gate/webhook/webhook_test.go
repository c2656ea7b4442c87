package webhook_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"gapless.dev/gapless/internal/gate"
	"gapless.dev/gapless/internal/gate/spec"
	"gapless.dev/gapless/internal/gate/webhook"
	"gapless.dev/gapless/internal/post"
	"gapless.dev/gapless/internal/rollout"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// desk is a server that notes what it is asked.
type desk struct {
	*httptest.Server
	mu    sync.Mutex
	calls []webhook.Call
	heads []http.Header
	raw   [][]byte
}

func newDesk(t *testing.T, answer func(n int, w http.ResponseWriter, r *http.Request)) *desk {
	t.Helper()
	d := &desk{}
	d.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var c webhook.Call
		if err := json.Unmarshal(body, &c); err != nil {
			t.Error(err)
		}
		d.mu.Lock()
		d.calls, d.heads, d.raw = append(d.calls, c), append(d.heads, r.Header), append(d.raw, body)
		n := len(d.calls)
		d.mu.Unlock()
		answer(n, w, r)
	}))
	t.Cleanup(d.Close)
	return d
}

func question(m rollout.Moment) gate.Question {
	return gate.Question{
		Question: rollout.Question{Revision: 7, Moment: m, Step: 1, Since: time.Unix(1_000_000, 0)}, Name: "people",
		Subject: func() gate.Subject {
			return gate.Subject{
				App: "demo", Namespace: "shop", Stable: gate.Side{Version: "abc", Name: "1.0.0"}, Candidate: gate.Side{Version: "def", Name: "2.0.0", Weight: 25},
			}
		},
	}
}

func of(url string) spec.Webhook {
	return spec.Webhook{URL: url, Timeout: 300 * time.Millisecond, Retries: 1, Every: 10 * time.Millisecond}
}

// watch asks until there is a final answer, or ends after the first that is none.
func watch(t *testing.T, w *webhook.Webhook, q gate.Question, final bool) []rollout.Verdict {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var said []rollout.Verdict
	if err := w.Watch(ctx, q, func(v rollout.Verdict) {
		said = append(said, v)
		if !final {
			stop()
		}
	}); err != nil {
		t.Fatal(err)
	}
	return said
}

func TestWatch_TakesAYesForPassAndANoForFailAndAllElseForNoAnswer(t *testing.T) {
	elsewhere := newDesk(t, func(_ int, _ http.ResponseWriter, _ *http.Request) {
		t.Error("the place that it redirects to was asked")
	})
	hung := make(chan struct{})
	t.Cleanup(func() { close(hung) })
	for name, test := range map[string]struct {
		answer http.HandlerFunc
		want   rollout.Outcome
		reason string
	}{
		"yes":            {func(http.ResponseWriter, *http.Request) {}, rollout.Pass, "it says yes (status 200)"},
		"yes, with why":  {reply(200, `{"verdict":"pass","reason":"all  is\nwell"}`), rollout.Pass, "all is well"},
		"no by status":   {reply(403, ""), rollout.Fail, "it says no (status 403)"},
		"no, with why":   {reply(409, `{"reason":"a change freeze is on"}`), rollout.Fail, "a change freeze is on"},
		"no by verdict":  {reply(200, `{"verdict":"fail","reason":"smoke test"}`), rollout.Fail, "smoke test"},
		"cannot tell":    {reply(200, `{"verdict":"inconclusive","reason":"no data"}`), rollout.Inconclusive, "no data"},
		"not yet":        {reply(200, `{"verdict":"wait","reason":"the board meets at two"}`), rollout.Wait, "the board meets at two"},
		"not yet, plain": {reply(202, ""), rollout.Wait, "it has not decided yet (status 202)"},
		"not found":      {reply(404, ""), rollout.Wait, "no answer: status 404 (2 tries)"},
		"broken":         {reply(500, "oops"), rollout.Wait, "no answer: status 500 (2 tries)"},
		"garbage":        {reply(200, "<html>hello\x00\xff</html>"), rollout.Wait, `no answer: the answer is not {"verdict": "pass", "reason": "..."}: "<html>hello\x00</html>" (2 tries)`},
		"other verdict":  {reply(200, `{"verdict":"PASS"}`), rollout.Wait, `no answer: verdict "PASS" is none of pass, fail, wait and inconclusive (2 tries)`},
		"a redirect": {
			func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
			}, rollout.Wait, "no answer: status 307: it redirects to another place, and only the one that is named is asked (2 tries)",
		},
		"endless": {
			func(w http.ResponseWriter, _ *http.Request) {
				for range 1000 {
					if _, err := io.WriteString(w, strings.Repeat("a", 1<<10)); err != nil {
						return
					}
				}
			}, rollout.Wait, "no answer: the answer is longer than 65536 bytes (2 tries)",
		},
		"hangs": {
			func(_ http.ResponseWriter, r *http.Request) {
				select {
				case <-hung:
				case <-r.Context().Done():
				}
			}, rollout.Wait, "no answer: it did not answer within 300ms (2 tries)",
		},
		"drips": {
			func(w http.ResponseWriter, r *http.Request) {
				for r.Context().Err() == nil {
					_, _ = io.WriteString(w, " ")
					w.(http.Flusher).Flush()
					select {
					case <-time.After(20 * time.Millisecond):
					case <-hung:
						return
					}
				}
			}, rollout.Wait, "no answer: the answer broke off: it did not answer within 300ms (2 tries)",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t, func(_ int, w http.ResponseWriter, r *http.Request) { test.answer(w, r) })
			said := watch(t, webhook.New(of(d.URL), nil), question(rollout.BeforePromotion), test.want != rollout.Wait)
			if got := said[len(said)-1]; got.Outcome != test.want || got.Reason != test.reason {
				t.Errorf("%s: %s", got.Outcome, got.Reason)
			}
		})
	}
}

func reply(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func TestWatch_AsksAgainUntilItIsDecided(t *testing.T) {
	d := newDesk(t, func(n int, w http.ResponseWriter, _ *http.Request) {
		switch n {
		case 1:
			w.WriteHeader(http.StatusBadGateway) // a try that got no answer is repeated
		case 2:
			w.WriteHeader(http.StatusAccepted)
		}
	})
	said := watch(t, webhook.New(of(d.URL), nil), question(rollout.DuringStep), true)
	var outcomes []rollout.Outcome
	for _, v := range said {
		outcomes = append(outcomes, v.Outcome)
	}
	if diff := cmp.Diff([]rollout.Outcome{rollout.Wait, rollout.Pass}, outcomes); diff != "" {
		t.Error(diff)
	}
	want := webhook.Call{
		Type: "confirm-step", ID: d.calls[0].ID, App: "demo", Namespace: "shop", Revision: 7, Step: 2, Weight: 25,
		Stable: "1.0.0", Candidate: "2.0.0", Gate: "people",
	}
	for _, c := range d.calls {
		if diff := cmp.Diff(want, c); diff != "" {
			t.Errorf("the calls differ, or say something else: %s", diff)
		}
	}
}

func TestWatch_DoesNotAskAgainWhatWasDecidedBeforeARestart(t *testing.T) {
	d := newDesk(t, func(_ int, w http.ResponseWriter, _ *http.Request) { reply(403, "")(w, nil) })
	w := webhook.New(of(d.URL), nil)
	q := question(rollout.BeforeStart)
	first := watch(t, w, q, true)
	q.Memory = first[len(first)-1].Memory
	again := watch(t, webhook.New(of(d.URL), nil), q, true)
	if diff := cmp.Diff(first[len(first)-1:], again); diff != "" {
		t.Error(diff)
	}
	if len(d.calls) != 1 || d.calls[0].Type != "confirm-start" {
		t.Errorf("%d calls: %+v", len(d.calls), d.calls)
	}
}

func TestWatch_SignsWhatItAsks(t *testing.T) {
	key := []byte("secret")
	d := newDesk(t, func(int, http.ResponseWriter, *http.Request) {})
	watch(t, webhook.New(of(d.URL), key), question(rollout.AfterPromotion), true)
	h := d.heads[0]
	stamp := h.Get(post.TimestampHeader)
	if want := post.Sign(key, stamp, d.raw[0]); stamp == "" || h.Get(post.SignatureHeader) != want || want == post.Sign([]byte("other"), stamp, d.raw[0]) {
		t.Errorf("signature %q, not %q", h.Get(post.SignatureHeader), want)
	}
	if h.Get(post.IDHeader) != d.calls[0].ID || d.calls[0].Type != "confirm-end" {
		t.Errorf("%v, %+v", h, d.calls[0])
	}
}

func TestWatch_NobodyThere(t *testing.T) {
	d := newDesk(t, func(int, http.ResponseWriter, *http.Request) {})
	url := d.URL
	d.Close()
	said := watch(t, webhook.New(of(url), nil), question(rollout.BeforeStart), false)
	if want := fmt.Sprintf("no answer: dial tcp %s: connect: connection refused (2 tries)", strings.TrimPrefix(url, "http://")); said[0].Reason != want {
		t.Error(said[0].Reason)
	}
}
