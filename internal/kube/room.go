package kube

import (
	"context"
	"fmt"
	"slices"
	"strings"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gapless.dev/gapless/internal/rollout"
)

// need is how many pods a rollout needs beside those that are asked for now.
type need struct {
	forward int // on the way forward
	back    int // on the way back, where that is more: stable is whole again before the candidate goes
	most    int // forward, once the autoscaler asks for its most; 0 without one
	scaler  string
	upTo    int
}

func needOf(plan rollout.Plan, replicas int, h *autoscalingv2.HorizontalPodAutoscaler) need {
	n := need{forward: plan.Most(replicas) - replicas}
	if plan.Strategy == rollout.Canary && plan.Split == rollout.ByShare && n.forward < replicas {
		n.back = replicas
	}
	if h != nil && int(h.Spec.MaxReplicas) > replicas && plan.Strategy != rollout.Recreate {
		n.scaler, n.upTo = h.Name, int(h.Spec.MaxReplicas)
		n.most = plan.Most(n.upTo) - replicas
	}
	return n
}

// says is the need in a sentence; empty if there is none.
func (n need) says() string {
	switch {
	case n.forward == 0:
		return ""
	case n.back > 0:
		return fmt.Sprintf("For the time of a rollout there is room needed for %s more, and to go back late in it for up to %d.", pods(n.forward), n.back)
	}
	return fmt.Sprintf("For the time of a rollout there is room needed for %s more.", pods(n.forward))
}

// unmet says what becomes of the rollout where only so much room is left; empty if it is enough.
func (n need) unmet(where string, room int, fix string, plan rollout.Plan) string {
	if n.forward > room {
		late := "waits for the rest"
		if plan.Deadline > 0 {
			late = fmt.Sprintf("waits for the rest, and goes back after %s without progress", plan.Deadline)
		}
		return fmt.Sprintf("%s for %s more: a rollout needs %d, %s; stable serves meanwhile. %s", where, pods(room), n.forward, late, fix)
	}
	if n.back > room {
		return fmt.Sprintf("%s for %s more: enough to go forward, but to go back late in a rollout takes up to %d, so that would wait until there is room. %s", where, pods(room), n.back, fix)
	}
	if n.most > room {
		return fmt.Sprintf("%s for %s more: enough now, but not for a rollout while HorizontalPodAutoscaler %s asks for its most: %d pods take %d more than are asked for now. %s",
			where, pods(room), n.scaler, n.upTo, n.most, fix)
	}
	return ""
}

func pods(n int) string {
	if n == 1 {
		return "1 pod"
	}
	return fmt.Sprintf("%d pods", n)
}

// roomFor tells what a rollout needs and whether it can be had: by the quotas of the namespace, on the nodes, with an autoscaler that asks for
// its most; and what the disruption budgets do to it. All is read with the rights of whoever asks, and what they may not read is said to be
// unknown.
func (a *App) roomFor(ctx context.Context, l *look, plan rollout.Plan) ([]string, error) {
	r := &reader{ctx: ctx, from: a.Client, namespace: a.Key.Namespace}
	n := needOf(plan, l.replicas, r.autoscaler(l.deploy.GetName()))
	var all []string
	say := func(text string) {
		if text != "" {
			all = append(all, text)
		}
	}
	say(n.says())
	pod := l.onePod()
	if max(n.forward, n.back, n.most) > 0 {
		for _, text := range r.quotas(n, plan, pod) {
			say(text)
		}
		say(r.nodes(n, plan, pod))
	}
	say(r.disruption(l.podLabels()))
	return all, r.failed
}

// onePod is a pod of the version that serves, with what the cluster's defaults have added to it; without any, the template's.
func (l *look) onePod() *corev1.Pod {
	for _, p := range l.pods[l.state.Stable] {
		if p.DeletionTimestamp == nil {
			return p
		}
	}
	template, _, _ := unstructured.NestedMap(l.deploy.Object, "spec", "template")
	p := &corev1.Pod{}
	_ = runtime.DefaultUnstructuredConverter.FromUnstructured(template, p) // the API server has taken it
	p.Namespace = l.deploy.GetNamespace()
	return p
}

