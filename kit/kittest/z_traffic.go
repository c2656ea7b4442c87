package kittest

import (
	"fmt"
	"time"

	"gapless.dev/kit/load"
)

var z5NewConnections = Rule{
	ID: "Z5", Must: true, Needs: []string{"Z3", "Z1"},
	Title: "for the whole drain delay new connections are accepted and answered",
	Why:   "traffic is routed here until everybody has heard; whoever closes at SIGTERM refuses it",
	Fix:   "go on serving for the drain delay after SIGTERM (kit does, and gapless wrap for a program in any language), or sleep in preStop for as long",
	How:   "half of the steady load comes on a new connection each",
	Run: everyStop(func(s *Session, e *episode) Result {
		return noneLost(s, e, "new", func(r load.Result) bool { return !r.Reused })
	}),
}

var z6KeptConnections = Rule{
	ID: "Z6", Must: true, Needs: []string{"Z3", "Z1"},
	Title: "for the whole drain delay requests on existing connections are answered",
	Why:   "established connections stay where they are; nothing at layer 4 moves them",
	Fix:   "keep kept-alive connections open while draining, and answer with Connection: close (kit does)",
	How:   "half of the steady load comes on kept-alive connections, some of it POST and, where it is spoken, HTTP/2",
	Run: everyStop(func(s *Session, e *episode) Result {
		return noneLost(s, e, "kept", func(r load.Result) bool { return r.Reused })
	}),
}

// noneLost judges a part of the load in the drain.
func noneLost(s *Session, e *episode, kind string, part func(load.Result) bool) Result {
	total := 0
	due := func(r load.Result) bool { return part(r) && e.inDrain(s.Spec, r) }
	for _, r := range e.requests {
		if due(r) {
			total++
		}
	}
	if lost := losses(e, e.requests, due); len(lost) > 0 {
		return fail(lost, "%d of %d requests on %s connections were lost while draining", len(lost), total, kind)
	}
	if total == 0 {
		return skip("not judged: no request on a %s connection was due in the drain", kind)
	}
	return pass("%d requests on %s connections in the drain, all answered", total, kind)
}

var z7IdleConnections = Rule{
	ID: "Z7", Must: true, Needs: []string{"Z3", "Z1"},
	Title: "idle kept-alive connections stay open for the drain delay unless an answer announced their end",
	Why:   "a client that writes while the server closes loses its request, and cannot know whether it was carried out",
	Fix:   "do not close idle connections at SIGTERM; SetKeepAlivesEnabled(false) and Shutdown do",
	How:   fmt.Sprintf("%d silent connections are watched for their end", idleConns),
	Run:   everyStop(judgeIdle),
}

func judgeIdle(s *Session, e *episode) Result {
	var early []string
	kept := 0
	for i, c := range e.idle {
		if !c.announced && (c.closed.IsZero() || c.closed.After(e.asked)) {
			kept++
		}
		if !c.announced && !c.closed.IsZero() && c.closed.After(e.asked) && c.closed.Before(e.stopped.Add(s.Spec.drain()-e.slack)) {
			early = append(early, fmt.Sprintf("%s: idle connection %d was closed (FIN)", e.after(c.closed), i+1))
		}
	}
	if len(e.idle) == 0 || kept == 0 {
		return skip("not judged: the service keeps no connection open")
	}
	if age, own := byAge(e.idle); own && len(early) > 0 {
		return pass("%d idle connections; the service closes each when it has been silent for %v, stop or no stop: clients must not keep theirs that long",
			kept, age.Round(10*time.Millisecond))
	}
	if len(early) > 0 {
		return fail(early, "%d of %d idle connections were closed before the drain was over", len(early), kept)
	}
	return pass("%d idle connections, none closed in the drain", kept)
}

