package kittest

import (
	"context"
	"fmt"
	"time"

	"gapless.dev/kit/load"
)

var z5NewConnections = Rule{
	ID: "Z5", Must: true, Needs: []string{"Z3", "Z1"},
	Title: "for the whole drain delay new connections are accepted and answered",
	Why:   "traffic is routed here until everybody has heard; whoever closes at SIGTERM refuses it",
	Fix:   "go on serving for the drain delay after SIGTERM (kit does), or sleep in preStop for as long",
	Run: func(ctx context.Context, s *Session) Result {
		return s.noneLost("new", func(r load.Result) bool { return !r.Reused })
	},
}

var z6KeptConnections = Rule{
	ID: "Z6", Must: true, Needs: []string{"Z3", "Z1"},
	Title: "for the whole drain delay requests on existing connections are answered",
	Why:   "established connections stay where they are; nothing at layer 4 moves them",
	Fix:   "keep kept-alive connections open while draining, and answer with Connection: close (kit does)",
	Run: func(ctx context.Context, s *Session) Result {
		return s.noneLost("kept", func(r load.Result) bool { return r.Reused })
	},
}

// noneLost judges a part of the load in the drain.
func (s *Session) noneLost(kind string, part func(load.Result) bool) Result {
	e, err := s.loaded()
	if err != nil {
		return fail(nil, "%v", err)
	}
	total := 0
	due := func(r load.Result) bool {
		return part(r) && r.Scheduled.After(e.stopped) && r.Scheduled.Before(e.stopped.Add(s.Spec.Drain))
	}
	for _, r := range e.requests {
		if due(r) {
			total++
		}
	}
	if lost := losses(e, e.requests, due); len(lost) > 0 {
		return fail(lost, "%d of %d requests on %s connections were lost while draining", len(lost), total, kind)
	}
	if total == 0 {
		return skip("no request on a %s connection was due in the drain", kind)
	}
	return pass("%d requests on %s connections in the drain, all answered", total, kind)
}

var z7IdleConnections = Rule{
	ID: "Z7", Must: true, Needs: []string{"Z3", "Z1"},
	Title: "idle kept-alive connections stay open for the drain delay unless an answer announced their end",
	Why:   "a client that writes while the server closes loses its request, and cannot know whether it was carried out",
	Fix:   "do not close idle connections at SIGTERM; SetKeepAlivesEnabled(false) and Shutdown do",
	Run: func(ctx context.Context, s *Session) Result {
		e, err := s.loaded()
		if err != nil {
			return fail(nil, "%v", err)
		}
		var early []string
		for i, c := range e.idle {
			if !c.announced && !c.closed.IsZero() && c.closed.After(e.stopped) &&
				c.closed.Before(e.stopped.Add(s.Spec.Drain-tolerance)) {
				early = append(early, fmt.Sprintf("%s: idle connection %d closed", e.after(c.closed), i+1))
			}
		}
		if len(early) > 0 {
			return fail(early, "%d of %d idle connections were closed before the drain was over", len(early), len(e.idle))
		}
		return pass("%d idle connections, none closed in the drain", len(e.idle))
	},
}

var z8Announce = Rule{
	ID: "Z8", Must: true, Needs: []string{"Z3", "Z1"},
	Title: "from half the drain on, answers tell their client to leave: Connection: close, or GOAWAY on HTTP/2",
	Why:   "a kept-alive client that is not told comes back on a connection that is about to be closed",
	Fix:   "set Connection: close on answers while draining; net/http makes a GOAWAY of it on HTTP/2",
	Run: func(ctx context.Context, s *Session) Result {
		e, err := s.loaded()
		if err != nil {
			return fail(nil, "%v", err)
		}
		var silent []string
		from := e.stopped.Add(s.Spec.Drain/2 + tolerance)
		until := e.stopped.Add(s.Spec.Drain)
		told, first := 0, time.Time{}
		for _, r := range e.replies {
			if r.err != nil || r.at.Before(e.stopped) || r.at.After(until) {
				continue
			}
			if r.announced {
				told++
				if first.IsZero() {
					first = r.at
				}
			} else if r.at.After(from) {
				silent = append(silent, e.after(r.at)+": answered without Connection: close")
			}
		}
		if len(silent) > 0 {
			return fail(silent, "%d answers after half the drain did not say Connection: close", len(silent))
		}
		if told == 0 {
			return skip("no answer was seen after half the drain")
		}
		if !s.Spec.HTTP2 {
			return pass("%d answers said Connection: close, the first at %s", told, e.after(first))
		}
		if err := s.goAway(ctx); err != nil {
			return fail(nil, "HTTP/2: %v", err)
		}
		return pass("%d answers said Connection: close, the first at %s; HTTP/2 got GOAWAY(NO_ERROR)", told, e.after(first))
	},
}

// goAway stops an instance of its own and looks at the frames on a connection
// that was opened before and is used after half the drain.
func (s *Session) goAway(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	in, err := s.startReady(ctx)
	if err != nil {
		return err
	}
	defer in.Kill()
	c, err := dialHTTP2(in.Addr())
	if err != nil {
		return err
	}
	defer c.Close()
	if gone, err := c.get(s.Spec.Path); err != nil || gone {
		return fmt.Errorf("before the stop: goaway %v, %v", gone, err)
	}
	if err := s.terminate(in); err != nil {
		return err
	}
	time.Sleep(s.Spec.Drain/2 + tolerance)
	gone, err := c.get(s.Spec.Path)
	if err != nil {
		return err
	}
	if !gone {
		return fmt.Errorf("no GOAWAY on a connection used after half the drain")
	}
	return nil
}

var z9InFlight = Rule{
	ID: "Z9", Must: true, Needs: []string{"Z3", "Z1"},
	Title: "requests in flight at SIGTERM, and those begun in the drain, are answered in full",
	Why:   "they are on their way already; nobody else can answer them",
	Fix:   "wait for requests in flight after accepting has ended; give them G - D - C - M",
	Run: func(ctx context.Context, s *Session) Result {
		e, err := s.loaded()
		if err != nil {
			return fail(nil, "%v", err)
		}
		var bad []string
		slow := 0
		for _, r := range e.slow {
			if r.err != nil || r.status >= 500 {
				bad = append(bad, fmt.Sprintf("begun %s, ended %s: %v", e.after(r.began), e.after(r.ended), r))
			} else if r.wasSlow() {
				slow++
			}
		}
		if len(bad) > 0 {
			return fail(bad, "%d of %d slow requests were not answered in full", len(bad), len(e.slow))
		}
		if slow < len(e.slow) {
			return skip("not judged: %s", notSlow)
		}
		return pass("%d slow requests answered in full, the longest %v", slow, s.Spec.inFlight()/2)
	},
}
