package lint

import (
	"cmp"
	"slices"
	"strings"

	"gapless.dev/gapless/internal/lint/manifest"
)

// A World is everything that was given to be judged together.
type World struct {
	Objects   []*manifest.Object
	Workloads []*Workload
	Answers   Answers
	// Checked is what a live test of the service has seen; nil if there was none.
	Checked *CheckReport

	services, budgets, scalers []*manifest.Object
	namespaces                 map[string][]*Workload
}

// NewWorld takes the objects of all files.
func NewWorld(files []*manifest.File, answers Answers, checked *CheckReport) *World {
	w := &World{Answers: answers, Checked: checked}
	for _, f := range files {
		w.Objects = append(w.Objects, f.Objects...)
	}
	for _, o := range w.Objects {
		if one := workload(o); one != nil {
			w.Workloads = append(w.Workloads, one)
		}
		switch {
		case o.Is("v1", "Service"):
			w.services = append(w.services, o)
		case o.Is("policy/", "PodDisruptionBudget"):
			w.budgets = append(w.budgets, o)
		case o.Is("autoscaling/", "HorizontalPodAutoscaler"):
			w.scalers = append(w.scalers, o)
		}
	}
	w.relate()
	return w
}

// relate finds once what belongs together.
func (w *World) relate() {
	w.namespaces = map[string][]*Workload{}
	for _, one := range w.Workloads {
		one.labels = one.Meta.Get("labels").Pairs()
		w.namespaces[one.Namespace] = append(w.namespaces[one.Namespace], one)
	}
	for _, o := range w.services {
		selector := o.Get("spec", "selector").Pairs()
		for _, one := range w.namespaces[o.Namespace] {
			if len(selector) > 0 && holds(one.labels, selector) {
				one.services = append(one.services, o)
			}
		}
	}
	for _, o := range w.budgets {
		for _, one := range w.Selected(o, o.Get("spec", "selector")) {
			one.budgets = append(one.budgets, o)
		}
	}
}

// Near are the workloads in an object's namespace.
func (w *World) Near(o *manifest.Object) []*Workload { return w.namespaces[o.Namespace] }

// Selected are the workloads near an object whose pods a label selector matches.
func (w *World) Selected(o *manifest.Object, selector manifest.Value) []*Workload {
	match := matcher(selector)
	var all []*Workload
	for _, one := range w.Near(o) {
		if match(one.labels) {
			all = append(all, one)
		}
	}
	return all
}

// A Workload is an object that keeps pods running.
type Workload struct {
	*manifest.Object
	// Spec is the object's own; Meta and Pod are the metadata and spec of its pods.
	Spec, Meta, Pod manifest.Value
	// Containers are those that serve or work. Proxies and other companions are among them when they are ordinary containers.
	Containers []Container
	// Sidecars are native ones: init containers that restart.
	Sidecars []Container

	labels            map[string]string
	services, budgets []*manifest.Object
}

// A Container of a pod.
type Container struct {
	manifest.Value
	Name  string
	Image string
	// Companion is set for proxies and agents that are known by their image: they do not serve themselves.
	Companion string
}

func workload(o *manifest.Object) *Workload {
	w := &Workload{Object: o, Spec: o.Get("spec")}
	switch {
	case o.Is("apps/", "Deployment"), o.Is("apps/", "StatefulSet"), o.Is("apps/", "DaemonSet"), o.Is("apps/", "ReplicaSet"),
		o.Is("extensions/", "Deployment"), o.Is("extensions/", "DaemonSet"), o.Is("v1", "ReplicationController"):
		w.Meta, w.Pod = o.Get("spec", "template", "metadata"), o.Get("spec", "template", "spec")
	case o.Is("v1", "Pod"):
		w.Meta, w.Pod = o.Get("metadata"), o.Get("spec")
	default:
		return nil
	}
	if o.Get("metadata", "ownerReferences").Exists() {
		return nil // its owner is judged
	}
	for _, c := range w.Pod.Get("containers").Items() {
		w.Containers = append(w.Containers, container(c))
	}
	for _, c := range w.Pod.Get("initContainers").Items() {
		if c.Get("restartPolicy").String() == "Always" {
			w.Sidecars = append(w.Sidecars, container(c))
		}
	}
	return w
}

func container(v manifest.Value) Container {
	c := Container{Value: v, Name: v.Get("name").String(), Image: v.Get("image").String()}
	c.Companion = companions[imageName(c.Image)]
	return c
}

