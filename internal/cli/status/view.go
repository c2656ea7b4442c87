package status

import (
	"context"
	"errors"
	"sync"
	"time"

	"gapless.dev/gapless/internal/cli/live"
	"gapless.dev/gapless/internal/cli/paint"
	"gapless.dev/gapless/internal/cli/shell"
	"gapless.dev/gapless/internal/cli/target"
	evidence "gapless.dev/gapless/internal/report"
)

// A View is all that is drawn of one app.
type View struct {
	Report evidence.Report
	// History are the rates of the last seconds, oldest first; empty where nobody has looked on for long enough.
	History []Rates
	// Where says where the app runs, for a screen that holds nothing else.
	Where bool
	Paint paint.Palette
}

// Rates are what happened in about a second.
type Rates struct {
	// PerSecond counts the requests of each version.
	PerSecond map[string]float64
	// Lost counts the requests that were lost.
	Lost float64
}

// maxHistory is more than the widest terminal shows.
const maxHistory = 300

// A Follower turns a sequence of statuses into views.
type Follower struct {
	last    evidence.Report
	history []Rates
}

// leastApart keeps two statuses that come at the same moment from making a rate of millions.
const leastApart = 700 * time.Millisecond

// Next takes the newest status.
func (f *Follower) Next(r evidence.Report) View {
	apart := r.At.Sub(f.last.At)
	switch {
	case f.last.At.IsZero() || r.Revision != f.last.Revision:
		f.last = r
	case r.Traffic != nil && f.last.Traffic != nil && r.Traffic.Elapsed == f.last.Traffic.Elapsed:
		// The probe has told nothing new.
	case apart >= leastApart:
		f.history = append(f.history, between(f.last, r, apart.Seconds()))
		f.history = f.history[max(0, len(f.history)-maxHistory):]
		f.last = r
	}
	return View{Report: r, History: f.history}
}

func between(a, b evidence.Report, seconds float64) Rates {
	before := map[string]evidence.Counts{}
	for _, v := range a.Versions {
		if v.Counts != nil {
			before[v.Name] = *v.Counts
		}
	}
	rates := Rates{PerSecond: map[string]float64{}}
	if x, y := a.Traffic, b.Traffic; x != nil && y != nil && x.Started.Equal(y.Started) {
		if counted := (y.Elapsed - x.Elapsed).Duration().Seconds(); counted > 0 {
			seconds = counted
		}
		for name, n := range y.Versions {
			rates.PerSecond[name] = float64(max(0, n-x.Versions[name])) / seconds
		}
		rates.Lost = float64(max(0, y.Lost-x.Lost)) / seconds
		return rates
	}
	for _, v := range b.Versions {
		if v.Counts == nil {
			continue
		}
		was := before[v.Name]
		rates.PerSecond[v.Name] = float64(max(0, v.Counts.Requests-was.Requests)) / seconds
		rates.Lost += float64(max(0, lost(*v.Counts)-lost(was))) / seconds
	}
	return rates
}

func lost(c evidence.Counts) int64 { return c.Errors + c.Status5xx }

// watchLive is a thin shell: it collects statuses, and Render says what they look like.
func watchLive(ctx context.Context, sh *shell.Shell, t target.Target, app string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var mu sync.Mutex
	followers, views := map[string]*Follower{}, map[string]View{}
	var names []string
	again := make(chan struct{}, 1)
	ended := make(chan error, 1)
	go func() {
		defer close(again)
		for r, err := range t.Watch(ctx, app) {
			if err != nil {
				ended <- err
				return
			}
			mu.Lock()
			if followers[r.App] == nil {
				followers[r.App] = &Follower{}
				names = append(names, r.App)
			}
			v := followers[r.App].Next(r)
			v.Paint, v.Where = sh.Paint(), true
			views[r.App] = v
			mu.Unlock()
			select {
			case again <- struct{}{}:
			default:
			}
		}
		ended <- nil
	}()
	draw := func(width, height int) string {
		mu.Lock()
		defer mu.Unlock()
		switch len(names) {
		case 0:
			return ""
		case 1:
			return Render(views[names[0]], width) + "\n" + sh.Paint().Dim("q leaves")
		}
		var all []evidence.Report
		for _, name := range names {
			all = append(all, views[name].Report)
		}
		return Overview(all, sh.Paint(), width) + "\n" + sh.Paint().Dim("gapless status NAME -w shows more of one   q leaves")
	}
	err := live.Run(ctx, sh.In, sh.Out, live.View{Draw: draw, Again: again, Full: true})
	cancel()
	if lost := <-ended; err == nil && lost != nil {
		err = lost
	}
	if errors.Is(err, live.ErrLeft) {
		return nil
	}
	return err
}
