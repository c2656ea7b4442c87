package kube_test

import (
	"testing"
	"time"

	"gapless.dev/gapless/test/e2e/world"

	"gapless.dev/gapless/api/v1alpha1"
)

// TestController_IsAwayMidway: nobody drives for a while. A pod of stable is deleted and two are added by scaling meanwhile.
func TestController_IsAwayMidway(t *testing.T) {
	t.Parallel()
	away := 15 * time.Second
	if soak {
		away = time.Minute
	}
	for _, strategy := range []string{"canary", "blue-green"} {
		t.Run(strategy, func(t *testing.T) {
			w := world.New(t)
			w.Deploy("-naive")
			before := w.Theirs()
			w.Adopt(strategies[strategy]())
			at := map[string]string{"canary": at25, "blue-green": preview}[strategy]
			j := &journey{World: w, cell: cell{strategy: strategy, at: at}, from: "1.0.0", to: "2.0.0"}
			rolled(w, "1.5.0")
			counted := w.UnderLoad(1, 0.3, func() {
				w.Set(j.to)
				j.reach()
				w.Kill()
				j.loses(w.Rollout().Status.Stable)
				w.ScaleTo(5)
				time.Sleep(away)
				w.Start()
				j.end(j.to)
			})
			w.Row("midway", strategy, "naive", world.ClusterIP, "controller away, a pod deleted, two added "+at, counted)
			w.NothingLost(counted)
			if n := len(w.PodNames()); n != 5 {
				t.Errorf("%d pods", n)
			}
			w.ScaleTo(3)
			w.Available(3)
			w.SameAs(before)
		})
		if !soak {
			break
		}
	}
}

// TestController_DiesAtItsNthWrite: for every n, before the write arrives and after it. In a soak.
func TestController_DiesAtItsNthWrite(t *testing.T) {
	if !soak {
		t.Skip("in a soak")
	}
	for name, s := range map[string]*v1alpha1.Strategy{"canary": world.Canary("1s"), "blue-green": world.BlueGreen()} {
		for _, late := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				w := world.New(t)
				w.Deploy()
				before := w.Theirs()
				w.Adopt(s)
				when := "before it arrives"
				if late {
					when = "after it arrived"
				}
				for n := int64(1); ; n++ {
					version := "1.0." + string(rune('a'+n%26)) + "." + time.Now().Format("150405")
					w.Writes.Store(0)
					w.DiesLate.Store(late)
					w.DiesAt.Store(n)
					died := 0
					counted := w.UnderLoad(0.5, 0.3, func() {
						w.Set(version)
						stop := revive(w)
						(&journey{World: w}).end(version)
						died = stop()
					})
					w.DiesAt.Store(0)
					w.Row("death at the n-th write", name, "prepared", world.ClusterIP, when, counted)
					w.NothingLost(counted)
					w.SameAs(before)
					if died == 0 {
						t.Logf("a rollout has %d writes", n-1)
						return
					}
				}
			})
		}
	}
}

// revive starts the controller again whenever it has died, until stop is called, which tells how often that was.
func revive(w *world.World) (stop func() int) {
	done, deaths := make(chan struct{}), make(chan int)
	go func() {
		n := 0
		for {
			select {
			case <-done:
				deaths <- n
				return
			case <-w.Stopped:
				n++
				w.DiesAt.Store(0)
				w.Start()
			}
		}
	}()
	return func() int {
		close(done)
		return <-deaths
	}
}
