package load_test

import (
	"context"
	"maps"
	"net"
	"sync"
	"testing"
	"time"

	"gapless.dev/kit/load"
	"gapless.dev/kit/load/loadtest"
)

// patience is for what does not happen: no loaded machine is to make a good answer late.
const patience = time.Minute

// everyFault loses 7 requests of every 20, one in each way but by time.
func everyFault(seq int) loadtest.Fault {
	return map[int]loadtest.Fault{
		1:  loadtest.ResetBefore,
		3:  loadtest.EndBefore,
		5:  loadtest.EndInHeader,
		7:  loadtest.HalfAnswer,
		9:  loadtest.Error500,
		11: loadtest.Error404,
		15: loadtest.Lie,
		17: loadtest.Close,
	}[seq%20]
}

func TestRun_CountsExactlyWhatTheServerLost(t *testing.T) {
	kinds := []*lossy{
		{name: "HTTP/1 new", fresh: 1},
		{name: "HTTP/1 reused"},
		{name: "HTTP/1 TLS", secure: true, fresh: 0.2},
		{name: "h2c new", h2: 1, fresh: 1},
		{name: "h2c reused", h2: 1},
		{name: "HTTP/2 TLS", secure: true, h2: 1, fresh: 0.2},
		{name: "mixed", fresh: 0.5, h2: 0.5},
	}
	// They wait for the schedule most of the time: all at once.
	var all sync.WaitGroup
	for _, k := range kinds {
		all.Go(func() {
			for range 5 {
				if k.run(t.Context()); !k.starved() {
					return
				}
			}
		})
	}
	all.Wait()
	for _, k := range kinds {
		t.Run(k.name, k.check)
	}
}

// lossy is a run against a server with every fault.
type lossy struct {
	name      string
	secure    bool
	fresh, h2 float64

	err      error
	results  []load.Result
	attempts map[string]int
}

// starved reports whether the server gave up on a new HTTP/2 connection before any request
// arrived on it, as net/http does when it has not got around to the client's settings within
// two seconds. On a machine that busy the run says nothing about the counting.
func (k *lossy) starved() bool {
	for _, r := range k.results {
		if r.Proto == "HTTP/2.0" && !r.Reused && r.Class == load.ResetBefore && k.attempts[r.ID] == 0 {
			return true
		}
	}
	return false
}

func (k *lossy) run(ctx context.Context) {
	k.results = nil
	srv := loadtest.Start(k.secure, func(seq int) loadtest.Fault {
		fault := everyFault(seq)
		if fault == loadtest.Close && k.h2 > 0 {
			// It takes streams that are on their way with it: a test of its own.
			return loadtest.None
		}
		return fault
	})
	defer srv.Close()
	opts := srv.Options()
	opts.Rate, opts.For, opts.Timeout = 50, 2*time.Second, patience
	opts.New, opts.H2, opts.Post = k.fresh, k.h2, 0.3
	k.err = load.Run(ctx, opts, func(r load.Result) { k.results = append(k.results, r) })
	k.attempts = srv.Attempts()
}

func (k *lossy) check(t *testing.T) {
	if k.err != nil {
		t.Fatal(k.err)
	}
	got, ids, reused := map[load.Class]int{}, map[string]bool{}, 0
	var late time.Duration
	for _, r := range k.results {
		got[r.Class]++
		ids[r.ID] = true
		late = max(late, r.Started.Sub(r.Scheduled))
		if r.Reused {
			reused++
		}
		if r.Class == load.Answered && (r.Version != loadtest.Version || r.Status != 200) {
			t.Errorf("answered by version %q with status %d", r.Version, r.Status)
		}
		if r.Class.Lost() != (r.Err != "") {
			t.Errorf("class %q with error %q", r.Class, r.Err)
		}
	}
	want := map[load.Class]int{
		load.Answered: 65, load.ResetBefore: 10, load.ResetAfter: 10,
		load.Status5xx: 5, load.Status4xx: 5, load.WrongBody: 5,
	}
	if !maps.Equal(got, want) {
		t.Errorf("counted %v, want %v", got, want)
		for _, r := range k.results {
			if r.Class.Lost() && k.attempts[r.ID] != 1 {
				t.Logf("%s never arrived: %+v", r.ID, r)
			}
		}
	}
	for id, n := range k.attempts {
		if n != 1 || !ids[id] {
			t.Errorf("request %s was attempted %d times", id, n)
		}
	}
	if len(k.attempts) != 100 || len(ids) != 100 {
		t.Errorf("%d attempts of %d requests, want 100 of 100", len(k.attempts), len(ids))
	}
	if reused > 0 && k.fresh == 1 {
		t.Errorf("%d requests on reused connections, want none", reused)
	}
	// When all requests start at once, because the machine is busy, none finds a connection idle.
	if reused == 0 && k.fresh < 1 && late < time.Second {
		t.Errorf("no request on a reused connection, with a share of %g on new ones", k.fresh)
	}
}

