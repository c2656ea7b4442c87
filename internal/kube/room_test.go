package kube

import (
	"strings"
	"testing"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"gapless.dev/gapless/internal/rollout"
)

func amounts(pairs ...string) corev1.ResourceList {
	l := corev1.ResourceList{}
	for i := 0; i < len(pairs); i += 2 {
		l[corev1.ResourceName(pairs[i])] = resource.MustParse(pairs[i+1])
	}
	return l
}

// podOn is a pod of the app that asks for a tenth of a processor and 64 MiB.
func podOn(node string, change ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Labels: map[string]string{"app": "api"}}}
	p.Spec.NodeName = node
	p.Spec.Containers = []corev1.Container{{Name: "app", Resources: corev1.ResourceRequirements{
		Requests: amounts("cpu", "100m", "memory", "64Mi"), Limits: amounts("memory", "128Mi"),
	}}}
	for _, f := range change {
		f(p)
	}
	return p
}

func TestQuotaRoom_CountsWhatAPodTakesOfEachLine(t *testing.T) {
	inScope := func(s corev1.ResourceQuotaScope) func(*corev1.ResourceQuota) {
		return func(q *corev1.ResourceQuota) { q.Spec.Scopes = []corev1.ResourceQuotaScope{s} }
	}
	for _, tt := range []struct {
		name       string
		hard, used corev1.ResourceList
		change     func(*corev1.ResourceQuota)
		room       int
		line       corev1.ResourceName
		without    bool
	}{
		{"pods", amounts("pods", "5"), amounts("pods", "4"), nil, 1, "pods", false},
		{"counted", amounts("count/pods", "5"), amounts("count/pods", "5"), nil, 0, "count/pods", false},
		{"processors", amounts("requests.cpu", "1"), amounts("requests.cpu", "700m"), nil, 3, "requests.cpu", false},
		{"processors by the short name", amounts("cpu", "1"), amounts("cpu", "950m"), nil, 0, "cpu", false},
		{"the narrowest", amounts("pods", "9", "limits.memory", "512Mi"), amounts("pods", "1", "limits.memory", "256Mi"), nil, 2, "limits.memory", false},
		{"over already", amounts("pods", "3"), amounts("pods", "4"), nil, 0, "pods", false},
		{"something else", amounts("services", "1"), amounts("services", "1"), nil, 0, "", true},
		{"what the pod does not ask for", amounts("limits.cpu", "1"), nil, nil, 0, "", true},
		{"pods that end by themselves", amounts("pods", "1"), nil, inScope(corev1.ResourceQuotaScopeTerminating), 0, "", true},
		{"pods that do not", amounts("pods", "1"), nil, inScope(corev1.ResourceQuotaScopeNotTerminating), 1, "pods", false},
		{"pods without requests", amounts("pods", "1"), nil, inScope(corev1.ResourceQuotaScopeBestEffort), 0, "", true},
		{"a class of pods", amounts("pods", "1"), nil, func(q *corev1.ResourceQuota) {
			q.Spec.ScopeSelector = &corev1.ScopeSelector{MatchExpressions: []corev1.ScopedResourceSelectorRequirement{
				{ScopeName: corev1.ResourceQuotaScopePriorityClass, Operator: corev1.ScopeSelectorOpIn, Values: []string{"high"}},
			}}
		}, 0, "", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			q := &corev1.ResourceQuota{Status: corev1.ResourceQuotaStatus{Hard: tt.hard, Used: tt.used}}
			if tt.change != nil {
				tt.change(q)
			}
			room, line, without := quotaRoom(q, podOn(""))
			if room != tt.room || line != tt.line || without != tt.without {
				t.Errorf("%d by %q, without %v", room, line, without)
			}
		})
	}
}