var z8Announce = Rule{
	ID: "Z8", Must: true, Needs: []string{"Z3", "Z1"},
	Title: "from half the drain on, answers tell their client to leave: Connection: close, or GOAWAY on HTTP/2",
	Why:   "a kept-alive client that is not told comes back on a connection that is about to be closed",
	Fix:   "set Connection: close on answers while draining; net/http makes a GOAWAY of it on HTTP/2",
	How:   "one connection is asked twenty times a second and its answers' headers are read; where HTTP/2 is spoken, frames are",
	Run:   everyStop(judgeAnnounce),
}

func judgeAnnounce(s *Session, e *episode) Result {
	if s.Spec.onlyGRPC() {
		if why := e.silentOverHTTP2(s.Spec); why != "" {
			return fail(nil, "%s", why)
		}
		return pass("a connection that was used in the drain got GOAWAY(NO_ERROR)")
	}
	var silent []string
	half := e.stopped.Add(s.Spec.drain() / 2)
	until := e.stopped.Add(s.Spec.drain())
	told, first, never := 0, time.Time{}, 0
	for _, r := range e.replies {
		if r.err != nil || r.at.Before(e.asked) || r.at.After(until) {
			continue
		}
		if r.announced {
			told++
			if first.IsZero() {
				first = r.at
			}
			continue
		}
		if r.at.After(half) {
			never++
		}
		if r.at.After(half.Add(e.slack)) {
			silent = append(silent, e.after(r.at)+": answered without Connection: close")
		}
	}
	switch {
	case len(silent) > 0:
		return fail(silent, "%d answers after half the drain did not say Connection: close", len(silent))
	case told == 0 && never > 0: // whatever the machine was late: not once
		return fail(nil, "none of the answers in the drain said Connection: close, nor did %d after half of it", never)
	case told == 0:
		return skip("not judged: no answer was seen after half the drain")
	}
	if why := e.silentOverHTTP2(s.Spec); why != "" {
		return fail(nil, "%s", why)
	}
	if s.Spec.HTTP2 {
		return pass("%d answers said Connection: close, the first at %s; HTTP/2 got GOAWAY(NO_ERROR)", told, e.after(first))
	}
	return pass("%d answers said Connection: close, the first at %s", told, e.after(first))
}

// silentOverHTTP2 is what was wrong with the goodbye of HTTP/2; empty where
// nothing was, and where it is not spoken.
func (e *episode) silentOverHTTP2(spec Spec) string {
	for i, r := range e.goAway {
		switch {
		case r.err != nil:
			return fmt.Sprintf("HTTP/2: %v", r.err)
		case r.announced:
		case i == len(e.goAway)-1, r.at.After(e.stopped.Add(spec.drain()/2 + e.slack)):
			return fmt.Sprintf("HTTP/2: %s: no GOAWAY on a connection used after half the drain", e.after(r.at))
		}
	}
	return ""
}

var z9InFlight = Rule{
	ID: "Z9", Must: true, Needs: []string{"Z3", "Z1"},
	Title: "requests in flight at SIGTERM, and those begun in the drain, are answered in full",
	Why:   "they are on their way already; nobody else can answer them",
	Fix:   "wait for requests in flight after accepting has ended; give them G - P - D - C - M",
	How:   "two slow requests are under way at SIGTERM, a third begins at half the drain",
	Run: everyStop(func(_ *Session, e *episode) Result {
		var bad []string
		slow, longest := 0, time.Duration(0)
		for _, r := range e.slow {
			if r.err != nil || r.status >= 500 {
				bad = append(bad, fmt.Sprintf("begun %s, ended %s: %v", e.after(r.began), e.after(r.ended), r))
			} else if r.wasSlow() {
				slow++
				longest = max(longest, r.lasts)
			}
		}
		if len(bad) > 0 {
			return fail(bad, "%d of %d slow requests were not answered in full", len(bad), len(e.slow))
		}
		if slow < len(e.slow) {
			return skip("not judged: %s", notSlow)
		}
		return pass("%d slow requests answered in full, the longest %v", slow, longest)
	}),
}
