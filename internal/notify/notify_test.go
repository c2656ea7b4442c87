package notify

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"gapless.dev/gapless/internal/gate/spec"
	"gapless.dev/gapless/internal/post"
	"gapless.dev/gapless/internal/rollout"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A passage is driven by the engine itself, and told.
func told(t *testing.T, plan rollout.Plan, steps ...func(*rollout.Snapshot, rollout.State)) []string {
	t.Helper()
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	seen := rollout.Snapshot{
		Now: at, Wanted: "1", Replicas: 2, Grade: rollout.Acknowledged, Versions: map[rollout.Version]rollout.Standing{"1": {Asked: 2, Running: 2, Serving: 2}},
		Route: rollout.Route{Weights: rollout.Weights{"1": 100}},
	}
	var state rollout.State
	var words []string
	look := func() {
		seen.Now = seen.Now.Add(time.Second)
		d := rollout.Decide(plan, state, seen)
		for _, e := range Of(plan, state, d, seen.Now) {
			words = append(words, string(e.Type)+": "+e.From+" → "+e.To+": "+e.Message)
		}
		state = d.State
		versions := map[rollout.Version]rollout.Standing{}
		for v, s := range seen.Versions {
			versions[v] = s
		}
		for _, a := range d.Actions {
			switch a.Kind {
			case rollout.Scale:
				versions[a.Version] = rollout.Standing{Asked: a.Replicas, Running: a.Replicas, Serving: a.Replicas}
			case rollout.SetRoute:
				seen.Route = *a.Route
			case rollout.WriteBack:
				seen.Wanted = a.Version
			case rollout.Remove:
				delete(versions, a.Version)
			}
		}
		seen.Versions = versions
	}
	look()
	for _, step := range steps {
		step(&seen, state)
		for range 20 {
			look()
		}
	}
	return words
}

func deploy(v rollout.Version) func(*rollout.Snapshot, rollout.State) {
	return func(s *rollout.Snapshot, _ rollout.State) { s.Wanted, s.Orders = v, nil }
}

func order(verb rollout.Verb) func(*rollout.Snapshot, rollout.State) {
	return func(s *rollout.Snapshot, st rollout.State) {
		s.Orders = []rollout.Order{{ID: st.Done + 1, Verb: verb, By: "ann"}}
	}
}

func TestOf_TellsAPassageOnce(t *testing.T) {
	plan := rollout.Plan{App: "demo", Strategy: rollout.Canary, Split: rollout.ByWeight, Steps: []rollout.Step{{Weight: 50, Manual: true}}}
	want := []string{
		"started: 1 → 2: 2: 0 of 1 serve",
		"step: 1 → 2: step 1 of 1 stands at 50 % and waits for somebody to promote it",
		"waiting: 1 → 2: step 1 of 1 stands at 50 % and waits for somebody to promote it",
		"promoted: 1 → 2: 2 is stable",
	}
	if diff := cmp.Diff(want, told(t, plan, deploy("2"), order(rollout.Promote))); diff != "" {
		t.Error(diff)
	}
	want = []string{
		"started: 1 → 2: 2: 0 of 1 serve",
		"step: 1 → 2: step 1 of 1 stands at 50 % and waits for somebody to promote it",
		"waiting: 1 → 2: step 1 of 1 stands at 50 % and waits for somebody to promote it",
		"aborting: 1 → 2: 2 goes back: abort by ann",
		"aborted: 1 → 2: 1 serves; 2 went back: abort by ann",
		"held: 1 → : 1 serves; 2 was refused and is held until another version comes or somebody orders a retry",
	}
	if diff := cmp.Diff(want, told(t, plan, deploy("2"), order(rollout.Abort), deploy("2"))); diff != "" {
		t.Error(diff)
	}
}

func TestBody_IsJSONOrWhatSlackShows(t *testing.T) {
	e := Event{Type: Aborting, App: "demo", Namespace: "shop", Revision: 4, Strategy: "canary", From: "1.0.0", To: "2.0.0", Reason: "GateFailed", Message: "2.0.0 goes back: gate errors: 3 of 100 > <1>"}
	var again Event
	if err := json.Unmarshal(Body("generic", e), &again); err != nil || again != e {
		t.Errorf("%+v, %v", again, err)
	}
	var m map[string]string
	if err := json.Unmarshal(Body("slack", e), &m); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"text": "*shop/demo* revision 4, canary 1.0.0 → 2.0.0 *goes back*\n2.0.0 goes back: gate errors: 3 of 100 &gt; &lt;1&gt;"}
	if diff := cmp.Diff(want, m); diff != "" {
		t.Error(diff)
	}
}

// A box is a server that takes letters, and refuses the first ones.
type box struct {
	*httptest.Server
	mu      sync.Mutex
	ids     []string
	bodies  []string
	headers []http.Header
}

func newBox(t *testing.T, status func(n int) int) *box {
	t.Helper()
	b := &box{}
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		b.mu.Lock()
		b.ids, b.bodies, b.headers = append(b.ids, r.Header.Get(post.IDHeader)), append(b.bodies, string(body)), append(b.headers, r.Header)
		n := len(b.ids)
		b.mu.Unlock()
		w.WriteHeader(status(n))
	}))
	t.Cleanup(b.Close)
	return b
}

func TestSender_SendsAgainWhatWasNotTakenAndInOrder(t *testing.T) {
	b := newBox(t, func(n int) int { return []int{500, 429, 200}[min(n-1, 2)] })
	s := &Sender{pause: time.Millisecond, Trouble: func(err error) { t.Error(err) }, Keys: func(name string) ([]byte, error) {
		return []byte(map[string]string{"url": b.URL, "sign": "k"}[name]), nil
	}}
	targets := []spec.Notify{{URLKey: "url", Key: "sign", Template: "slack", On: []string{"started", "promoted"}}}
	for _, k := range Kinds {
		s.Tell(t.Context(), targets, Event{Type: k, App: "demo"})
	}
	s.Wait()
	if len(b.ids) != 4 || b.ids[0] != b.ids[1] || b.ids[1] != b.ids[2] || b.ids[3] == b.ids[0] {
		t.Errorf("ids %v", b.ids)
	}
	if !strings.Contains(b.bodies[2], "has started") || !strings.Contains(b.bodies[3], "is promoted") {
		t.Errorf("%v", b.bodies)
	}
	h := b.headers[0]
	if h.Get(post.SignatureHeader) != post.Sign([]byte("k"), h.Get(post.TimestampHeader), []byte(b.bodies[0])) {
		t.Error("the signature is wrong")
	}
}

func TestSender_GivesUpWhatIsNeverTaken(t *testing.T) {
	refuses, broken := newBox(t, func(int) int { return 404 }), newBox(t, func(int) int { return 503 })
	var troubles []string
	s := &Sender{pause: time.Millisecond, Trouble: func(err error) { troubles = append(troubles, err.Error()) }, Keys: func(string) ([]byte, error) { return nil, errors.New("no key") }}
	s.Tell(t.Context(), []spec.Notify{{URL: refuses.URL}, {URL: broken.URL}, {URLKey: "x"}}, Event{Type: Started})
	s.Wait()
	want := []string{`tell of "started": status 404`, `tell of "started": status 503 (6 tries)`, `tell of "started": no key`}
	if diff := cmp.Diff(want, troubles); diff != "" {
		t.Error(diff)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	s.Tell(ctx, []spec.Notify{{URL: refuses.URL}}, Event{Type: Started})
	s.Wait()
	if len(refuses.ids) != 1 {
		t.Error("it sends when nobody is there any more")
	}
}
