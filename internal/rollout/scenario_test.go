package rollout

import (
	"flag"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
)

// TestScenarios plays the text files in testdata. Each is a story: what is planned, seen and ordered, and what is decided.
//
//	plan strategy=canary drain=5s ...     the plan; each line below it is a step: "25 pause=30s", "50 manual", "0 match=x-beta:1", "0 users=20", "10 mirror=50 writes"
//	gates                                 each line below it is a gate of the plan: "errors at=step,afterPromotion deadline=5m dryrun hold"
//	say errors=fail:too-many ...          what gates answer to what they are asked now
//	see wanted=2.0.0 replicas=3 ...       what is seen from now on; each line below it is a version: "1.0.0 asked=3 serving=2 failure=crash"
//	order promote by=ann                  an order
//	tick 5s                               time passes, then Decide is asked; what it says is printed, and nothing of it happens
//	obey                                  the actions of the last decision happen: instances stand, and routes have arrived
//	run 1s                                tick and obey until nothing is left to do, or a wait is longer than 1s; repeats are left out
//	state                                 what the engine remembers
//
// After all of them every edge of the table has been taken.
func TestScenarios(t *testing.T) {
	taken := map[[2]Phase]bool{}
	paths, err := filepath.Glob("testdata/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
			datadriven.RunTest(t, path, newStory(taken).tell)
		})
	}
	if t.Failed() || strings.Contains(flag.Lookup("test.run").Value.String(), "/") {
		return // not every story was told
	}
	for _, e := range Edges {
		if !taken[[2]Phase{e.From, e.To}] {
			t.Errorf("no scenario goes from %q to %q: %s", e.From, e.To, e.Means)
		}
	}
}

type story struct {
	plan  Plan
	state State
	seen  Snapshot
	last  Decision
	id    int64
	taken map[[2]Phase]bool
}

func newStory(taken map[[2]Phase]bool) *story {
	return &story{
		taken: taken,
		plan:  Plan{App: "api", Strategy: Canary, Split: ByWeight, Drain: 5 * time.Second, Deadline: 2 * time.Minute},
		seen: Snapshot{
			Now: time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC), Grade: Acknowledged, Replicas: 3, Versions: map[Version]Standing{},
		},
	}
}

func (s *story) tell(t *testing.T, d *datadriven.TestData) string {
	t.Helper()
	switch d.Cmd {
	case "plan":
		s.planned(t, d)
		if err := s.plan.Validate(); err != nil {
			return err.Error() + "\n"
		}
		return ""
	case "gates":
		s.gates(t, d)
		if err := s.plan.Validate(); err != nil {
			return err.Error() + "\n"
		}
		return ""
	case "say":
		s.answer(t, d)
		return ""
	case "preview":
		var b strings.Builder
		for _, p := range s.plan.Preview(s.state.Stable, Version(arg(d, "to")), s.seen.Replicas) {
			fmt.Fprintf(&b, "%-9s %3d %%  %s\n", p.Phase, p.Weight, p.Text)
		}
		return b.String()
	case "see":
		s.sees(t, d)
		return ""
	case "order":
		s.id++
		s.seen.Orders = append(s.seen.Orders, Order{ID: s.id, Verb: Verb(d.CmdArgs[0].Key), By: arg(d, "by"), At: s.seen.Now})
		return ""
	case "tick":
		return s.tick(duration(t, d.CmdArgs[0].Key)) + s.again()
	case "obey":
		s.obey()
		return ""
	case "run":
		return s.run(duration(t, d.CmdArgs[0].Key))
	case "state":
		return s.remembers()
	}
	t.Fatalf("%s: no such command %q", d.Pos, d.Cmd)
	return ""
}