// companions are images that are there for another container, by the last part of their name.
var companions = map[string]string{
	"proxyv2": "the Istio proxy", "envoy": "an Envoy proxy", "envoy-distroless": "an Envoy proxy", "linkerd2-proxy": "the Linkerd proxy", "proxy-linkerd": "the Linkerd proxy",
	"cloud-sql-proxy": "the Cloud SQL proxy", "gce-proxy": "the Cloud SQL proxy", "alloydb-auth-proxy": "the AlloyDB proxy",
	"consul-dataplane": "the Consul proxy", "daprd": "the Dapr sidecar", "aws-appmesh-envoy": "the App Mesh proxy",
	"pgbouncer": "PgBouncer", "twemproxy": "a cache proxy", "fluent-bit": "a log agent", "fluentd": "a log agent", "vault": "the Vault agent",
	"opentelemetry-collector": "a telemetry agent", "opentelemetry-collector-contrib": "a telemetry agent", "oauth2-proxy": "an OAuth proxy", "kube-rbac-proxy": "an authorizing proxy",
}

func imageName(image string) string {
	name := image[strings.LastIndexByte(image, '/')+1:]
	name, _, _ = strings.Cut(name, "@")
	name, _, _ = strings.Cut(name, ":")
	return name
}

// Replicas are the pods that are there at the least: of an autoscaler, if one is given. A DaemonSet counts as many.
func (w *World) Replicas(one *Workload) int {
	for _, h := range w.scalers {
		ref := h.Get("spec", "scaleTargetRef")
		if h.Namespace == one.Namespace && ref.Get("kind").String() == one.Kind && ref.Get("name").String() == one.Name {
			return h.Get("spec", "minReplicas").Int(1)
		}
	}
	switch one.Kind {
	case "DaemonSet":
		return many
	case "Pod":
		return 1
	}
	return one.Spec.Get("replicas").Int(1)
}

// many stands for one on each node.
const many = 1000

// Rolled reports whether the workload replaces its own pods, as Deployments, StatefulSets and DaemonSets do.
func (one *Workload) Rolled() bool {
	return one.Kind == "Deployment" || one.Kind == "StatefulSet" || one.Kind == "DaemonSet"
}

// Labels are those of the pods.
func (one *Workload) Labels() map[string]string { return one.labels }

// Services are those that send traffic to the pods.
func (w *World) Services(one *Workload) []*manifest.Object { return one.services }

// Budgets are the PodDisruptionBudgets that select the pods.
func (w *World) Budgets(one *Workload) []*manifest.Object { return one.budgets }

// Serves are the containers that take requests: those with a port or a readiness probe, or the first one when a Service selects the pods.
func (w *World) Serves(one *Workload) []Container {
	own := slices.DeleteFunc(slices.Clone(one.Containers), func(c Container) bool { return c.Companion != "" })
	with := slices.DeleteFunc(slices.Clone(own), func(c Container) bool {
		return len(c.Get("ports").Items()) == 0 && !c.Get("readinessProbe").Exists()
	})
	if len(with) == 0 && len(own) > 0 && len(w.Services(one)) > 0 {
		return own[:1]
	}
	return with
}

// Selects reports whether a label selector matches. An empty one matches everything, a missing one nothing.
func Selects(selector manifest.Value, labels map[string]string) bool {
	return matcher(selector)(labels)
}

// matcher reads a selector once, for many labels.
func matcher(selector manifest.Value) func(map[string]string) bool {
	exists, wanted := selector.Exists(), selector.Get("matchLabels").Pairs()
	expressions := selector.Get("matchExpressions").Items()
	return func(labels map[string]string) bool {
		if !exists || !holds(labels, wanted) {
			return false
		}
		for _, e := range expressions {
			value, has := labels[e.Get("key").String()]
			in := has && slices.Contains(e.Get("values").Strings(), value)
			matches := map[string]bool{"In": in, "NotIn": !in, "Exists": has, "DoesNotExist": !has}
			if !matches[e.Get("operator").String()] {
				return false
			}
		}
		return true
	}
}

func holds(labels, wanted map[string]string) bool {
	for k, v := range wanted {
		if have, ok := labels[k]; !ok || have != v {
			return false
		}
	}
	return true
}

// Percent reads a count or a share of total, as Kubernetes does: shares of pods that may be missing round down, of pods too many round up.
func Percent(v manifest.Value, def string, total int, up bool) int {
	text := cmp.Or(v.String(), def)
	share, isShare := strings.CutSuffix(text, "%")
	n := 0
	for _, r := range share {
		if r < '0' || r > '9' || n > 1<<20 {
			return 0
		}
		n = n*10 + int(r-'0')
	}
	if !isShare {
		return n
	}
	if up {
		return (n*total + 99) / 100
	}
	return n * total / 100
}
