package load_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"gapless.dev/kit/load"
)

func TestRun_CoversEveryKindOfRequestInOneRun(t *testing.T) {
	srv := bothProtocols(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set(load.VersionHeader, "1.0.0")
		w.Write([]byte("hello"))
	})

	// It goes on until every kind was seen: on a busy machine all may be under way at once, and then none is on a reused connection.
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	opts := load.Options{URL: srv.URL, Rate: 400, New: 0.5, Post: 0.2, H2: 0.5, Timeout: patience}
	type kind struct {
		proto, method string
		reused        bool
	}
	kinds := map[kind]int{}
	seen := map[int]bool{}
	err := load.Run(ctx, opts, func(r load.Result) {
		seen[r.Seq] = true
		kinds[kind{r.Proto, r.Method, r.Reused}]++
		if len(kinds) == 8 && len(seen) >= 400 {
			cancel()
		}
		if r.Class.Lost() || r.Version != "1.0.0" || r.Status != 200 {
			t.Errorf("request %s: class %q (%s), version %q, status %d", r.ID, r.Class, r.Err, r.Version, r.Status)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	for seq := range len(seen) {
		if !seen[seq] {
			t.Errorf("no result for request %d of %d", seq, len(seen))
		}
	}
}

func TestRun_EndsTheScheduleWithTheContext(t *testing.T) {
	srv := httptest.NewServer(http.NotFoundHandler())
	defer srv.Close()
	ctx, cancel := context.WithCancel(t.Context())
	n := 0
	err := load.Run(ctx, load.Options{URL: srv.URL, Rate: 100, Timeout: patience}, func(r load.Result) {
		n++
		if r.Class != load.Status4xx {
			t.Errorf("class %q, want %q", r.Class, load.Status4xx)
		}
		cancel()
	})
	if err != nil || n == 0 {
		t.Errorf("%d results, error %v", n, err)
	}
}

func TestRun_NamesTheWrongOption(t *testing.T) {
	for name, opts := range map[string]load.Options{
		"no rate":    {URL: "http://x"},
		"no scheme":  {URL: "localhost:80", Rate: 1},
		"share":      {URL: "http://x", Rate: 1, New: 1.5},
		"connect to": {URL: "http://x", Rate: 1, ConnectTo: "nowhere"},
		"header":     {URL: "http://x", Rate: 1, Header: http.Header{"A": {"b\r\nc"}}},
	} {
		err := load.Run(t.Context(), opts, func(load.Result) { t.Errorf("%s: a request was sent", name) })
		if !errors.Is(err, load.ErrOptions) {
			t.Errorf("%s: error is %v", name, err)
		}
	}
}

func TestRun_SendsTheHeadersThatWereGiven(t *testing.T) {
	type seen struct{ host, accept, agent, user string }
	var mu sync.Mutex
	got := map[string]seen{}
	srv := bothProtocols(t, func(_ http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		mu.Lock()
		got[r.Proto] = seen{r.Host, r.Header.Get("Accept"), r.UserAgent(), user + ":" + password}
		mu.Unlock()
	})
	opts := load.Options{
		URL:       "http://me:secret@users.example/",
		ConnectTo: srv.Listener.Addr().String(),
		Rate:      50, For: 200 * time.Millisecond, H2: 0.5, Timeout: patience,
		Header: http.Header{"Host": {"api.example"}, "Accept": {"text/plain"}, "Connection": {"upgrade"}},
	}
	if err := load.Run(t.Context(), opts, func(r load.Result) {
		if r.Class.Lost() {
			t.Errorf("class %q: %s", r.Class, r.Err)
		}
	}); err != nil {
		t.Fatal(err)
	}
	want := seen{"api.example", "text/plain", "gapless-load", "me:secret"}
	if got["HTTP/1.1"] != want || got["HTTP/2.0"] != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
