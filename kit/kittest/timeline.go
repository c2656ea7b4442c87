package kittest

import (
	"fmt"
	"regexp"
	"slices"
	"time"

	"gapless.dev/kit/load"
)

// Event is something that happened around a stop.
type Event struct {
	At   time.Duration // after SIGTERM; negative before it
	Who  string        // Checker, Service or Client
	What string
}

// Who is the subject of an event.
const (
	Checker = "checker" // what we did
	Service = "service" // what the service wrote
	Client  = "client"  // what was seen from outside
)

func (e Event) String() string { return fmt.Sprintf("%8s  %-7s  %s", offset(e.At), e.Who, e.What) }

// mostSaid bounds the lines of the service in a timeline.
const mostSaid = 20

// timeline is what happened, in the order of time.
func (e *episode) timeline() []Event {
	var events []Event
	at := func(t time.Time, who, format string, args ...any) {
		if !t.IsZero() {
			events = append(events, Event{t.Sub(e.stopped), who, fmt.Sprintf(format, args...)})
		}
	}
	at(e.began, Checker, "started")
	at(e.ready, Client, "ready, %v after the start", e.ready.Sub(e.began).Round(time.Millisecond))
	if e.asked.Before(e.stopped) {
		at(e.asked, Checker, "asked to stop; the preStop hook runs")
	}
	at(e.stopped, Checker, "SIGTERM")
	if a, ok := firstAnswer(e.readies, e.asked, answer.unready); ok {
		at(a.at, Client, "not ready any more: %v", a)
	}
	if i := slices.IndexFunc(e.replies, func(r reply) bool { return r.announced && r.at.After(e.asked) }); i >= 0 {
		at(e.replies[i].at, Client, "first answer with Connection: close")
	}
	e.losses(at)
	if a, ok := firstAnswer(e.open, e.asked, func(a answer) bool { return a.err != nil }); ok {
		at(a.at, Client, "nobody accepts connections any more: %v", a)
	}
	for name, end := range e.streams {
		at(end.at, Client, "%s ended: %s", name, end.how)
	}
	if e.exited {
		at(e.exit.At, Checker, "exited with %v", e.exit)
	} else {
		at(e.exit.At, Checker, "killed: it was still running")
	}
	events = append(events, e.saidAround(mostSaid)...)
	slices.SortStableFunc(events, func(a, b Event) int { return int(a.At - b.At) })
	return events
}

// losses adds the first and the last lost request of each class.
func (e *episode) losses(at func(time.Time, string, string, ...any)) {
	type span struct {
		first, last load.Result
		n           int
	}
	spans := make(map[load.Class]*span)
	for _, r := range e.requests {
		if !r.Class.Lost() || r.Class == load.Overload {
			continue
		}
		if spans[r.Class] == nil {
			spans[r.Class] = &span{first: r}
		}
		spans[r.Class].last = r
		spans[r.Class].n++
	}
	for class, s := range spans {
		at(s.first.Ended, Client, "first request lost: %s: %s", class, packets(s.first))
		if s.n > 1 {
			at(s.last.Ended, Client, "last of %d requests lost: %s", s.n, class)
		}
	}
}

func firstAnswer(answers []answer, after time.Time, is func(answer) bool) (answer, bool) {
	i := slices.IndexFunc(answers, func(a answer) bool { return a.at.After(after) && is(a) })
	if i < 0 {
		return answer{}, false
	}
	return answers[i], true
}

// often is how often a line may come, figures aside, to be worth telling: what
// is said of every request is not.
const often = 5

// saidAround are the first lines that the service wrote from the stop on, or
// just before it, and the last.
func (e *episode) saidAround(most int) []Event {
	seen := make(map[string]int)
	for _, line := range e.lines {
		seen[figures.ReplaceAllString(line.Text, "0")]++
	}
	var events []Event
	for _, line := range e.lines {
		if line.At.Before(e.asked.Add(-100*time.Millisecond)) || workWord.MatchString(line.Text) || seen[figures.ReplaceAllString(line.Text, "0")] > often {
			continue
		}
		text := line.Text
		if len(text) > 300 {
			text = text[:300] + "..."
		}
		events = append(events, Event{line.At.Sub(e.stopped), Service, text})
	}
	if len(events) > most {
		events = append(events[:most-1:most-1], events[len(events)-1])
	}
	return events
}

var figures = regexp.MustCompile(`[0-9]+`)

// packets is a loss in the words of what went over the wire.
func packets(r load.Result) string {
	switch r.Class {
	case load.Refused:
		return "our SYN was answered by RST"
	case load.ConnectTimeout:
		return "our SYN was not answered"
	case load.ResetBefore:
		return "the request was written and answered by FIN or RST (" + r.Err + ")"
	case load.ResetAfter:
		return "the answer was cut by FIN or RST (" + r.Err + ")"
	}
	return r.Err
}
