package world

import (
	"context"
	"encoding/json"
	"fmt"
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

// CleanSecond waits until every node routes to the pods: those of a Service that was made a moment ago are Ready before that.
func (w *World) CleanSecond(o load.Options) {
	w.Helper()
	o.Rate, o.For, o.New, o.Timeout = 50, time.Second, 1, time.Second
	w.Eventually("a first second without loss", time.Minute, func() error {
		counted, err := probe.New(o).Run(w.Context())
		if err == nil && counted.Lost > 0 {
			err = fmt.Errorf("%d lost", counted.Lost)
		}
		return err
	})
}

func (w *World) NothingLost(t report.Traffic) {
	w.Helper()
	if t.Lost == 0 && t.Requests > 0 {
		return
	}
	text, _ := json.Marshal(t.Examples)
	w.Errorf("%d of %d requests lost: %v\n%s", t.Lost, t.Requests, t.Losses, text)
}