func TestNodeRoom_CountsOnlyWhereThePodMayRun(t *testing.T) {
	node := func(name string, change ...func(*corev1.Node)) corev1.Node {
		n := corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelHostname: name}}}
		n.Status.Allocatable = amounts("cpu", "1", "memory", "1Gi", "pods", "8")
		n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
		for _, f := range change {
			f(&n)
		}
		return n
	}
	cordoned := func(n *corev1.Node) { n.Spec.Unschedulable = true }
	tainted := func(n *corev1.Node) {
		n.Spec.Taints = []corev1.Taint{{Key: "gpu", Value: "yes", Effect: corev1.TaintEffectNoSchedule}}
	}
	dead := func(n *corev1.Node) { n.Status.Conditions[0].Status = corev1.ConditionUnknown }
	tolerant := func(p *corev1.Pod) {
		p.Spec.Tolerations = []corev1.Toleration{{Key: "gpu", Operator: corev1.TolerationOpExists}}
	}
	apart := func(p *corev1.Pod) {
		p.Spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{
			{TopologyKey: corev1.LabelHostname, LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "api"}}},
		}}}
	}
	port := func(p *corev1.Pod) { p.Spec.Containers[0].Ports = []corev1.ContainerPort{{HostPort: 80}} }
	ended := func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded }
	large := func(p *corev1.Pod) { p.Spec.Containers[0].Resources.Requests = amounts("cpu", "750m") }
	onB := func(p *corev1.Pod) { p.Spec.NodeSelector = map[string]string{corev1.LabelHostname: "b"} }
	for _, tt := range []struct {
		name          string
		nodes         []corev1.Node
		running       []corev1.Pod
		pod           *corev1.Pod
		room, allowed int
	}{
		{"as many as a node takes", []corev1.Node{node("a"), node("b")}, nil, podOn(""), 16, 2},
		{"what is requested is gone", []corev1.Node{node("a")}, []corev1.Pod{*podOn("a", large)}, podOn(""), 2, 1},
		{"what has ended asks for nothing", []corev1.Node{node("a")}, []corev1.Pod{*podOn("a", large, ended)}, podOn(""), 8, 1},
		{"cordoned, dead and tainted nodes", []corev1.Node{node("a", cordoned), node("b", dead), node("c", tainted)}, nil, podOn(""), 0, 0},
		{"a toleration", []corev1.Node{node("c", tainted)}, nil, podOn("", tolerant), 8, 1},
		{"a selector", []corev1.Node{node("a"), node("b")}, nil, podOn("", onB), 8, 1},
		{"one a node, and one has it", []corev1.Node{node("a"), node("b")}, []corev1.Pod{*podOn("a")}, podOn("", apart), 1, 2},
		{"a port of the node", []corev1.Node{node("a"), node("b")}, []corev1.Pod{*podOn("a", port)}, podOn("", port), 1, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if room, allowed := nodeRoom(tt.nodes, tt.running, tt.pod); room != tt.room || allowed != tt.allowed {
				t.Errorf("room for %d, allowed on %d", room, allowed)
			}
		})
	}
}

func TestNeed_SaysWhatARolloutTakesAndWhatBecomesOfIt(t *testing.T) {
	scaler := &autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: metav1.ObjectMeta{Name: "busy"}, Spec: autoscalingv2.HorizontalPodAutoscalerSpec{MaxReplicas: 9}}
	byWeight := rollout.Plan{Strategy: rollout.Canary, Split: rollout.ByWeight, Deadline: time.Minute}
	byShare := rollout.Plan{Strategy: rollout.Canary, Split: rollout.ByShare, MaxSurge: 1}
	for _, tt := range []struct {
		name       string
		plan       rollout.Plan
		scaler     *autoscalingv2.HorizontalPodAutoscaler
		room       int
		need, says string
	}{
		{"a whole version more", byWeight, nil, 2, "for 3 pods more.", "has room for 2 pods more: a rollout needs 3, waits for the rest, and goes back after 1m0s without progress"},
		{"enough", byWeight, nil, 3, "for 3 pods more.", ""},
		{"by share", byShare, nil, 3, "for 1 pod more, and to go back late in it for up to 3.", ""},
		{"by share, and only forward", byShare, nil, 1, "for 1 pod more", "enough to go forward, but to go back late in a rollout takes up to 3"},
		{"at the autoscaler's most", byWeight, scaler, 4, "for 3 pods more.", "busy asks for its most: 9 pods take 15 more"},
		{"a gap", rollout.Plan{Strategy: rollout.Recreate}, scaler, 0, "", ""},
		{"rolling", rollout.Plan{Strategy: rollout.Rolling, MaxSurge: 1}, nil, 0, "for 1 pod more.", "a rollout needs 1"},
		{"rolling into what is given up", rollout.Plan{Strategy: rollout.Rolling, MaxUnavailable: 1}, nil, 0, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := needOf(tt.plan, 3, tt.scaler)
			if says := n.says(); !strings.Contains(says, tt.need) || tt.need == "" && says != "" {
				t.Errorf("needs %q", says)
			}
			if says := n.unmet("It has room", tt.room, "Fix.", tt.plan); !strings.Contains(says, tt.says) || tt.says == "" && says != "" {
				t.Errorf("says %q", says)
			}
		})
	}
}

func TestRefused_SaysWhyPodsAreNotMade(t *testing.T) {
	s := set{Unstructured: &unstructured.Unstructured{Object: map[string]any{"status": map[string]any{"conditions": []any{map[string]any{
		"type": "ReplicaFailure", "status": "True", "message": `pods "api-1" is forbidden: exceeded quota: few, requested: pods=1, used: pods=4, limited: pods=4`,
	}}}}}}
	if got, want := s.refused(), "Kubernetes cannot make its pods: exceeded quota: few, requested: pods=1, used: pods=4, limited: pods=4"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
