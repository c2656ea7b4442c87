package wrap_test

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"gapless.dev/kit"
	"gapless.dev/kit/load"
)

var (
	shutdowns = flag.Int("shutdowns", 1, "how often each kind of service is stopped under load")
	rate      = flag.Float64("rate", 100, "requests a second to a service that is stopped")
	tableFile = flag.String("table", "", "file to add a row a kind to")
)

// A kind is a service that is wrapped, and what is odd about it.
type kind struct {
	name  string
	setup func(t *testing.T) setup
	// outlives is how many requests are in flight at the signal that take longer than the grace period.
	outlives int
	post, h2 float64
}

var kinds = []kind{
	{name: "Python, naive", post: 0.2, setup: func(t *testing.T) setup { return setup{command: python(t)} }},
	{name: "Node, naive", post: 0.2, setup: func(t *testing.T) setup { return setup{command: node(t)} }},
	{name: "nginx, naive", setup: nginx},
	{name: "Go, naive", post: 0.2, setup: func(*testing.T) setup { return setup{command: service("plain")} }},
	{name: "Python, ignores SIGTERM", post: 0.2, setup: func(t *testing.T) setup {
		return setup{command: append([]string{"/bin/sh", "-c", `trap "" TERM; exec "$@"`, "sh"}, python(t)...)}
	}},
	{name: "Go, hears SIGTERM and does nothing", post: 0.2, setup: func(*testing.T) setup {
		return setup{command: service("deaf"), flags: []string{"--stop-within", "500ms"}}
	}},
	{name: "Python, forked by a shell that stays", post: 0.2, setup: func(t *testing.T) setup {
		return setup{command: append([]string{"/bin/sh", "-c", `"$@"; exit 0`, "sh"}, python(t)...)}
	}},
	{name: "Node, forks four workers", post: 0.2, setup: func(t *testing.T) setup {
		return setup{command: []string{node(t)[0], "testdata/cluster.js"}}
	}},
	{name: "Go, closes its listener and connections at once", post: 0.2, setup: func(*testing.T) setup { return setup{command: service("closes")} }},
	{name: "Go, naive, over HTTP/2 without TLS", post: 0.2, h2: 1, setup: func(*testing.T) setup { return setup{command: service("plain")} }},
	{name: "Go with kit, not wrapped", post: 0.2, setup: func(*testing.T) setup { return setup{command: service("kit"), bare: true} }},
	{name: "Python, outlives the grace period", post: 0.2, outlives: 7, setup: func(t *testing.T) setup { return setup{command: python(t)} }},
}

// patient has enough time for requests in flight on a machine that has little; leisurely has more than that, where nothing is to be cut.
var (
	patient   = kit.Budget{Grace: 12 * time.Second, Drain: time.Second, Close: time.Second, Margin: 2 * time.Second}
	leisurely = kit.Budget{Grace: time.Minute, Drain: time.Second, Close: time.Second, Margin: 2 * time.Second}
)

// An outcome is what became of a kind's shutdowns.
type outcome struct {
	shutdowns, clean int // clean: nothing was lost but what was cut, and that was counted
	requests, lost   int
	expected, cut    int // requests that outlive the grace period, and those that the reports say were cut
	// crossed are requests over HTTP/2 that met a GOAWAY on their way: net/http names in it the last request that it has taken, and a client
	// knows by that number that it may send a later one again. Our client does not.
	crossed int

	wrong []string      // what was not as it should be
	late  time.Duration // how late this machine itself was at the worst
}

// Wrapped services lose nothing when they are stopped under load, whatever they do with the signal. Clients come for the whole drain:
// half on new connections, half on kept ones, a fifth by POST.
func TestShutdown_UnderLoadLosesNothing(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			s := k.setup(t)
			var sum outcome
			for range *shutdowns {
				sum.add(inTime(t, s, k))
			}
			t.Logf("%d of %d clean: %d of %d requests lost; %d were to be cut, %d were reported; %d met a GOAWAY", sum.clean, sum.shutdowns, sum.lost, sum.requests, sum.expected, sum.cut, sum.crossed)
			row(t, k.name, sum)
			if sum.clean != sum.shutdowns {
				t.Errorf("%d of %d shutdowns were clean", sum.clean, sum.shutdowns)
			}
		})
	}
}

func (o *outcome) add(more outcome) {
	o.shutdowns += more.shutdowns
	o.clean += more.clean
	o.requests += more.requests
	o.lost += more.lost
	o.expected += more.expected
	o.cut += more.cut
	o.crossed += more.crossed
}

// tooLate is when this machine says little of who lost a request: ours may have been sent after the drain's end.
const tooLate = 200 * time.Millisecond

