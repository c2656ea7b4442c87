// Command probe measures the prober itself: does it keep its schedule on one core, and does it count exactly?
//
//	go run ./bench/probe [-rate 5000] [-for 15s] [-runs 3]
//
// It starts a server on the last core and, one run after the other, the prober on the first.
// The server resets every 1,000th request; the prober has to find exactly those.
package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"

	"gapless.dev/gapless/internal/probe"
	"gapless.dev/gapless/internal/report"
	"gapless.dev/kit/load"
	"gapless.dev/kit/load/loadtest"
)

func main() {
	rate := flag.Float64("rate", 5000, "requests per second")
	length := flag.Duration("for", 15*time.Second, "length of one run")
	runs := flag.Int("runs", 3, "runs of each mix")
	before := flag.String("before", "", "`command` to put before the prober's, such as \"chrt -r 1\" on a machine that is not idle")
	role := flag.String("role", "", "internal: server or prober")
	url := flag.String("url", "", "internal: the server's")
	mix := flag.Int("mix", 0, "internal: index of the mix")
	flag.Parse()

	var err error
	switch *role {
	case "server":
		err = serve()
	case "prober":
		err = send(*url, *rate, *length, mixes[*mix])
	default:
		err = measure(*rate, *length, *runs, strings.Fields(*before))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "probe benchmark:", err)
		os.Exit(1)
	}
}

// mix is a kind of load.
type mix struct {
	name          string
	new, post, h2 float64
}

var mixes = []mix{
	{name: "HTTP/1.1, reused connections"},
	{name: "HTTP/1.1, half on new connections, 20 % POST", new: 0.5, post: 0.2},
	{name: "HTTP/1.1 and a quarter HTTP/2, half on new connections", new: 0.5, post: 0.2, h2: 0.25},
}

// faultEvery is how many requests it takes for one to be reset.
const faultEvery = 1000

func serve() error {
	if err := pin(runtime.NumCPU() - 1); err != nil {
		return err
	}
	srv := loadtest.Start(false, func(seq int) loadtest.Fault {
		if seq%faultEvery == faultEvery-1 {
			return loadtest.ResetBefore
		}
		return loadtest.None
	})
	// One thread of Go code for one core.
	runtime.GOMAXPROCS(1)
	fmt.Println(srv.URL)
	// Until the parent is gone.
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

func send(url string, rate float64, length time.Duration, m mix) error {
	if err := pin(0); err != nil {
		return err
	}
	runtime.GOMAXPROCS(1)
	probe.KeepTime()
	t, err := probe.New(load.Options{
		URL: url, Rate: rate, For: length,
		New: m.new, Post: m.post, H2: m.h2, Check: loadtest.Check,
	}).Run(context.Background())
	if err != nil {
		return err
	}
	return report.TrafficJSON(os.Stdout, t)
}

func measure(rate float64, length time.Duration, runs int, before []string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	server := exec.Command(self, "-role", "server")
	server.Stderr = os.Stderr
	stdin, err := server.StdinPipe()
	if err != nil {
		return err
	}
	out, err := server.StdoutPipe()
	if err != nil {
		return err
	}
	if err := server.Start(); err != nil {
		return err
	}
	defer server.Wait()
	defer stdin.Close()
	url, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return fmt.Errorf("the server did not start: %w", err)
	}

	fmt.Printf("%g requests/s for %v, prober on one core, server on another; %d CPUs, %s %s/%s, %s%s\n\n",
		rate, length, runtime.NumCPU(), runtime.Version(), runtime.GOOS, runtime.GOARCH, time.Now().UTC().Format("2006-01-02"), note(before))
	fmt.Println("| load | requests | lost, counted | lost, really | started late p50 | p99 | max | prober CPU | verdict |")
	fmt.Println("|---|---:|---:|---:|---:|---:|---:|---:|---|")
	held := true
	for i, m := range mixes {
		for range runs {
			ok, err := measureOne(self, strings.TrimSpace(url), rate, length, i, m, before)
			if err != nil {
				return err
			}
			held = held && ok
		}
	}
	if !held {
		fmt.Println("\nAt least one run missed the goal: p99 of lateness under 2 ms, and exact counts.")
	}
	return nil
}

func note(before []string) string {
	if len(before) == 0 {
		return ""
	}
	return ", prober under " + strings.Join(before, " ")
}

func measureOne(self, url string, rate float64, length time.Duration, i int, m mix, before []string) (bool, error) {
	args := append(slices.Clone(before), self, "-role", "prober", "-url", url,
		"-mix", fmt.Sprint(i), "-rate", fmt.Sprint(rate), "-for", length.String())
	cmd := exec.Command(args[0], args[1:]...)
	var stdout bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return false, fmt.Errorf("prober: %w", err)
	}
	var t report.Traffic
	if err := json.Unmarshal(stdout.Bytes(), &t); err != nil {
		return false, err
	}
	cpu := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	really := t.Requests / faultEvery
	late := t.ScheduleError
	held := late.P99.Duration() < 2*time.Millisecond && t.Lost == really && t.Losses[string(load.ResetBefore)] == really
	verdict := map[bool]string{true: "held", false: "missed"}[held]
	fmt.Printf("| %s | %d | %d | %d | %s | %s | %s | %.0f %% | %s |\n", m.name, t.Requests, t.Lost, really,
		report.Short(late.P50.Duration()), report.Short(late.P99.Duration()), report.Short(late.Max.Duration()),
		100*cpu.Seconds()/cmp.Or(t.Elapsed.Duration().Seconds(), 1), verdict)
	if len(t.Examples) > 0 && t.Lost != really {
		fmt.Fprintf(os.Stderr, "losses %v, for example: %+v\n", t.Losses, t.Examples[len(t.Examples)-1])
	}
	return held, nil
}