func (s *story) planned(t *testing.T, d *datadriven.TestData) {
	t.Helper()
	p := Plan{App: "api", Split: ByWeight, Drain: 5 * time.Second, Deadline: 2 * time.Minute}
	for _, a := range d.CmdArgs {
		switch v := a.FirstVal(t); a.Key {
		case "strategy":
			p.Strategy = Strategy(v)
		case "split":
			p.Split = Split(v)
		case "surge":
			p.MaxSurge = number(t, v)
		case "unavailable":
			p.MaxUnavailable = number(t, v)
		case "manual":
			p.Manual = v == "true"
		case "holdback":
			p.HoldBack = duration(t, v)
		case "drain":
			p.Drain = duration(t, v)
		case "deadline":
			p.Deadline = duration(t, v)
		default:
			t.Fatalf("%s: plan knows no %q", d.Pos, a.Key)
		}
	}
	for line := range strings.Lines(d.Input) {
		fields := strings.Fields(line)
		step := Step{Weight: number(t, fields[0])}
		for _, f := range fields[1:] {
			switch k, v, _ := strings.Cut(f, "="); k {
			case "pause":
				step.Pause = duration(t, v)
			case "manual":
				step.Manual = true
			case "mirror":
				step.Mirror = number(t, v)
			case "writes":
				step.MirrorWrites = true
			case "users":
				step.Match = &Match{Users: number(t, v)}
			case "match":
				h, x, _ := strings.Cut(v, ":")
				step.Match = &Match{Header: map[string]string{h: x}}
			default:
				t.Fatalf("%s: a step knows no %q", d.Pos, k)
			}
		}
		p.Steps = append(p.Steps, step)
	}
	s.plan = p
}

func (s *story) gates(t *testing.T, d *datadriven.TestData) {
	t.Helper()
	s.plan.Gates = nil
	for line := range strings.Lines(d.Input) {
		fields := strings.Fields(line)
		g := Gate{Name: fields[0]}
		for _, f := range fields[1:] {
			switch k, v, _ := strings.Cut(f, "="); k {
			case "at":
				for m := range strings.SplitSeq(v, ",") {
					g.At = append(g.At, Moment(m))
				}
			case "deadline":
				g.Deadline = duration(t, v)
			case "dryrun":
				g.DryRun = true
			case "hold":
				g.Hold = true
			default:
				t.Fatalf("%s: a gate knows no %q", d.Pos, k)
			}
		}
		s.plan.Gates = append(s.plan.Gates, g)
	}
}

func (s *story) answer(t *testing.T, d *datadriven.TestData) {
	t.Helper()
	s.seen.Gates = maps.Clone(s.seen.Gates)
	if s.seen.Gates == nil {
		s.seen.Gates = map[string]Verdict{}
	}
	of := ""
	if s.state.Asked != nil {
		of = s.state.Asked.Key()
	}
	for _, a := range d.CmdArgs {
		if a.Key == "of" {
			of = a.FirstVal(t)
			continue
		}
		outcome, reason, _ := strings.Cut(a.FirstVal(t), ":")
		s.seen.Gates[a.Key] = Verdict{Of: of, Outcome: Outcome(outcome), Reason: strings.ReplaceAll(reason, "-", " ")}
	}
}

func (s *story) sees(t *testing.T, d *datadriven.TestData) {
	t.Helper()
	for _, a := range d.CmdArgs {
		switch a.Key {
		case "wanted":
			s.seen.Wanted = Version(a.FirstVal(t))
		case "replicas":
			s.seen.Replicas = number(t, a.FirstVal(t))
		case "taken":
			s.seen.Taken = true
		case "grade":
			s.seen.Grade = map[string]Grade{"not-yet": NotYet, "told": Told, "acknowledged": Acknowledged, "seen": Seen}[a.FirstVal(t)]
		case "route":
			s.seen.Route = Route{Weights: Weights{}}
			for _, v := range a.Vals {
				if v == "open" {
					s.seen.Route.Open = true
					continue
				}
				name, weight, _ := strings.Cut(v, ":")
				s.seen.Route.Weights[Version(name)] = number(t, weight)
			}
		default:
			t.Fatalf("%s: see knows no %q", d.Pos, a.Key)
		}
	}
	for line := range strings.Lines(d.Input) {
		fields := strings.Fields(line)
		v := Version(fields[0])
		if len(fields) == 2 && fields[1] == "gone" {
			delete(s.seen.Versions, v)
			continue
		}
		st := s.seen.Versions[v]
		for _, f := range fields[1:] {
			k, x, _ := strings.Cut(f, "=")
			switch k {
			case "failure":
				st.Failure = strings.ReplaceAll(x, "-", " ")
				continue
			case "asked":
				st.Asked = number(t, x)
			case "running":
				st.Running = number(t, x)
			case "serving":
				st.Serving = number(t, x)
			case "stopping":
				st.Stopping = number(t, x)
			case "inflight":
				st.InFlight = number(t, x)
			default:
				t.Fatalf("%s: a version knows no %q", d.Pos, k)
			}
		}
		s.seen.Versions[v] = st
	}
}

