package rollout

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestDiagram_IsTheOneInTheDocs keeps docs/reference/phases.md printed from the table.
func TestDiagram_IsTheOneInTheDocs(t *testing.T) {
	path := filepath.Join("..", "..", "docs", "reference", "phases.md")
	page := phasesHead + Diagram() + phasesTail
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	had, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(had), page); diff != "" {
		t.Fatalf("the page is not printed from the table; run go test ./internal/rollout -run Diagram -update\n%s", diff)
	}
}

func TestEdges_LeadFromEveryPhaseToRest(t *testing.T) {
	for _, p := range Phases {
		if !reaches(p.Phase, map[Phase]bool{}) {
			t.Errorf("no way leads from %q to Idle or Held", p.Phase)
		}
	}
}

func reaches(p Phase, been map[Phase]bool) bool {
	if p == Idle || p == Held {
		return true
	}
	been[p] = true
	for _, e := range Edges {
		if e.From == p && !been[e.To] && reaches(e.To, been) {
			return true
		}
	}
	return false
}

func TestEdges_AreEachThereOnceAndAllPhasesAreExplained(t *testing.T) {
	seen := map[[2]Phase]bool{}
	explained := map[Phase]bool{}
	for _, p := range Phases {
		explained[p.Phase] = true
	}
	for _, e := range Edges {
		if seen[[2]Phase{e.From, e.To}] {
			t.Errorf("%q to %q is there twice", e.From, e.To)
		}
		seen[[2]Phase{e.From, e.To}] = true
		if !explained[e.From] || !explained[e.To] {
			t.Errorf("%q or %q has no meaning in Phases", e.From, e.To)
		}
		if phases[e.From] == nil || phases[e.To] == nil {
			t.Errorf("%q or %q does nothing", e.From, e.To)
		}
	}
}

// TestMove_LetsNoOtherEdgeThrough is the check that a bug in a phase would meet.
func TestMove_LetsNoOtherEdgeThrough(t *testing.T) {
	for _, from := range Phases {
		for _, to := range Phases {
			l := &look{s: State{Phase: from.Phase}}
			l.move(to.Phase)
			if moved := l.illegal == ""; moved != legal(from.Phase, to.Phase) {
				t.Errorf("%q to %q: moved %v", from.Phase, to.Phase, moved)
			}
			if l.illegal != "" && l.s.Phase != from.Phase {
				t.Errorf("%q to %q: refused, and the phase is %q", from.Phase, to.Phase, l.s.Phase)
			}
		}
	}
}

const phasesHead = `<!-- Printed from internal/rollout/transitions.go by go test ./internal/rollout -run Diagram -update. -->

# Phases

An app is always in one of these phases, and goes from one to another only along these edges: the engine refuses a decision
that would go any other way. ` + "`gapless status`" + ` shows the phase and the reason for staying in it.

`

const phasesTail = `
Two rules hold in all of them. What was told to the data plane is read back before anything that depends on it is done. And what
takes something away (instances, a version, the grip on the app) waits until the traffic that it had is seen to be elsewhere,
and the drain has passed.

How the four strategies pass through:

| strategy | Preparing | Shifting | Promoting | Finishing |
|---|---|---|---|---|
| recreate | stable stops, then the candidate starts; nothing serves in between | - | all traffic | - |
| rolling | the first instances within the surge | weight follows serving instances; stable shrinks behind it | all traffic | the last of stable drains |
| blue-green | the whole candidate; with ` + "`manual`" + ` it waits here as a preview | - | all traffic at once | hold-back, then drain |
| canary | the instances of the first step | step by step, with pauses and manual stops | all instances, then all traffic | drain |

Who asks for a newer version mid-way gets it after all traffic is back on stable, and who asks for stable's own template again
gets an abort without a refusal. Once the candidate has all traffic, a newer version waits until the passage is finished; it also
ends the hold-back. ` + "`undo`" + ` is an abort while a revision is on its way, also in the hold-back, where it is instant; at rest it writes the
previous template and begins an ordinary passage.

## Numbers

Weights are whole percents and instances are whole. A weight needs ceil(weight x replicas / 100) instances before it is told, and a
version that loses instances keeps what the rest carries. The bound that holds for any weight of any version is
ceil(100 x serving / replicas): in a rolling update of 3 the versions have 33 and 67 with 1 and 2 instances.

By share of instances (a plain Service) only two things can be written: a pin on one version, and no pin. The weights in between
are what the serving instances make of it: replicas + surge at most, replicas at least, and one candidate of 2 is 50 %, whatever
was asked for. ` + "`gapless plan`" + ` prints the shares that will really happen.

A drain counts from the look that saw weight 0 arrive. After it, requests that are still being answered are waited for, up to ten
drains where the platform can count them; then each instance has its own stop budget.

An abort that cannot write the template back for 30 s, because somebody writes the refused one again each time, rests in Held.

## Beginnings and ends

A recreate is the exception to "capacity first": its two versions never stand side by side, also on the way back.

The first version of an app has nothing beside it and nothing to go back to. It gets traffic with its first serving instance,
and the deadline does not abort it; the reason says that it is late.

With no replicas asked for there is nothing to look at: a new version takes its place at once. A canary that is under way waits
in its step while somebody scales the app to 0, and the step stands again when it is scaled up.
`
