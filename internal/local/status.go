package local

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"gapless.dev/gapless/internal/controller"
	"gapless.dev/gapless/internal/notify"
	"gapless.dev/gapless/internal/proxy"
	"gapless.dev/gapless/internal/report"
	"gapless.dev/gapless/internal/rollout"
)

// told is what the loop says of a decision in which something happened. It goes into the revision's report.
func (s *service) told(seen controller.Seen, d rollout.Decision) {
	s.mu.Lock()
	defer s.mu.Unlock()
	closed, rep := controller.Record(s.rep, seen, d)
	began := rep.Revision != s.rep.Revision || s.rep.App == ""
	if closed != nil {
		s.closeReport(closed)
		s.keepReport(*closed)
	}
	if plate, known := s.book.Templates[rollout.Version(rep.To)]; known {
		rep.Source = plate.Source
	}
	if began {
		s.tally = tally{before: s.data.Counts()}
		if by := s.book.WantedBy; by != "" && string(s.book.Wanted) == rep.To {
			rep.Decisions = slices.Insert(rep.Decisions, 0, report.Entry{
				At: seen.Snapshot.Now, Phase: rep.Phase, Reason: "Deployed", Message: fmt.Sprintf("deploy of %s", rep.To), By: by,
			})
		}
	}
	for _, e := range notify.Of(seen.Plan, seen.State, d, seen.Snapshot.Now) {
		s.notes.Tell(s.ctx, s.app.Notify, e)
	}
	ended := rep.Over() && !s.rep.Over()
	s.rep = rep
	s.keepLogs(seen)
	for _, a := range d.Answers {
		if s.answers == nil || len(s.answers) > 100 {
			s.answers = map[int64]rollout.Answer{}
		}
		s.answers[a.Order.ID] = a
		s.say("%s by %s: %s", a.Order.Verb, a.Order.By, a.Message)
	}
	if d.State.Reason != seen.State.Reason || d.State.Message != seen.State.Message {
		s.say("%-10s %s", d.State.Phase, d.Message)
	}
	now := s.rep
	s.fill(&now)
	if ended {
		s.noteLosses(now)
		now.Notes = s.rep.Notes
		s.rep.Versions, s.rep.Weight = now.Versions, now.Weight
		s.say("revision %d to %s: %s in %v", now.Revision, now.To, now.Outcome, now.Took().Round(100*time.Millisecond))
	}
	if !rep.Over() || ended {
		s.keepReport(now)
	}
	close(s.changed)
	s.changed = make(chan struct{})
}

// keepLogs copies the last lines of a candidate that fails: its files may be gone when somebody asks.
func (s *service) keepLogs(seen controller.Seen) {
	in := s.sets[rollout.Version(s.rep.To)]
	if in == nil || seen.Snapshot.Versions[rollout.Version(s.rep.To)].Failure == "" || s.rep.Over() {
		return
	}
	for _, i := range in.all {
		if i.failure() != "" {
			if lines := lastLines(i.logFile(), 20); len(lines) > 0 {
				s.rep.Logs = lines
			}
			return
		}
	}
}

func (s *service) noteLosses(r report.Report) {
	for _, v := range r.Versions {
		if v.Counts != nil && v.Counts.Errors > 0 {
			s.rep.Notes = append(s.rep.Notes, fmt.Sprintf("%d requests that were on %s were not answered to the end.", v.Counts.Errors, v.Name))
		}
	}
}

// closeReport adds the last counts to the report of a revision that another one follows. What stands by now belongs to that other one.
func (s *service) closeReport(r *report.Report) {
	if len(r.Versions) == 0 {
		s.fill(r)
		return
	}
	counts := s.tally.since(s.data.Counts())
	r.Versions = slices.Clone(r.Versions)
	for i, v := range r.Versions {
		r.Versions[i].Counts = counts[rollout.Version(v.Name)]
	}
}

// keepCounts writes down what was counted since it was written last. Where a rollout stands still nothing is decided, and what was only
// counted would go with us.
func (s *service) keepCounts() {
	s.mu.Lock()
	defer s.mu.Unlock()
	counts := s.tally.since(s.data.Counts())
	if s.rep.Revision == 0 || reflect.DeepEqual(counts, s.kept) {
		return
	}
	now := s.rep
	if now.Over() {
		s.closeReport(&now)
	} else {
		s.fill(&now)
	}
	if write(s.reportFile(now.Revision), now) == nil { // if not, the next decision says so
		s.kept = counts
	}
}

