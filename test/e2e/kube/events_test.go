package kube_test

import (
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"time"

	"gapless.dev/gapless/test/e2e/world"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/internal/cli/eject"
	"gapless.dev/gapless/internal/rollout"
)

// An event is what happens to a rollout at a place of its way.
type event struct {
	// does it, and tells which version is to serve alone in the end.
	does func(*journey) string
	// after puts right what the user has changed for good; nil: nothing.
	after func(*journey)
	// alone: it befalls the whole cluster, and no other story is told meanwhile.
	alone bool
}

var cluster sync.RWMutex

// locks the cluster for itself, or shares it.
func (e event) locks() sync.Locker {
	if e.alone {
		cluster.Lock()
		return &cluster
	}
	cluster.RLock()
	return cluster.RLocker()
}

var events = map[string]event{
	"nothing":                {does: (*journey).goesOn},
	"a third version":        {does: third},
	"the old manifest again": {does: theOldOne},
	"undo":                   {does: ordered(rollout.Undo)},
	"abort":                  {does: ordered(rollout.Abort)},
	"scaling 3 to 6 to 2":    {does: scales, after: func(j *journey) { j.ScaleTo(3); j.Available(3) }},
	"a stable pod deleted":   {does: func(j *journey) string { return j.loses(j.Rollout().Status.Stable) }},
	"a candidate pod deleted": {does: func(j *journey) string {
		return j.loses(j.Rollout().Status.Candidate)
	}},
	"a node drained":         {does: drains, alone: true},
	"API server restarted":   {does: func(j *journey) string { j.RestartAPIServer(3 * time.Second); return j.goesOn() }, alone: true},
	"controller killed":      {does: func(j *journey) string { j.Kill(); time.Sleep(2 * time.Second); j.Start(); return j.goesOn() }},
	"controller restarted":   {does: func(j *journey) string { j.Halt(); j.Start(); return j.goesOn() }},
	"Rollout deleted":        {does: deletesRollout},
	"ejected":                {does: ejects},
	"break-glass line":       {does: breaksGlass},
	"eject --force alone":    {does: forced},
	"gapless-system deleted": {does: deletesSystem, alone: true},
}

func init() {
	for way := range world.Ways {
		events["unpaused by "+way] = event{does: func(j *journey) string {
			d := mine(j.World, j.to)
			d.Spec.Paused = false
			return j.writes(way, d)
		}}
		events["strategy by "+way] = event{does: func(j *journey) string {
			d := mine(j.World, j.to)
			two, none := intstr.FromInt32(2), intstr.FromString("0%")
			d.Spec.Strategy.RollingUpdate = &appsv1.RollingUpdateDeployment{MaxSurge: &two, MaxUnavailable: &none}
			return j.writes(way, d)
		}, after: strategyWasTaken}
		events["Service by "+way] = event{does: func(j *journey) string {
			s := mineService(j.World)
			s.Spec.Type = corev1.ServiceTypeLoadBalancer
			j.Write(way, s)
			return j.goesOn()
		}}
	}
}

// goesOn is where a rollout ends to which nothing happens that would turn it.
func (j *journey) goesOn() string {
	if j.at == aborting {
		return j.from
	}
	return j.to
}

// writes the user's manifest of the candidate once more. On the way back that is undone, if it comes before stable's template is written
// back; and after that it asks for what was refused: it is held, and the user gives in.
func (j *journey) writes(way string, d *appsv1.Deployment) string {
	j.Write(way, d)
	if j.at != aborting {
		return j.to
	}
	j.Until("the rollout rests", func(r *v1alpha1.Rollout) bool { return !rollout.Active(rollout.Phase(r.Status.Phase)) })
	if j.Version() != j.from {
		j.Until("the refused template is held", func(r *v1alpha1.Rollout) bool { return r.Status.Phase == string(rollout.Held) })
		j.Set(j.from)
	}
	return j.from
}

func third(j *journey) string {
	const version = "third"
	j.Set(version + j.to)
	return version + j.to
}

func theOldOne(j *journey) string {
	j.Set(j.from)
	return j.from
}

func ordered(v rollout.Verb) func(*journey) string {
	return func(j *journey) string {
		j.Order(v)
		return j.from
	}
}

func scales(j *journey) string {
	for _, n := range []int{6, 2} {
		j.ScaleTo(n)
		time.Sleep(4 * time.Second)
	}
	return j.goesOn()
}

func (j *journey) loses(v *v1alpha1.VersionStatus) string {
	if v == nil {
		return j.goesOn()
	}
	for _, p := range j.podsOf(v.Hash) {
		if p.DeletionTimestamp == nil {
			j.Logf("%s is deleted; it drains: %v", p.Name, p.Spec.Containers[0].Lifecycle != nil)
			world.Check(j.T, client.IgnoreNotFound(j.Delete(j.Context(), &p)))
			return j.goesOn()
		}
	}
	return j.goesOn() // none stands any more, or yet
}

func (j *journey) podsOf(hash string) []corev1.Pod {
	var pods corev1.PodList
	world.Check(j.T, j.List(j.Context(), &pods, client.InNamespace(j.Namespace), client.MatchingLabels{"pod-template-hash": hash}))
	return pods.Items
}

