// Command proxy compares the built-in proxy with nginx, HAProxy and Caddy: throughput and latency, in one run, as ratios.
//
// All stand before the same upstream on loopback and get the same closed load of kept-alive clients. They take turns in rounds, so
// that a machine that gets slower does so for all. Proxies that are not installed are left out (apt-get install nginx haproxy caddy).
package main

import (
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strconv"
	"time"

	"gapless.dev/gapless/bench/closed"
)

func main() {
	log.SetFlags(0)
	switch {
	case len(os.Args) == 3 && os.Args[1] == "upstream":
		upstream(os.Args[2])
	case len(os.Args) == 4 && os.Args[1] == "gapless":
		gapless(os.Args[2], os.Args[3])
	}
	clients := flag.Int("clients", 64, "clients with a kept-alive connection each")
	rounds := flag.Int("rounds", 3, "rounds in which each proxy has its turn")
	each := flag.Duration("for", 4*time.Second, "how long a turn lasts")
	body := flag.Int("body", 128, "bytes in an answer")
	only := flag.String("only", "", "measure only this one, beside direct")
	out := flag.String("o", "table", "table or json")
	flag.Parse()
	if err := run(*clients, *rounds, *each, *body, *only, *out); err != nil {
		log.Fatal(err)
	}
}

// A Result is what one proxy did, over all rounds.
type Result struct {
	Name string `json:"name"`
	// PerSecond is the median of the rounds; Min and Max are the rounds' extremes.
	PerSecond float64 `json:"perSecond"`
	Min       float64 `json:"min"`
	Max       float64 `json:"max"`
	P50Ms     float64 `json:"p50Ms"`
	P99Ms     float64 `json:"p99Ms"`
	Errors    int     `json:"errors"`
	// OfCaddy and OfDirect are ratios of PerSecond.
	OfCaddy  float64 `json:"ofCaddy,omitempty"`
	OfDirect float64 `json:"ofDirect"`

	rounds []float64
	p50    []float64
	p99    []float64
}

func run(clients, rounds int, each time.Duration, body int, only, out string) error {
	dir, err := os.MkdirTemp("", "bench-proxy-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	up := freeAddr()
	stop, err := startSelf(up, "upstream", up+"/"+strconv.Itoa(body))
	if err != nil {
		return err
	}
	defer stop()

	results := []*Result{{Name: "direct"}}
	addrs := []string{up}
	for _, c := range contenders {
		if only != "" && c.name != only {
			continue
		}
		addr := freeAddr()
		stop, err := c.start(dir, addr, up)
		if err != nil {
			fmt.Fprintf(os.Stderr, "%s is left out: %v\n", c.name, err)
			continue
		}
		defer stop()
		results, addrs = append(results, &Result{Name: c.name}), append(addrs, addr)
	}
	for round := range rounds + 1 {
		for i, r := range results {
			if round == 0 { // warm up, uncounted
				closed.Load(addrs[i], clients, each/4)
				continue
			}
			t := closed.Load(addrs[i], clients, each)
			r.rounds, r.p50, r.p99 = append(r.rounds, t.PerSecond), append(r.p50, t.P50Ms), append(r.p99, t.P99Ms)
			r.Errors += t.Errors
		}
	}
	var caddy float64
	for _, r := range results {
		r.PerSecond, r.Min, r.Max = median(r.rounds), slices.Min(r.rounds), slices.Max(r.rounds)
		r.P50Ms, r.P99Ms = median(r.p50), median(r.p99)
		r.OfDirect = r.PerSecond / results[0].PerSecond
		if r.Name == "caddy" {
			caddy = r.PerSecond
		}
	}
	for _, r := range results {
		if caddy > 0 {
			r.OfCaddy = r.PerSecond / caddy
		}
	}
	if out == "json" {
		return json.NewEncoder(os.Stdout).Encode(map[string]any{"clients": clients, "bodyBytes": body, "cpus": runtime.NumCPU(), "results": results})
	}
	fmt.Printf("%d kept-alive clients, %d bytes an answer, %d CPUs shared by load, proxy and upstream, median of %d rounds of %v\n\n", clients, body, runtime.NumCPU(), rounds, each)
	fmt.Printf("%-10s %12s %17s %9s %9s %8s %9s %7s\n", "proxy", "requests/s", "(min-max)", "p50 ms", "p99 ms", "x Caddy", "x direct", "errors")
	for _, r := range results {
		fmt.Printf("%-10s %12.0f %17s %9.2f %9.2f %8.2f %9.2f %7d\n", r.Name, r.PerSecond,
			fmt.Sprintf("(%.0f-%.0f)", r.Min, r.Max), r.P50Ms, r.P99Ms, r.OfCaddy, r.OfDirect, r.Errors)
	}
	return nil
}

func median[T cmp.Ordered](values []T) T {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

func freeAddr() string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// upstream answers ADDR/BYTES forever.
func upstream(arg string) {
	i := slices.Index([]byte(arg), '/')
	n, err := strconv.Atoi(arg[i+1:])
	if err != nil {
		log.Fatal(err)
	}
	answer := make([]byte, n)
	for i := range answer {
		answer[i] = 'a' + byte(i%26)
	}
	log.Fatal(http.ListenAndServe(arg[:i], http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		_, _ = w.Write(answer)
	})))
}