// A reader reads with the rights of whoever asks.
type reader struct {
	ctx       context.Context
	from      client.Reader
	namespace string
	failed    error
}

// list tells whether a list was read. To have no right to it is no failure.
func (r *reader) list(to client.ObjectList, options ...client.ListOption) bool {
	err := r.from.List(r.ctx, to, options...)
	if err != nil && !apierrors.IsForbidden(err) && r.failed == nil {
		r.failed = err
	}
	return err == nil
}

// autoscaler is the one of a Deployment, as far as can be read.
func (r *reader) autoscaler(deployment string) *autoscalingv2.HorizontalPodAutoscaler {
	var all autoscalingv2.HorizontalPodAutoscalerList
	r.list(&all, client.InNamespace(r.namespace))
	for i := range all.Items {
		if t := all.Items[i].Spec.ScaleTargetRef; t.Kind == "Deployment" && t.Name == deployment {
			return &all.Items[i]
		}
	}
	return nil
}

func (r *reader) quotas(n need, plan rollout.Plan, pod *corev1.Pod) []string {
	var list corev1.ResourceQuotaList
	if !r.list(&list, client.InNamespace(r.namespace)) {
		return []string{"Whether the quotas of the namespace leave that room is not known: you may not list its resourcequotas."}
	}
	var all []string
	for i := range list.Items {
		q := &list.Items[i]
		if limit, counted := q.Status.Hard["count/replicasets.apps"]; counted && limit.Cmp(q.Status.Used["count/replicasets.apps"]) <= 0 {
			all = append(all, fmt.Sprintf("ResourceQuota %s lets no ReplicaSet more in, and a new version has one: raise its count/replicasets.apps, or lower the Deployment's revisionHistoryLimit.", q.Name))
		}
		room, line, without := quotaRoom(q, pod)
		if without {
			continue
		}
		if text := n.unmet(fmt.Sprintf("ResourceQuota %s (%s) has room", q.Name, line), room, "Raise it, or ask for fewer pods.", plan); text != "" {
			all = append(all, text)
		}
	}
	return all
}

func (r *reader) nodes(n need, plan rollout.Plan, pod *corev1.Pod) string {
	var nodes corev1.NodeList
	var running corev1.PodList
	if !r.list(&nodes) || !r.list(&running) {
		return "Whether the nodes have that room is not known: you may not list nodes and the pods of all namespaces."
	}
	room, allowed := nodeRoom(nodes.Items, running.Items, pod)
	where := fmt.Sprintf("By what is requested, the nodes that such a pod may run on (%d of %d) have room", allowed, len(nodes.Items))
	return n.unmet(where, room, "An autoscaler of nodes may add some.", plan)
}

// disruption says what the budgets of the pods do while nodes are drained. They do not keep a rollout: it evicts nobody.
func (r *reader) disruption(of map[string]string) string {
	var list policyv1.PodDisruptionBudgetList
	if !r.list(&list, client.InNamespace(r.namespace)) {
		return ""
	}
	var theirs []policyv1.PodDisruptionBudget
	for _, b := range list.Items {
		if Protects(&b, of) && metav1.GetControllerOf(&b) == nil {
			theirs = append(theirs, b)
		}
	}
	switch {
	case len(theirs) > 1:
		var names []string
		for _, b := range theirs {
			names = append(names, b.Name)
		}
		slices.Sort(names)
		return fmt.Sprintf("The pods are in %d PodDisruptionBudgets (%s): Kubernetes refuses every eviction of such a pod, so no node can be drained. Keep one; until then Gapless leaves them all as they are.",
			len(names), strings.Join(names, ", "))
	case len(theirs) == 1 && theirs[0].Status.ExpectedPods > 0 && theirs[0].Status.DisruptionsAllowed == 0:
		return fmt.Sprintf("PodDisruptionBudget %s allows no eviction now: a rollout is not kept by it, a drain of a node is.", theirs[0].Name)
	}
	return ""
}
