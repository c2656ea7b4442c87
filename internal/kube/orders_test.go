package kube

import (
	"encoding/json"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/internal/rollout"
)

var (
	at        = time.Unix(1_000_000, 0)
	deletedAt = metav1.NewTime(at)
)

func TestGive_OrdersWaitUntilTheyAreDone(t *testing.T) {
	d := newDesk(t)
	for _, verb := range []rollout.Verb{rollout.Pause, rollout.Resume} {
		if err := Give(t.Context(), d.client, deskKey, verb, "you"); err != nil {
			t.Fatal(err)
		}
	}
	orders := d.look().Orders
	if len(orders) != 2 || orders[0].Verb != rollout.Pause || orders[1].Verb != rollout.Resume || orders[0].ID >= orders[1].ID {
		t.Fatalf("%+v", orders)
	}

	var r v1alpha1.Rollout
	if err := d.client.Get(t.Context(), deskKey, &r); err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(rollout.State{Phase: rollout.Idle, Stable: "old", Done: orders[1].ID})
	if err != nil {
		t.Fatal(err)
	}
	r.Status.Engine = &runtime.RawExtension{Raw: raw}
	if err := d.client.Status().Update(t.Context(), &r); err != nil {
		t.Fatal(err)
	}
	if err := Give(t.Context(), d.client, deskKey, rollout.Undo, "you"); err != nil {
		t.Fatal(err)
	}
	if orders := d.look().Orders; len(orders) != 1 || orders[0].Verb != rollout.Undo {
		t.Errorf("what was done is still there: %+v", orders)
	}
}

func TestOrders_OfADeletedRolloutBeginWithAnAbort(t *testing.T) {
	l := &look{rollout: &v1alpha1.Rollout{}, state: rollout.State{Phase: rollout.Shifting, Done: 7}}
	if got := l.orders(at); len(got) != 0 {
		t.Errorf("%+v", got)
	}
	l.rollout.DeletionTimestamp = &deletedAt
	if got := l.orders(at); len(got) != 1 || got[0].Verb != rollout.Abort || got[0].ID <= 7 {
		t.Errorf("%+v", got)
	}
	l.state.Phase = rollout.Idle
	if got := l.orders(at); len(got) != 0 {
		t.Errorf("at rest: %+v", got)
	}
}
