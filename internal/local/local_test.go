package local

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"gapless.dev/gapless/internal/app"
	"gapless.dev/gapless/internal/report"
	"gapless.dev/gapless/internal/rollout"
)

// The test binary is the service, too: started again with this variable it serves, and goes wrong as told.
const actAs = "LOCAL_TEST_SERVICE"

// Instances whose names begin with what gatedOf says are not ready before the file of gateOf is there.
const gateOf, gatedOf = "LOCAL_TEST_GATE", "LOCAL_TEST_GATED"

func TestMain(m *testing.M) {
	switch how := os.Getenv(actAs); {
	case how != "":
		serveAs(how)
	case os.Getenv(hostIn) != "":
		host()
	}
	os.Exit(m.Run())
}

// serveAs is a service: good stops when its last answer is out, naive dies on SIGTERM at once.
func serveAs(how string) {
	version := os.Getenv("GAPLESS_VERSION")
	if bad, v, ok := strings.Cut(how, "@"); ok { // how@version goes wrong in that version only
		how = bad
		if v != version {
			how = "naive"
		}
	}
	fmt.Println("starting", how, version)
	switch how {
	case "exits", "silent", "unready": // a report has room for the last of these lines only
		for n := range 30 {
			fmt.Println("migration", n)
		}
	}
	switch how {
	case "exits":
		fmt.Println("the database schema is unknown")
		os.Exit(3)
	case "silent":
		fmt.Println("waiting for the migrations")
		select {}
	case "late":
		time.Sleep(500 * time.Millisecond)
	case "deaf":
		signal.Ignore(syscall.SIGTERM)
	case "forks":
		child := exec.Command("sleep", "1000")
		if err := child.Start(); err != nil {
			panic(err)
		}
		fmt.Println("child", child.Process.Pid)
	}
	mux := http.NewServeMux()
	var asked atomic.Int64
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Gapless-Version", version)
		if how == "errs" && asked.Add(1)%2 == 0 {
			w.WriteHeader(http.StatusInternalServerError)
		}
		fmt.Fprintf(w, "%s %d\n", version, os.Getpid())
	})
	var slow atomic.Int64
	mux.HandleFunc("/slows", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, slow.Load()) })
	mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
		slow.Add(1)
		wait, _ := time.ParseDuration(r.URL.Query().Get("for"))
		time.Sleep(wait)
		fmt.Fprintf(w, "%s %d\n", version, os.Getpid())
	})
	mux.HandleFunc("/die", func(http.ResponseWriter, *http.Request) { os.Exit(9) })
	mux.HandleFunc("/ready", func(w http.ResponseWriter, _ *http.Request) {
		if _, err := os.Stat(os.Getenv(gateOf)); err != nil && os.Getenv(gatedOf) != "" && strings.HasPrefix(os.Getenv(markInstance), os.Getenv(gatedOf)) {
			w.WriteHeader(500)
		}
		if how == "unready" {
			fmt.Println("not ready: model missing")
			w.WriteHeader(500)
		}
	})
	if how == "ports" {
		mux.HandleFunc("/told", func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, os.Args[1:], os.Getenv("PORT"), " ", os.Getenv("PORT_HTTP"), " ", os.Getenv("PORT_ADMIN_API"), " ", os.Getenv("ADMIN"))
		})
		admin, err := net.Listen("tcp", "127.0.0.1:"+os.Getenv("PORT_ADMIN_API"))
		if err != nil {
			panic(err)
		}
		go func() {
			fmt.Println(http.Serve(admin, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Gapless-Version", version+" admin")
			})))
		}()
	}
	server := &http.Server{Addr: "127.0.0.1:" + os.Getenv("PORT"), Handler: mux}
	if how == "good" {
		go func() {
			term := make(chan os.Signal, 1)
			signal.Notify(term, syscall.SIGTERM)
			<-term
			_ = server.Shutdown(context.Background())
			os.Exit(0)
		}()
	}
	fmt.Println(server.ListenAndServe())
	if how == "good" {
		select {}
	}
	os.Exit(1)
}

func testApp(t *testing.T, how string, plan rollout.Plan) app.App {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	plan.App = "demo"
	if plan.Deadline == 0 {
		plan.Deadline = time.Minute
	}
	return app.App{
		Name: "demo", Command: []string{self}, Version: "1.0.0", Replicas: 2,
		Env:   map[string]string{actAs: how},
		Ports: []app.Port{{Name: "http"}},
		Health: app.Health{
			Ready:   app.Check{Path: "/ready", Port: "http", Period: 200 * time.Millisecond, Timeout: 5 * time.Second, FailureThreshold: 3, SuccessThreshold: 1},
			Startup: time.Minute,
		},
		Stop: app.Stop{Drain: 10 * time.Second, Grace: 10 * time.Second},
		Plan: plan,
	}
}

// A host is an Up that a test stops.
type testHost struct {
	t    *testing.T
	c    *Client
	ping Ping
	stop func()
}

