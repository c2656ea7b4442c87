// Package window is the gate that lets rollouts happen only at some hours.
package window

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // zones are known on any machine

	"gapless.dev/gapless/internal/gate"
	"gapless.dev/gapless/internal/gate/spec"
	"gapless.dev/gapless/internal/rollout"
)

// A Window passes while it is open.
type Window struct {
	spec spec.Window
	zone *time.Location
	// Now is the clock. Default: time.Now.
	Now func() time.Time
}

// New makes one of what the user wrote.
func New(s spec.Window) (*Window, error) {
	zone, err := time.LoadLocation(s.Zone)
	if err != nil {
		return nil, fmt.Errorf("zone %q: use a name such as Europe/Berlin: %w", s.Zone, err)
	}
	return &Window{spec: s, zone: zone, Now: time.Now}, nil
}

// Watch says pass while the window is open and wait while it is closed, each time that this changes.
func (w *Window) Watch(ctx context.Context, _ gate.Question, say func(rollout.Verdict)) error {
	for {
		now := w.Now()
		open, why := w.Open(now)
		v := rollout.Verdict{Outcome: rollout.Pass, Reason: why}
		next, changes := w.next(now)
		if !open {
			v.Outcome = rollout.Wait
			if changes {
				v.Reason += "; it opens on " + next.In(w.zone).Format("Mon 2006-01-02 at 15:04 MST")
			}
		}
		say(v)
		wait := time.Hour // clocks are set
		if changes {
			wait = min(wait, next.Sub(now))
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
	}
}

// Open tells whether the window is open at a moment, and why or why not.
func (w *Window) Open(at time.Time) (bool, string) {
	at = at.In(w.zone)
	for _, f := range w.spec.Freeze {
		from, _ := spec.Moment(f.From, w.zone, false) // read when it was validated
		to, _ := spec.Moment(f.To, w.zone, true)
		if !at.Before(from) && at.Before(to) {
			why := ""
			if f.Why != "" {
				why = ": " + f.Why
			}
			return false, fmt.Sprintf("frozen from %s to %s%s", f.From, f.To, why)
		}
	}
	if len(w.spec.Allow) == 0 {
		return true, "no freeze is on"
	}
	for _, h := range w.spec.Allow {
		if inside(h, at) {
			return true, "open: " + words(h, w.spec.Zone)
		}
	}
	var all []string
	for _, h := range w.spec.Allow {
		all = append(all, words(h, w.spec.Zone))
	}
	return false, "closed; rollouts happen " + strings.Join(all, ", ")
}

// inside tells whether a moment lies in the hours. Hours past midnight belong to the day on which they begin.
func inside(h spec.Hours, at time.Time) bool {
	on := func(d time.Weekday) bool { return len(h.Days) == 0 || slices.Contains(h.Days, d) }
	minute := at.Hour()*60 + at.Minute()
	switch {
	case h.From == 0 && h.To == 0:
		return on(at.Weekday())
	case h.From < h.To:
		return on(at.Weekday()) && minute >= h.From && minute < h.To
	}
	return on(at.Weekday()) && minute >= h.From || on((at.Weekday()+6)%7) && minute < h.To
}

func words(h spec.Hours, zone string) string {
	days := "every day"
	if len(h.Days) > 0 {
		var names []string
		for _, d := range h.Days {
			names = append(names, d.String()[:3])
		}
		days = strings.Join(names, " ")
	}
	if h.From == 0 && h.To == 0 {
		return days + " (" + zone + ")"
	}
	return fmt.Sprintf("%s %02d:%02d-%02d:%02d (%s)", days, h.From/60, h.From%60, h.To/60, h.To%60, zone)
}

// next is when the window opens or closes next. A change lies at a full minute; more than a year ahead nobody looks.
func (w *Window) next(now time.Time) (time.Time, bool) {
	open, _ := w.Open(now)
	// Changes only happen at the borders of hours and freezes, and at midnight.
	var borders []time.Time
	for _, f := range w.spec.Freeze {
		from, _ := spec.Moment(f.From, w.zone, false)
		to, _ := spec.Moment(f.To, w.zone, true)
		borders = append(borders, from, to)
	}
	day := now.In(w.zone)
	for d := range 8 {
		for _, h := range append(slices.Clone(w.spec.Allow), spec.Hours{}) {
			for _, m := range []int{h.From, h.To} {
				borders = append(borders, time.Date(day.Year(), day.Month(), day.Day()+d, m/60, m%60, 0, 0, w.zone))
			}
		}
	}
	for _, f := range w.spec.Freeze { // the week after a freeze
		to, _ := spec.Moment(f.To, w.zone, true)
		for d := range 8 {
			for _, h := range w.spec.Allow {
				borders = append(borders, time.Date(to.Year(), to.Month(), to.Day()+d, h.From/60, h.From%60, 0, 0, w.zone))
			}
		}
	}
	slices.SortFunc(borders, time.Time.Compare)
	for _, b := range borders {
		if !b.After(now) {
			continue
		}
		if is, _ := w.Open(b); is != open {
			return b, true
		}
	}
	return time.Time{}, false
}
