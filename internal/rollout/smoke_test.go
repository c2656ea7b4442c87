package rollout

import (
	"fmt"
	"testing"
	"time"
)

func TestSmoke(t *testing.T) {
	for _, split := range []Split{ByWeight, ByShare} {
		for _, p := range []Plan{
			{Strategy: Recreate},
			{Strategy: Rolling},
			{Strategy: Rolling, MaxUnavailable: 1},
			{Strategy: BlueGreen, HoldBack: 5 * time.Second},
			{Strategy: Canary, Steps: []Step{{Weight: 25, Pause: 2 * time.Second}, {Weight: 50}}},
		} {
			p.Split = split
			p.Drain = 2 * time.Second
			p.Deadline = time.Minute
			t.Run(fmt.Sprint(split, p.Strategy, p.MaxUnavailable), func(t *testing.T) { smoke(t, p) })
		}
	}
}

func smoke(t *testing.T, p Plan) {
	now := time.Unix(0, 0)
	seen := Snapshot{Wanted: "1", Replicas: 3, Versions: map[Version]Standing{}}
	var s State
	n := 0
	run := func() {
		for range 60 {
			now = now.Add(time.Second)
			seen.Now = now
			seen.Grade = Seen
			d := Decide(p, s, seen)
			n++
			t.Log(n, d.State.Phase, d.State.Step, d.Reason, d.Message, d.Actions)
			s = d.State
			for v, st := range seen.Versions {
				st.Running, st.Serving = st.Asked, st.Asked
				seen.Versions[v] = st
			}
			for _, a := range d.Actions {
				switch a.Kind {
				case Scale:
					st := seen.Versions[a.Version]
					st.Asked = a.Replicas
					seen.Versions[a.Version] = st
				case SetRoute:
					seen.Route = *a.Route
				case WriteBack:
					seen.Wanted = a.Version
				case Remove:
					delete(seen.Versions, a.Version)
				}
			}
			if s.Phase == Idle && len(d.Actions) == 0 && s.Stable == seen.Wanted && d.Reason != ReasonScaling {
				return
			}
		}
		t.Fatal("no rest")
	}
	run()
	seen.Wanted = "2"
	run()
	if s.Stable != "2" {
		t.Fatal(s)
	}
}