// keepUnderWay writes down how many requests are on their way through the proxy, if that has changed: with us they end.
func (s *service) keepUnderWay() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := s.data.Busy(); n != s.underWay && write(s.file("underway.json"), n) == nil {
		s.underWay = n
	}
}

// status is the report of the present revision with all that stands now.
func (s *service) status() report.Report {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.rep
	r.App = s.app.Name
	s.fill(&r)
	return r
}

// fill adds what stands now. The lock is held.
func (s *service) fill(r *report.Report) {
	r.At = now()
	route := s.data.Route()
	r.Weight = route.Weights[rollout.Version(r.To)]
	r.Decisions, r.Notes, r.Phases = slices.Clone(r.Decisions), slices.Clone(r.Notes), slices.Clone(r.Phases)
	r.Versions = nil
	counts := s.tally.since(s.data.Counts())
	names := slices.Collect(maps.Keys(s.sets))
	for v := range counts {
		if !slices.Contains(names, v) {
			names = append(names, v)
		}
	}
	slices.SortFunc(names, func(a, b rollout.Version) int {
		if ra, rb := s.rank(a), s.rank(b); ra != rb {
			return ra - rb
		}
		return cmpString(string(a), string(b))
	})
	for _, v := range names {
		in := s.sets[v]
		if in == nil {
			in = &set{}
		}
		st := s.standing(v, in)
		one := report.Version{
			Name: string(v), Role: []string{"stable", "candidate", "old"}[s.rank(v)], Weight: route.Weights[v],
			Desired: st.Asked, Running: st.Running, Ready: st.Serving, Stopping: st.Stopping, InFlight: st.InFlight, Failure: st.Failure,
			Counts: counts[v],
		}
		for _, i := range in.all {
			one.Instances = append(one.Instances, i.report())
		}
		slices.SortFunc(one.Instances, func(a, b report.Instance) int { return cmpString(a.Name, b.Name) })
		r.Versions = append(r.Versions, one)
	}
}

func (s *service) rank(v rollout.Version) int {
	switch v {
	case s.state.Stable:
		return 0
	case s.state.Candidate:
		return 1
	}
	return 2
}

func cmpString(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func (i *instance) report() report.Instance {
	r := report.Instance{Name: i.id, State: string(i.stage), Restarts: i.restarts, Message: i.trouble}
	if i.stage == ready {
		r.Message = ""
	}
	if i.main != nil && !i.main.ended() {
		r.Pid, r.Since = i.main.Pid, i.main.since
	}
	if len(i.ports) > 0 {
		r.Address = loopback(i.ports[i.svc.app.Ports[0].Name])
	}
	return r
}

// A tally makes counts of a revision of the proxy's counts, which are of the proxy's whole life: the counts at the beginning of the
// revision are taken off, and those that an earlier Gapless had counted are added.
type tally struct {
	before map[rollout.Version]proxy.Counts
	earned map[rollout.Version]report.Counts
}

func (t tally) since(now map[rollout.Version]proxy.Counts) map[rollout.Version]*report.Counts {
	out := map[rollout.Version]*report.Counts{}
	for v := range t.earned {
		if _, known := now[v]; !known {
			out[v] = new(t.earned[v])
		}
	}
	for v, c := range now {
		b, e := t.before[v], t.earned[v]
		sum := c.Latency - b.Latency + e.Latency.Duration()*time.Duration(e.Requests)
		shadow := c.Mirror.Latency - b.Mirror.Latency + e.MirrorLatency.Duration()*time.Duration(e.Mirrored)
		r := &report.Counts{
			Requests: c.Requests - b.Requests + e.Requests, Status5xx: c.Status5xx - b.Status5xx + e.Status5xx,
			Errors: c.Errors - b.Errors + e.Errors, Gone: c.Gone - b.Gone + e.Gone, Retried: c.Retried - b.Retried + e.Retried,
			Mirrored:      c.Mirror.Sent - b.Mirror.Sent + e.Mirrored,
			MirrorDiffers: c.Mirror.Differ - b.Mirror.Differ + e.MirrorDiffers,
			MirrorErrors:  c.Mirror.Errors - b.Mirror.Errors + e.MirrorErrors,
		}
		if r.Requests > 0 {
			r.Latency = report.Millis(sum / time.Duration(r.Requests))
		}
		if r.Mirrored > 0 {
			r.MirrorLatency = report.Millis(shadow / time.Duration(r.Mirrored))
		}
		if *r != (report.Counts{}) {
			out[v] = r
		}
	}
	return out
}
