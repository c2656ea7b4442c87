// Package probe is the gate that needs nothing installed: it asks the instances of both versions themselves, in turn, and the address that
// clients use, and compares losses and latency.
package probe

import (
	"context"
	"crypto/tls"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"gapless.dev/gapless/internal/gate"
	"gapless.dev/gapless/internal/gate/spec"
	"gapless.dev/gapless/internal/rollout"
	"gapless.dev/kit/load"
)

// A Probe is one gate.
type Probe struct {
	spec spec.Probe
	// width of a bin, and beat: how often results are looked at and instances that came or went are noticed.
	width, beat time.Duration
}

// New makes one of what the user wrote.
func New(s spec.Probe) *Probe { return &Probe{spec: s, width: 5 * time.Second, beat: time.Second} }

// Parts of the rate: so much goes to the address that clients use, and the rest is shared by the two versions.
const throughEntry = 0.4

// Watch asks until nobody is interested.
func (p *Probe) Watch(ctx context.Context, q gate.Question, say func(rollout.Verdict)) error {
	t := newTally(p, q.Memory)
	streams := &streams{options: p.options}
	defer streams.stop()
	ticker := time.NewTicker(p.beat)
	defer ticker.Stop()
	for {
		s := q.Subject()
		streams.keep(ctx, p.targets(s), t.take)
		t.count(time.Now(), s, q.Saw)
		say(t.verdict(time.Now(), s))
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// A target is one stream of requests.
type target struct {
	version  rollout.Version // "" through the address that clients use
	instance string
	url      string
	connect  string
	rate     float64
	host     string
}

// targets divides the rate.
func (p *Probe) targets(s gate.Subject) []target {
	path := p.spec.Path
	address := func(i gate.Instance) string { return i.Address }
	if path == "" {
		path = "/" + strings.TrimPrefix(s.Ready, "/")
		if s.Ready != "" {
			address = func(i gate.Instance) string { return i.Health }
		}
	}
	scheme := "http"
	if s.Secure {
		scheme = "https"
	}
	var all []target
	rest, sides := p.spec.Rate, 0.0
	for _, side := range []gate.Side{s.Stable, s.Candidate} {
		if len(side.Serving()) > 0 {
			sides++
		}
	}
	if entered(p.spec, s) && sides > 0 {
		all = append(all, target{url: strings.TrimSuffix(s.Entry, "/") + path, rate: throughEntry * p.spec.Rate, host: s.Host})
		rest -= throughEntry * p.spec.Rate
	}
	for _, side := range []gate.Side{s.Stable, s.Candidate} {
		serving := side.Serving()
		for _, i := range serving {
			to := address(i)
			all = append(all, target{
				version: side.Version, instance: i.Name, url: scheme + "://" + to + path, connect: to, rate: rest / sides / float64(len(serving)), host: s.Host,
			})
		}
	}
	return all
}

// entered tells whether requests are sent through the entry, too. Where readiness is asked at a port of its own, the entry does not answer it.
func entered(spec spec.Probe, s gate.Subject) bool {
	if s.Entry == "" {
		return false
	}
	for _, i := range slices.Concat(s.Stable.Serving(), s.Candidate.Serving()) {
		if spec.Path == "" && s.Ready != "" && i.Health != i.Address {
			return false
		}
	}
	return true
}

// options of the load of a target.
func (p *Probe) options(t target) load.Options {
	header := http.Header{}
	for name, value := range p.spec.Header {
		header.Set(name, value)
	}
	if t.host != "" {
		header.Set("Host", t.host)
	}
	return load.Options{
		URL: t.url, ConnectTo: t.connect, Rate: t.rate, New: 0.5, Post: p.spec.Post, Conns: 1, Timeout: p.spec.Timeout, Header: header,
		TLS: &tls.Config{InsecureSkipVerify: true}, // as the kubelet's own check: nothing secret is sent
	}
}

// streams are the requests under way, a load for each target.
type streams struct {
	options func(target) load.Options
	running map[target]context.CancelFunc
	wg      sync.WaitGroup
}

// keep starts what is new and ends what is not asked for any more.
func (s *streams) keep(ctx context.Context, wanted []target, take func(target, load.Result)) {
	if s.running == nil {
		s.running = map[target]context.CancelFunc{}
	}
	keep := map[target]bool{}
	for _, t := range wanted {
		keep[t] = true
	}
	for t, stop := range s.running {
		if !keep[t] {
			stop()
			delete(s.running, t)
		}
	}
	for t := range keep {
		if _, runs := s.running[t]; runs {
			continue
		}
		ctx, stop := context.WithCancel(ctx)
		s.running[t] = stop
		s.wg.Go(func() {
			// Its error is that of wrong options, and those were checked when the gate was made.
			_ = load.Run(ctx, s.options(t), func(r load.Result) { take(t, r) })
		})
	}
}

func (s *streams) stop() {
	for _, stop := range s.running {
		stop()
	}
	s.wg.Wait()
}