// up serves a file until the test ends, or until stop.
func up(t *testing.T, o Options) *testHost {
	t.Helper()
	h, err := tryUp(t, o)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func tryUp(t *testing.T, o Options) (*testHost, error) {
	t.Helper()
	if o.StateDir == "" {
		o.StateDir = t.TempDir()
	}
	if testing.Verbose() && o.Log == nil {
		o.Log = testLog{t}
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan Ping, 1), make(chan error, 1)
	o.Ready = func(p Ping) { ready <- p }
	go func() { ended <- Up(ctx, o) }()
	h := &testHost{t: t, c: Dial(SocketOf(o.StateDir))}
	h.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Up: %v", err)
		}
	})
	select {
	case h.ping = <-ready:
		t.Cleanup(h.stop)
		return h, nil
	case err := <-ended:
		cancel()
		return nil, err
	}
}

type testLog struct{ t *testing.T }

func (l testLog) Write(p []byte) (int, error) {
	l.t.Logf("%s", strings.TrimRight(string(p), "\n"))
	return len(p), nil
}

func (h *testHost) url(path string) string { return "http://" + h.ping.Ports[0].Address + path }

// until watches the status until a condition holds, and fails the test after two minutes.
func (h *testHost) until(what string, holds func(report.Report) bool) report.Report {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), 2*time.Minute)
	defer cancel()
	var last report.Report
	for r, err := range h.c.Watch(ctx, "demo") {
		if err != nil {
			h.t.Fatalf("waiting until %s: %v; the last status was %+v", what, err, last)
		}
		if last = r; holds(r) {
			return r
		}
	}
	return last
}

func serving(v string, n int) func(report.Report) bool {
	return func(r report.Report) bool {
		return r.Phase == string(rollout.Idle) && len(r.Versions) > 0 && r.Versions[0].Name == v && r.Versions[0].Ready == n && r.Versions[0].Weight == 100
	}
}

func pids(r report.Report, version string) []int {
	var all []int
	for _, v := range r.Versions {
		for _, i := range v.Instances {
			if v.Name == version && i.Pid != 0 {
				all = append(all, i.Pid)
			}
		}
	}
	return all
}

func TestUp_ServesAndStopsEverything(t *testing.T) {
	h := up(t, Options{File: app.File{Apps: []app.App{testApp(t, "naive", rollout.Plan{Strategy: rollout.Rolling, MaxSurge: 1})}}})
	r := h.until("two serve", serving("1.0.0", 2))
	res, err := http.Get(h.url("/"))
	if err != nil {
		t.Fatal(err)
	}
	b, _ := io.ReadAll(res.Body)
	res.Body.Close()
	if !strings.HasPrefix(string(b), "1.0.0 ") {
		t.Errorf("answer %q", b)
	}
	h.stop()
	for _, pid := range pids(r, "1.0.0") {
		if identify(pid).alive() {
			t.Errorf("process %d runs on", pid)
		}
	}
	if _, err := net.Dial("tcp", h.ping.Ports[0].Address); err == nil {
		t.Error("the port is open still")
	}
}

func TestPorts_AreToldByNameAndEachLeadsToItsOwn(t *testing.T) {
	a := testApp(t, "ports", rollout.Plan{Strategy: rollout.Rolling, MaxSurge: 1})
	a.Ports = append(a.Ports, app.Port{Name: "admin-api"})
	a.Command = append(a.Command, "{port.http}", "{port.admin-api}")
	a.Env["ADMIN"] = "at {port.admin-api}"
	h := up(t, Options{File: app.File{Apps: []app.App{a}}})
	h.until("two serve", serving("1.0.0", 2))
	public := map[string]string{}
	for _, p := range h.ping.Ports {
		public[p.Name] = "http://" + p.Address
	}
	told := textOf(t, public["http"]+"/told")
	var args [2]int
	var port, named, admin, env int
	if _, err := fmt.Sscanf(told, "[%d %d]%d %d %d at %d", &args[0], &args[1], &port, &named, &admin, &env); err != nil {
		t.Fatalf("it was told %q: %v", told, err)
	}
	if port == admin || named != port || args != [2]int{port, admin} || env != admin {
		t.Errorf("it was told %q", told)
	}
	web, side := loadOn(t, public["http"], 60), loadOn(t, public["admin-api"], 60)
	web.sees(t, "1.0.0")
	side.sees(t, "1.0.0 admin")
	h.deploy("2.0.0")
	h.until("2.0.0 serves", serving("2.0.0", 2))
	web.sees(t, "2.0.0")
	side.sees(t, "2.0.0 admin")
	for l, suffix := range map[*loader]string{web: "", side: " admin"} {
		l.none(t)
		if l.by["1.0.0"+suffix]+l.by["2.0.0"+suffix] != l.all {
			t.Errorf("answered by the other port: %v", l.by)
		}
	}
}

func TestPorts_AreNotGivenTwiceOnOneMachine(t *testing.T) {
	var here, there ports
	defer here.giveAll()
	defer there.giveAll()
	n, err := here.take()
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "linux" {
		t.Skip("only there a port is kept before its process listens")
	}
	if _, ok := claim(n); ok {
		t.Error("another gapless could choose it, too")
	}
	here.give(n)
	held, ok := claim(n)
	if !ok {
		t.Error("it was not given back")
	}
	release(held)
}