func drains(j *journey) string {
	node := "node-1"
	done := make(chan error, 1)
	go func() {
		out, err := exec.CommandContext(j.Context(), "kubectl", "drain", node, "--ignore-daemonsets", "--force", "--delete-emptydir-data", "--timeout=100s").CombinedOutput()
		if err != nil {
			err = fmt.Errorf("%w: %s", err, out)
		}
		done <- err
	}()
	time.Sleep(3 * time.Second)
	end := j.goesOn()
	j.end(end)
	if err := <-done; err != nil {
		j.Errorf("drain: %v", err)
	}
	j.MustKubectl("uncordon", node)
	return end
}

// gone waits until no Rollout is left and the Deployment is the user's.
func (j *journey) gone() {
	j.Eventually("the Rollout is gone and the Deployment given back", 2*time.Minute, func() error {
		err := j.Get(j.Context(), client.ObjectKey{Namespace: j.Namespace, Name: world.Demo}, &v1alpha1.Rollout{})
		if err == nil {
			return fmt.Errorf("the Rollout is there")
		}
		if len(j.Deployment().Labels) > 0 {
			return fmt.Errorf("labels %v", j.Deployment().Labels)
		}
		return nil
	})
}

// native waits until Kubernetes has pods of the template's version and no others, and shows that its own rollout works.
func (j *journey) native() {
	if out, err := j.Kubectl("rollout", "status", "deploy/"+world.Demo, "--timeout=90s"); err != nil {
		j.Fatalf("kubectl rollout status: %v: %s", err, out)
	}
	j.Available(*j.Deployment().Spec.Replicas)
}

// readopts makes the Rollout again, so that the journey can end as the others do.
func (j *journey) readopts() {
	j.Adopt(strategies[j.strategy]())
}

func deletesRollout(j *journey) string {
	world.Check(j.T, j.Delete(j.Context(), j.Rollout()))
	j.gone()
	j.native()
	version := j.Version()
	j.readopts()
	if version != j.from {
		j.Errorf("%s serves, not %s", version, j.from)
	}
	return j.from
}

func ejects(j *journey) string {
	if out, err := j.Gapless(eject.New, world.Demo, "--timeout", "2m"); err != nil {
		j.Fatal(err, out)
	}
	j.gone()
	j.native()
	j.readopts()
	return j.from
}

// forced: the controller is dead.
func forced(j *journey) string {
	j.Kill()
	if out, err := j.Gapless(eject.New, world.Demo, "--force", "--timeout", "2m"); err != nil {
		j.Fatal(err, out)
	}
	j.gone()
	j.native()
	j.Start()
	j.readopts()
	return j.from
}

// breaksGlass types what the status says, in a shell. The Deployment goes on as its template stands.
func breaksGlass(j *journey) string {
	line := j.Rollout().Status.BreakGlass
	j.Kill()
	out, err := exec.CommandContext(j.Context(), "sh", "-ec", line).CombinedOutput()
	j.Logf("$ %s\n%s", line, out)
	if err != nil {
		j.Fatal(err)
	}
	version := j.Version()
	j.native()
	r := j.Rollout()
	r.Finalizers = nil
	world.Check(j.T, j.Update(j.Context(), r))
	world.Check(j.T, client.IgnoreNotFound(j.Delete(j.Context(), r)))
	// What Gapless had made goes with the Rollout.
	j.Eventually("nothing of ours is left", time.Minute, func() error {
		var services corev1.ServiceList
		if err := j.List(j.Context(), &services, client.InNamespace(j.Namespace)); err != nil || len(services.Items) != 1 {
			return fmt.Errorf("%d Services: %w", len(services.Items), err)
		}
		return nil
	})
	j.Start()
	j.readopts()
	return version
}

// deletesSystem takes the controller, its account and its rights away, then gives the app back from the command line.
func deletesSystem(j *journey) string {
	j.Kill()
	out, err := exec.CommandContext(j.Context(), "kubectl", "delete", "namespace", "gapless-system", "--timeout=60s").CombinedOutput()
	if err != nil && !strings.Contains(string(out), "NotFound") {
		j.Fatalf("%v: %s", err, out)
	}
	time.Sleep(3 * time.Second)
	if out, err := j.Gapless(eject.New, world.Demo, "--force", "--timeout", "2m"); err != nil {
		j.Fatal(err, out)
	}
	j.native()
	j.Reinstall()
	j.Start()
	j.readopts()
	return j.from
}

// strategyWasTaken: the strategy that the user wrote midway is the Deployment's, and they change it back.
func strategyWasTaken(j *journey) {
	d := j.Deployment()
	if r := d.Spec.Strategy.RollingUpdate; r == nil || r.MaxSurge.String() != "2" || r.MaxUnavailable.String() != "0%" {
		j.Errorf("the strategy that was written midway is lost: %+v", d.Spec.Strategy)
	}
	j.PatchDeployment(`[{"op":"replace","path":"/spec/strategy","value":{"type":"RollingUpdate","rollingUpdate":{"maxSurge":"25%","maxUnavailable":"25%"}}}]`)
	j.Rests("at rest", func(*v1alpha1.Rollout) bool { return true })
}
