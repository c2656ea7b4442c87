// Package prometheus is the gate that judges numbers of a Prometheus: the value of a query against bounds, or the counters of both versions
// against each other.
package prometheus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/api"
	promv1 "github.com/prometheus/client_golang/api/prometheus/v1"

	"gapless.dev/gapless/internal/gate"
	"gapless.dev/gapless/internal/gate/spec"
	"gapless.dev/gapless/internal/rollout"
)

// A Prometheus is one gate.
type Prometheus struct {
	spec spec.Prometheus
	api  promv1.API
	// Now is the clock. Default: time.Now.
	Now func() time.Time
}

// New makes one of what the user wrote, and of the token that it names.
func New(s spec.Prometheus, token string) (*Prometheus, error) {
	client, err := api.NewClient(api.Config{Address: s.URL, Client: &http.Client{
		Timeout:       s.Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport:     &bounded{token: token, next: &http.Transport{Proxy: nil, DialContext: (&net.Dialer{Timeout: s.Timeout}).DialContext, MaxIdleConnsPerHost: 1, IdleConnTimeout: time.Minute}},
	}})
	if err != nil {
		return nil, fmt.Errorf("url %q: %w", s.URL, err)
	}
	return &Prometheus{spec: s, api: promv1.NewAPI(client), Now: time.Now}, nil
}

// bounded reads no more of an answer than anybody would want to judge by.
type bounded struct {
	token string
	next  http.RoundTripper
}

const most = 16 << 20

func (b *bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	if b.token != "" {
		r = r.Clone(r.Context())
		r.Header.Set("Authorization", "Bearer "+b.token)
	}
	res, err := b.next.RoundTrip(r)
	if err == nil {
		res.Body = &limited{ReadCloser: res.Body, left: most}
	}
	return res, err
}

type limited struct {
	io.ReadCloser
	left int
}

func (l *limited) Read(p []byte) (int, error) {
	n, err := l.ReadCloser.Read(p)
	if l.left -= n; l.left < 0 {
		return 0, errors.New("the answer is longer than 16 MiB: narrow the query")
	}
	return n, err
}

// Watch asks until nobody is interested.
func (p *Prometheus) Watch(ctx context.Context, q gate.Question, say func(rollout.Verdict)) error {
	look, every := p.bounds(q), p.spec.Every
	if p.spec.Compares() {
		look, every = p.comparison(q), substep(p.spec.Every)
	}
	for {
		v, err := look(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return plain(err)
		}
		say(v)
		timer := time.NewTimer(every)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
	}
}

// plain says what went wrong, without the addresses that the client says around it.
func plain(err error) error {
	var said *promv1.Error
	if errors.As(err, &said) && said.Msg != "" {
		return fmt.Errorf("prometheus says: %s", said.Msg)
	}
	var timeout interface{ Timeout() bool }
	if errors.As(err, &timeout) && timeout.Timeout() {
		return errors.New("prometheus did not answer in time")
	}
	for next := errors.Unwrap(err); next != nil; next = errors.Unwrap(next) {
		var op *net.OpError
		if errors.As(next, &op) {
			return op
		}
	}
	return err
}

// values are what the placeholders of a query stand for, seen from one side.
func values(s gate.Subject, side gate.Side) map[string]string {
	v := map[string]string{
		"app": s.App, "namespace": s.Namespace, "weight": strconv.Itoa(s.Candidate.Weight),
		"version": side.Name, "hash": string(side.Version), "pods": side.Pods,
	}
	for name, side := range map[string]gate.Side{"stable": s.Stable, "candidate": s.Candidate} {
		v[name+".version"], v[name+".hash"], v[name+".pods"] = side.Name, string(side.Version), side.Pods
	}
	return v
}