func TestRun_CountsExactlyTheRequestsThatStall(t *testing.T) {
	srv := loadtest.Start(false, func(seq int) loadtest.Fault {
		if seq%4 == 1 {
			return loadtest.Stall
		}
		return loadtest.None
	})
	defer srv.Close()
	opts := srv.Options()
	opts.Rate, opts.For, opts.Timeout = 20, time.Second, 4*time.Second
	opts.New, opts.H2 = 0.5, 0.5
	got := map[load.Class]int{}
	load.Run(t.Context(), opts, func(r load.Result) {
		got[r.Class]++
		if r.Class == load.Timeout && r.Latency() < opts.Timeout {
			t.Errorf("a timeout after %v", r.Latency())
		}
	})
	if !maps.Equal(got, map[load.Class]int{load.Answered: 15, load.Timeout: 5}) {
		t.Errorf("counted %v, want 15 answered and 5 timeouts", got)
	}
}

func TestRun_LosesNothingWhenTheServerAnnouncesEveryClose(t *testing.T) {
	srv := loadtest.Start(false, func(int) loadtest.Fault { return loadtest.Close })
	defer srv.Close()
	opts := srv.Options()
	opts.Rate, opts.For, opts.Timeout = 200, time.Second, patience
	n := 0
	load.Run(t.Context(), opts, func(r load.Result) {
		n++
		if r.Class.Lost() || r.Reused {
			t.Errorf("class %q (%s), reused %v", r.Class, r.Err, r.Reused)
		}
	})
	if n != 200 || srv.Conns() != 200 {
		t.Errorf("%d requests on %d connections, want 200 on 200", n, srv.Conns())
	}
}

func TestRun_LeavesAConnectionWithGoAway(t *testing.T) {
	srv := loadtest.Start(false, func(seq int) loadtest.Fault {
		if seq%10 == 0 {
			return loadtest.Close
		}
		return loadtest.None
	})
	defer srv.Close()
	opts := srv.Options()
	opts.Rate, opts.For, opts.H2, opts.Conns = 500, time.Second, 1, 2
	opts.Timeout = patience
	got := map[load.Class]int{}
	load.Run(t.Context(), opts, func(r load.Result) { got[r.Class]++ })
	t.Logf("%d connections, %v", srv.Conns(), got)
	// A request that crosses the GOAWAY on its way is not processed, and nothing else happens to any.
	if got[load.Answered]+got[load.Unprocessed] != 500 || got[load.Answered] < 250 {
		t.Errorf("counted %v, want 500 answered but for a few unprocessed", got)
	}
	if srv.Conns() < 4 {
		t.Errorf("%d connections were opened, although 50 answers closed one", srv.Conns())
	}
}

func TestRun_ClassifiesWhatFailsBeforeAnyRequest(t *testing.T) {
	secure := loadtest.Start(true, func(int) loadtest.Fault { return loadtest.None })
	t.Cleanup(secure.Close)
	plain := loadtest.Start(false, func(int) loadtest.Fault { return loadtest.None })
	t.Cleanup(plain.Close)
	for name, c := range map[string]struct {
		opts load.Options
		want load.Class
	}{
		"closed port":             {load.Options{URL: "http://" + closedPort(t)}, load.Refused},
		"closed port, HTTP/2":     {load.Options{URL: "http://" + closedPort(t), H2: 1}, load.Refused},
		"no such name":            {load.Options{URL: "http://no-such-name.invalid"}, load.DNS},
		"unknown authority":       {load.Options{URL: secure.URL}, load.TLS},
		"no TLS behind https":     {load.Options{URL: "https://" + plain.Listener.Addr().String()}, load.TLS},
		"no TLS, HTTP/2":          {load.Options{URL: "https://" + plain.Listener.Addr().String(), H2: 1}, load.TLS},
		"nobody takes connection": {load.Options{URL: "http://" + fullBacklog(t), Timeout: 300 * time.Millisecond}, load.ConnectTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.opts.Rate, c.opts.For, c.opts.New = 50, 200*time.Millisecond, 0.5
			if c.opts.Timeout == 0 {
				c.opts.Timeout = patience
			}
			n := 0
			load.Run(t.Context(), c.opts, func(r load.Result) {
				n++
				if r.Class != c.want {
					t.Errorf("class %q (%s), want %q", r.Class, r.Err, c.want)
				}
			})
			if n != 10 {
				t.Errorf("%d results, want 10", n)
			}
		})
	}
}

func TestRun_CountsWhatIsBeyondTheCeiling(t *testing.T) {
	srv := loadtest.Start(false, func(int) loadtest.Fault { return loadtest.Stall })
	defer srv.Close()
	opts := srv.Options()
	opts.Rate, opts.For, opts.MaxOutstanding = 100, time.Second, 30
	opts.Timeout = patience
	got := map[load.Class]int{}
	load.Run(t.Context(), opts, func(r load.Result) {
		got[r.Class]++
		if got[load.Overload] == 70 {
			srv.Release()
		}
	})
	if got[load.Answered] != 30 || got[load.Overload] != 70 {
		t.Errorf("counted %v, want 30 answered and 70 overload", got)
	}
	if n := len(srv.Attempts()); n != 30 {
		t.Errorf("%d requests arrived, want 30", n)
	}
}

func closedPort(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}
