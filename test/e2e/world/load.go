package world

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"sync/atomic"
	"syscall"
	"time"

	"gapless.dev/gapless/internal/probe"
	"gapless.dev/gapless/internal/report"
	"gapless.dev/kit/load"
)

// UnderLoad sends 300 requests a second to the Service's address, half on new connections, while something happens, and returns what was counted.
func (w *World) UnderLoad(fresh, post float64, happens func()) report.Traffic {
	w.Helper()
	return w.Probing(load.Options{Rate: 300, New: fresh, Post: post, Timeout: 10 * time.Second}, happens)
}

// Probing does the same with a load of one's own. Without a URL it is sent to the Service's address.
func (w *World) Probing(o load.Options, happens func()) report.Traffic {
	w.Helper()
	return w.Watching(o, func(*probe.Probe) { happens() })
}

// Watching does the same and shows the probe while it runs.
func (w *World) Watching(o load.Options, happens func(*probe.Probe)) report.Traffic {
	w.Helper()
	if o.URL == "" {
		o.URL = "http://" + w.Address() + "/"
	}
	w.CleanSecond(o)
	ctx, stop := context.WithCancel(w.Context())
	p, done := probe.New(o), make(chan report.Traffic)
	go func() {
		counted, err := p.Run(ctx)
		if err != nil {
			w.Error(err)
		}
		done <- counted
	}()
	time.Sleep(2 * time.Second)
	happens(p)
	time.Sleep(2 * time.Second)
	stop()
	counted := <-done
	w.Logf("%d of %d lost, longest gap %s, versions %v, losses %v, p99 %s",
		counted.Lost, counted.Requests, counted.LongestGap.Duration(), counted.Versions, counted.Losses, counted.Latency.P99.Duration())
	return counted
}

// CleanSecond waits until every node routes to the pods: those of a Service that was made a moment ago are Ready before that. It comes
// from ports of its own. A connection to a node that has no rule yet leaves an entry in that node's table, without a
// destination, for two minutes; a request that came from the same port within that time would follow it into nowhere.
func (w *World) CleanSecond(o load.Options) {
	w.Helper()
	at, err := url.Parse(o.URL)
	Check(w.T, err)
	address := cmp.Or(o.ConnectTo, at.Host)
	if _, _, err := net.SplitHostPort(address); err != nil {
		address = net.JoinHostPort(address, "80")
	}
	w.Eventually("a first second without loss", time.Minute, func() error {
		for range 50 {
			if err := w.once(address, at, o.Header); err != nil {
				return err
			}
			time.Sleep(20 * time.Millisecond)
		}
		return nil
	})
}

// ports of CleanSecond are below those that the kernel of the test's cluster gives to connections.
const firstPort, lastPort = 1_100, 10_200

var lastUsed atomic.Int64

// once asks once, from the next port that is free.
func (w *World) once(address string, at *url.URL, header http.Header) error {
	for range lastPort - firstPort {
		port := firstPort + int(lastUsed.Add(1)%(lastPort-firstPort))
		if err := w.onceFrom(port, address, at, header); !errors.Is(err, syscall.EADDRINUSE) {
			return err
		}
	}
	return errors.New("no port is free")
}

func (w *World) onceFrom(port int, address string, at *url.URL, header http.Header) error {
	d := net.Dialer{Timeout: time.Second, LocalAddr: &net.TCPAddr{Port: port}}
	client := &http.Client{Timeout: time.Second, Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return d.DialContext(ctx, network, address)
		},
	}}
	r, err := http.NewRequestWithContext(w.Context(), http.MethodGet, at.String(), nil)
	if err != nil {
		return err
	}
	for name, values := range header {
		r.Header[name] = values
	}
	r.Host = cmp.Or(header.Get("Host"), at.Host)
	answer, err := client.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s", answer.Status)
	}
	return nil
}

func (w *World) NothingLost(t report.Traffic) {
	w.Helper()
	if t.Lost == 0 && t.Requests > 0 {
		return
	}
	text, _ := json.Marshal(t.Examples)
	w.Errorf("%d of %d requests lost: %v\n%s", t.Lost, t.Requests, t.Losses, text)
}
