// Command wrap measures what gapless wrap costs: the same service bare and wrapped, side by side, in one run.
//
//	go run ./bench/wrap
//
// Both get the same closed load in turns, on kept connections and on a new one for each request. Services whose language is not
// installed are left out.
package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"gapless.dev/gapless/bench/closed"
)

// A service listens on the port in PORT.
type service struct {
	name    string
	command []string
}

func main() {
	log.SetFlags(0)
	if os.Getenv("BENCH_SERVE") != "" {
		serve()
	}
	clients := flag.Int("clients", 32, "clients that ask at the same time")
	rounds := flag.Int("rounds", 3, "rounds in which each has its turn")
	each := flag.Duration("for", 4*time.Second, "how long a turn lasts")
	flag.Parse()
	if err := run(*clients, *rounds, *each); err != nil {
		log.Fatal(err)
	}
}

// serve answers 128 bytes for ever: a service that costs next to nothing, so that wrap costs as much as it can.
func serve() {
	body := []byte(strings.Repeat("x", 128))
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		_, _ = w.Write(body)
	})))
}

func run(clients, rounds int, each time.Duration) error {
	dir, err := os.MkdirTemp("", "bench-wrap-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	gapless := filepath.Join(dir, "gapless")
	build := exec.Command("go", "build", "-o", gapless, "./cmd/gapless")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("build gapless: %w", err)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	prefer(os.Getpid())
	fmt.Printf("%d clients, %d CPUs shared by load, wrap and service, median of %d rounds of %v\n\n", clients, runtime.NumCPU(), rounds, each)
	fmt.Printf("%-8s %-12s %10s %10s %8s %9s %9s %16s %9s %7s\n", "service", "connections", "bare/s", "wrapped/s", "wrapped", "p50 ms", "p50 ms", "CPU of wrap", "of bare", "errors")
	fmt.Printf("%-8s %-12s %10s %10s %8s %9s %9s %16s %9s %7s\n", "", "", "", "", "of bare", "bare", "wrapped", "µs a request", "service", "")
	for _, s := range []service{
		{"Go", []string{self}},
		{"Node", []string{"node", "examples/node/server.js"}},
		{"Python", []string{"python3", "examples/python/server.py"}},
	} {
		if _, err := exec.LookPath(s.command[0]); err != nil {
			fmt.Fprintf(os.Stderr, "%s is left out: %v\n", s.name, err)
			continue
		}
		if err := s.measure(gapless, clients, rounds, each); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}

// A contender is the service, bare or wrapped.
type contender struct {
	addr  string
	pid   int
	turns []closed.Turn
	cpu   []float64 // µs of the process a request
}

func (s service) measure(gapless string, clients, rounds int, each time.Duration) error {
	bare, stop, err := start(s.command)
	if err != nil {
		return err
	}
	defer stop()
	wrapped, stopWrapped, err := start(append([]string{gapless, "wrap", "--health", "", "--drain", "0s", "--"}, s.command...))
	if err != nil {
		return err
	}
	defer stopWrapped()
	both := []*contender{bare, wrapped}
	for _, how := range []struct {
		name string
		load func(string, int, time.Duration) closed.Turn
	}{{"kept", closed.Load}, {"new", closed.LoadNew}} {
		for _, c := range both {
			c.turns, c.cpu = nil, nil
			how.load(c.addr, clients, each/4) // warm up, uncounted
		}
		for range rounds {
			for _, c := range both {
				before := cpuOf(c.pid)
				t := how.load(c.addr, clients, each)
				c.turns = append(c.turns, t)
				c.cpu = append(c.cpu, float64((cpuOf(c.pid)-before).Microseconds())/float64(max(1, t.Answers)))
			}
		}
		perSecond, p50 := func(t closed.Turn) float64 { return t.PerSecond }, func(t closed.Turn) float64 { return t.P50Ms }
		failed := 0
		for _, t := range append(slices.Clone(bare.turns), wrapped.turns...) {
			failed += t.Errors
		}
		fmt.Printf("%-8s %-12s %10.0f %10.0f %8.2f %9.2f %9.2f %16.0f %9.0f %7d\n", s.name, how.name,
			median(bare.turns, perSecond), median(wrapped.turns, perSecond), median(wrapped.turns, perSecond)/median(bare.turns, perSecond),
			median(bare.turns, p50), median(wrapped.turns, p50), middle(wrapped.cpu), middle(bare.cpu), failed)
	}
	return nil
}

func median(turns []closed.Turn, of func(closed.Turn) float64) float64 {
	var values []float64
	for _, t := range turns {
		values = append(values, of(t))
	}
	return middle(values)
}

func middle[T cmp.Ordered](values []T) T {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

// start runs a command with a port of its own until stop, and returns once it answers.
func start(command []string) (*contender, func(), error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	addr := ln.Addr().String()
	ln.Close()
	_, port, _ := net.SplitHostPort(addr)
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Env = append(os.Environ(), "PORT="+port, "BENCH_SERVE=1", "GAPLESS_DRAIN=0s")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // as wrap gives the service: the scheduler shares the machine out by session
	if os.Getenv("BENCH_VERBOSE") != "" {
		cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	}
	if err := cmd.Start(); err != nil {
		return nil, nil, err
	}
	stop := func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	}
	for range 400 {
		if res, err := http.Get("http://" + addr + "/"); err == nil {
			res.Body.Close()
			prefer(cmd.Process.Pid)
			return &contender{addr: addr, pid: cmd.Process.Pid}, stop, nil
		}
		time.Sleep(25 * time.Millisecond)
	}
	stop()
	return nil, nil, errors.New("it does not answer on " + addr)
}

// prefer puts a process and its children before what else the machine does, where that is allowed: three processes that take turns
// suffer more from others than two.
func prefer(pid int) {
	_ = os.WriteFile(fmt.Sprintf("/proc/%d/autogroup", pid), []byte("-20"), 0)
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, file := range threads {
		text, _ := os.ReadFile(file)
		for child := range strings.FieldsSeq(string(text)) {
			if n, err := strconv.Atoi(child); err == nil {
				prefer(n)
			}
		}
	}
}

// cpuOf is the processor time of one process so far; 0 where it cannot be seen.
func cpuOf(pid int) time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	const tick = 10 * time.Millisecond // USER_HZ is 100 on Linux
	return time.Duration(user+system) * tick
}