// inTime stops the service. What was not clean while this machine was too late itself is done once more, a few times; not in a soak, whose table
// shows all.
func inTime(t *testing.T, s setup, k kind) outcome {
	t.Helper()
	for try := 1; ; try++ {
		o := shutdown(t, s, k)
		if o.clean == 1 || o.late < tooLate || *shutdowns > 1 || try == 5 {
			for _, what := range o.wrong {
				t.Errorf("%s (this machine was up to %v late)", what, o.late)
			}
			return o
		}
		t.Logf("this machine was up to %v late: once more; %s", o.late, strings.Join(o.wrong, "; "))
	}
}

// shutdown starts the service, loads it, stops it, and counts.
func shutdown(t *testing.T, s setup, k kind) outcome {
	s.budget = leisurely
	if k.outlives > 0 {
		s.budget = patient
	}
	w := start(t, s).ready()
	o := outcome{shutdowns: 1, expected: k.outlives}
	complain := func(format string, args ...any) { o.wrong = append(o.wrong, fmt.Sprintf(format, args...)) }
	var slow sync.WaitGroup
	for range k.outlives {
		slow.Go(func() { w.askTooMuch(t) })
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	watching, seen := context.WithCancel(t.Context())
	defer seen()
	late := lateness(watching)
	loaded := make(chan struct{})
	var lost []load.Result
	go func() {
		defer close(loaded)
		err := load.Run(ctx, load.Options{URL: w.url("/"), Rate: *rate, New: 0.5, Post: k.post, H2: k.h2, Timeout: 10 * time.Second}, func(r load.Result) {
			o.requests++
			switch {
			case r.Class == load.Unprocessed:
				o.crossed++
			case r.Class.Lost():
				lost = append(lost, r)
			}
		})
		if err != nil {
			t.Error(err)
		}
	}()
	time.Sleep(time.Second)
	signalled := time.Now()
	w.signal(syscall.SIGTERM)
	time.Sleep(time.Until(signalled.Add(s.budget.Drain)))
	stop()
	<-loaded
	slow.Wait()
	code, report := w.wait()
	seen()
	o.late = (<-late).Round(time.Millisecond)
	o.lost, o.cut = len(lost), int(report.Cut.Requests)
	for _, r := range lost {
		complain("%s %s, %s after the signal: %s %s", r.Proto, r.Method, r.Scheduled.Sub(signalled).Round(time.Millisecond), r.Class, r.Err)
	}
	want := 0
	if k.outlives > 0 {
		want = 3
	}
	if code != want || o.cut != o.expected || report.Cut.Hijacked != 0 {
		complain("exit %d, want %d; cut %+v, want %d requests", code, want, report.Cut, o.expected)
	}
	if c, err := net.Dial("tcp", w.addr); err == nil {
		c.Close()
		t.Error("somebody listens after the end")
	}
	if o.lost == 0 && code == want && o.cut == o.expected {
		o.clean = 1
	}
	return o
}

// lateness tells, once the context has ended, how late this machine was at the worst until then.
func lateness(ctx context.Context) <-chan time.Duration {
	const every = 10 * time.Millisecond
	worst := make(chan time.Duration, 1)
	go func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		var most time.Duration
		for last := time.Now(); ; last = time.Now() {
			select {
			case <-tick.C:
				most = max(most, time.Since(last)-every)
			case <-ctx.Done():
				worst <- most
				return
			}
		}
	}()
	return worst
}

// askTooMuch asks for what takes longer than the grace period, and must not get it.
func (w *wrapped) askTooMuch(t *testing.T) {
	res, err := one.Get(w.url("/slow?ms=60000"))
	if err != nil {
		return // cut
	}
	defer res.Body.Close()
	if body, err := io.ReadAll(res.Body); err == nil && res.StatusCode == http.StatusOK {
		t.Errorf("a request that takes a minute was answered: %q", body)
	}
}

func row(t *testing.T, name string, o outcome) {
	if *tableFile == "" {
		return
	}
	f, err := os.OpenFile(*tableFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fmt.Fprintf(f, "| %s | %d of %d | %d | %d | %d of %d | %d |\n", name, o.clean, o.shutdowns, o.requests, o.lost, o.cut, o.expected, o.crossed)
}

// node is the service of the example, as a command.
func node(t *testing.T) []string {
	t.Helper()
	path, err := exec.LookPath("node")
	if err != nil {
		t.Skip("node is not installed")
	}
	return []string{path, "../../examples/node/server.js"}
}

// nginx is the site of the example, on a port of its own.
func nginx(t *testing.T) setup {
	t.Helper()
	path, err := exec.LookPath("nginx")
	if err != nil {
		t.Skip("nginx is not installed")
	}
	conf, err := os.ReadFile("../../examples/nginx/nginx.conf")
	if err != nil {
		t.Fatal(err)
	}
	port, dir := freePorts(t, 1)[0], t.TempDir()
	text := strings.NewReplacer("listen 8000;", "listen 127.0.0.1:"+port+";", "/tmp/", dir+"/").Replace(string(conf))
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return setup{command: []string{path, "-c", file, "-g", "daemon off;"}, flags: []string{"--to", "127.0.0.1:" + port}}
}