// tick lets time pass and asks for a decision.
func (s *story) tick(d time.Duration) string {
	s.seen.Now = s.seen.Now.Add(d)
	s.note()
	s.last = Decide(s.plan, s.state, s.seen)
	s.state = s.last.State
	return s.describe()
}

// note takes down the edges that the decision goes along.
func (s *story) note() {
	l := &look{plan: Defaults(s.plan), seen: s.seen, s: s.state}
	if l.late() {
		return
	}
	l.decide()
	from := s.state.Phase
	for _, to := range l.path {
		s.taken[[2]Phase{from, to}] = true
		from = to
	}
}

func (s *story) describe() string {
	var b strings.Builder
	d := s.last
	for _, a := range d.Answers {
		word := "refused"
		if a.Obeyed {
			word = "obeyed"
		}
		fmt.Fprintf(&b, "%s by %s: %s, %s\n", a.Order.Verb, a.Order.By, word, a.Message)
	}
	fmt.Fprintf(&b, "%s %s: %s\n", name(d.State.Phase), d.Reason, d.Message)
	for _, a := range d.Actions {
		switch a.Kind {
		case Scale:
			fmt.Fprintf(&b, "  scale %s to %d\n", a.Version, a.Replicas)
		case SetRoute:
			fmt.Fprintf(&b, "  route %s\n", a.Route)
		case WriteBack:
			fmt.Fprintf(&b, "  write back %s over %s\n", a.Version, a.Over)
		default:
			fmt.Fprintf(&b, "  %s %s\n", a.Kind, a.Version)
		}
	}
	return b.String()
}

// again tells when the decision wants the next look, if time alone may change it.
func (s *story) again() string {
	if s.last.LookAgain.IsZero() {
		return ""
	}
	return fmt.Sprintf("  look again in %s\n", s.last.LookAgain.Sub(s.seen.Now))
}

// obey has everything happen that was decided.
func (s *story) obey() {
	s.seen.Versions = maps.Clone(s.seen.Versions)
	for _, a := range s.last.Actions {
		switch a.Kind {
		case Scale:
			s.seen.Versions[a.Version] = Standing{Asked: a.Replicas, Running: a.Replicas, Serving: a.Replicas}
		case SetRoute:
			s.seen.Route = *a.Route
		case WriteBack:
			s.seen.Wanted = a.Version
		case Remove:
			delete(s.seen.Versions, a.Version)
		case Release:
			s.seen.Taken = false
		}
	}
	s.seen.Orders = slices.DeleteFunc(slices.Clone(s.seen.Orders), func(o Order) bool { return o.ID <= s.state.Done })
}

func (s *story) run(step time.Duration) string {
	var b strings.Builder
	was := ""
	for range 200 {
		text := s.tick(step)
		if text != was {
			b.WriteString(text)
		}
		was = text
		s.obey()
		wait := s.last.LookAgain.Sub(s.seen.Now)
		if len(s.last.Actions) == 0 && (s.last.LookAgain.IsZero() || wait > step) && s.last.Reason != ReasonDraining {
			return b.String()
		}
	}
	return b.String() + "and so on\n"
}

func (s *story) remembers() string {
	st := s.state
	return fmt.Sprintf("revision %d: stable %s, candidate %s, previous %s, rejected %s, weight %d %%\n",
		st.Revision, orNone(st.Stable), orNone(st.Candidate), orNone(st.Previous), orNone(st.Rejected), st.Weight())
}

func orNone(v Version) Version {
	if v == "" {
		return "none"
	}
	return v
}

func arg(d *datadriven.TestData, key string) string {
	for _, a := range d.CmdArgs {
		if a.Key == key && len(a.Vals) > 0 {
			return a.Vals[0]
		}
	}
	return "ann"
}

func number(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func duration(t *testing.T, s string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}
