package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"regexp"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/intstr"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/internal/gate"
	"gapless.dev/gapless/internal/gate/all"
	"gapless.dev/gapless/internal/gate/job"
	"gapless.dev/gapless/internal/gate/spec"
	"gapless.dev/gapless/internal/rollout"
)

// gatesOf are the gates of a Rollout, with their defaults.
func gatesOf(l *look) []spec.Gate {
	var gates []spec.Gate
	for _, g := range l.rollout.Spec.Gates {
		gates = append(gates, gateOf(g))
	}
	return spec.All(gates, strategyOf(l))
}

func gateOf(g v1alpha1.Gate) spec.Gate {
	out := spec.Gate{Name: g.Name, Hold: g.Inconclusive == "pause", DryRun: g.DryRun}
	for _, m := range g.At {
		out.At = append(out.At, rollout.Moment(m))
	}
	if g.Deadline != nil {
		out.Deadline = &g.Deadline.Duration
	}
	switch {
	case g.Probe != nil:
		p := g.Probe
		out.Probe = &spec.Probe{
			Path: p.Path, Rate: float64(p.Rate), Post: float64(p.Post) / 100, Timeout: long(p.Timeout), Slow: long(p.Slow),
			Tolerance: percent(p.Tolerance), Header: p.Header,
		}
	case g.Prometheus != nil:
		p := g.Prometheus
		out.Prometheus = &spec.Prometheus{
			URL: p.URL, Every: long(p.Every), Timeout: long(p.Timeout), Token: p.Token,
			Query: p.Query, Min: p.Min, Max: p.Max, Over: long(p.Over), Failures: int(p.Failures),
			Bad: p.Bad, Total: p.Total, Tolerance: percent(p.Tolerance), Warmup: long(p.Warmup),
		}
	case g.Webhook != nil:
		w := g.Webhook
		out.Webhook = &spec.Webhook{URL: w.URL, Timeout: long(w.Timeout), Every: long(w.Every), Key: w.Key, Header: w.Header}
		if w.Retries != nil {
			out.Webhook.Retries = spec.Tries(int(*w.Retries))
		}
	case g.Job != nil:
		out.Job = &spec.Job{From: g.Job.From, Timeout: long(g.Job.Timeout)}
	case g.Window != nil:
		out.Window = windowOf(*g.Window)
	}
	return out
}

func windowOf(w v1alpha1.WindowGate) *spec.Window {
	out := &spec.Window{Zone: w.Zone}
	for _, h := range w.Allow {
		hours := spec.Hours{From: spec.Minutes(h.From), To: spec.Minutes(h.To)}
		for _, d := range h.Days {
			if day, ok := spec.Day(d); ok { // the schema lets nothing else in
				hours.Days = append(hours.Days, day)
			}
		}
		out.Allow = append(out.Allow, hours)
	}
	for _, f := range w.Freeze {
		out.Freeze = append(out.Freeze, spec.Freeze{From: f.From, To: f.To, Why: f.Why})
	}
	return out
}

func long(d *metav1.Duration) time.Duration {
	if d == nil {
		return 0
	}
	return d.Duration
}

func percent(p *float64) float64 {
	if p == nil {
		return 0
	}
	return *p / 100
}

// askGates has the gates asked what the state wants to know, and returns their newest answers. A gate that cannot be made says so when it is
// asked, and is inconclusive in the end: a rollout that is under way must not stand still for it.
func (a *App) askGates(ctx context.Context, l *look, plan rollout.Plan) map[string]rollout.Verdict {
	if a.LooksOn {
		return nil
	}
	tools := all.Tools{Keys: a.Keys, Jobs: &job.Jobs{Client: a.Client, Namespace: a.Key.Namespace, Owner: metav1.OwnerReference{
		APIVersion: v1alpha1.GroupVersion.String(), Kind: "Rollout", Name: l.rollout.Name, UID: l.rollout.UID,
	}}}
	a.Gates.Only(plan)
	for _, g := range gatesOf(l) {
		a.Gates.Use(g, func() (gate.Gate, error) { return all.Make(g, tools) })
	}
	return a.Gates.Keep(ctx, plan, l.state, l.subject())
}

// subject is what gates are asked about.
func (l *look) subject() gate.Subject {
	stable, candidate := l.versionStatuses(l.state.Stable, l.state.Candidate)
	check := l.readiness()
	s := gate.Subject{App: l.rollout.Name, Namespace: l.rollout.Namespace, Ready: check.path, Secure: check.secure}
	port := intstr.IntOrString{}
	if len(l.pins.Services) > 0 {
		first := l.pins.Services[0]
		if len(first.Spec.Ports) > 0 && first.Spec.ClusterIP != "" && first.Spec.ClusterIP != corev1.ClusterIPNone {
			scheme := "http"
			if check.secure {
				scheme = "https"
			}
			if l.rollout.Spec.Traffic == nil { // else clients come by a route, and the Service leads to stable alone
				s.Entry = scheme + "://" + net.JoinHostPort(first.Spec.ClusterIP, strconv.Itoa(int(first.Spec.Ports[0].Port)))
			}
			port = first.Spec.Ports[0].TargetPort
			if port == (intstr.IntOrString{}) {
				port = intstr.FromInt32(first.Spec.Ports[0].Port)
			}
		}
	}
	side := func(v rollout.Version, status *v1alpha1.VersionStatus) gate.Side {
		out := gate.Side{Version: v, Name: string(v), Weight: l.state.Route.Weights[v]}
		if status != nil {
			out.Name = status.Version
		}
		if set, stands := l.set(v); stands {
			out.Pods = regexp.QuoteMeta(set.GetName()) + "-[a-z0-9]+"
		}
		for _, p := range l.pods[v] {
			if p.Status.PodIP == "" {
				continue
			}
			i := gate.Instance{
				Name: p.Name, Leaving: p.DeletionTimestamp != nil, Serving: p.DeletionTimestamp == nil && podReady(p),
				Health: net.JoinHostPort(p.Status.PodIP, portOf(p, check.port)),
			}
			if i.Address = i.Health; port != (intstr.IntOrString{}) {
				i.Address = net.JoinHostPort(p.Status.PodIP, portOf(p, port))
			}
			if check.port == (intstr.IntOrString{}) {
				i.Health = i.Address
			}
			out.Instances = append(out.Instances, i)
		}
		return out
	}
	s.Stable, s.Candidate = side(l.state.Stable, stable), side(l.state.Candidate, candidate)
	return s
}

func podReady(p *corev1.Pod) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// portOf is a port of a pod by its number or name.
func portOf(p *corev1.Pod, port intstr.IntOrString) string {
	if port.Type == intstr.Int {
		return strconv.Itoa(int(port.IntVal))
	}
	for _, c := range p.Spec.Containers {
		for _, cp := range c.Ports {
			if cp.Name == port.StrVal {
				return strconv.Itoa(int(cp.ContainerPort))
			}
		}
	}
	return "0"
}

// A readiness is where the template's first container is asked over HTTP whether it is ready.
type readiness struct {
	path   string
	port   intstr.IntOrString
	secure bool
}

func (l *look) readiness() readiness {
	containers, _, _ := unstructured.NestedSlice(l.deploy.Object, "spec", "template", "spec", "containers")
	for _, c := range containers {
		raw, has, _ := unstructured.NestedMap(c.(map[string]any), "readinessProbe", "httpGet")
		if !has {
			continue
		}
		text, err := json.Marshal(raw)
		var get corev1.HTTPGetAction
		if err != nil || json.Unmarshal(text, &get) != nil {
			continue
		}
		path := get.Path
		if path == "" {
			path = "/"
		}
		return readiness{path: path, port: get.Port, secure: get.Scheme == corev1.URISchemeHTTPS}
	}
	return readiness{}
}

// gateStatuses are the answers to what is asked now, in the order of the spec.
func gateStatuses(plan rollout.Plan, s rollout.State) []v1alpha1.GateStatus {
	if s.Asked == nil {
		return nil
	}
	var list []v1alpha1.GateStatus
	for _, g := range plan.GatesAt(s.Asked.Moment) {
		v := s.Gates[g.Name]
		one := v1alpha1.GateStatus{Name: g.Name, At: string(s.Asked.Moment), Outcome: string(v.Outcome), Reason: v.Reason, DryRun: g.DryRun}
		if v.Outcome == "" {
			one.Outcome, one.Reason = string(rollout.Wait), "no answer yet"
		}
		if len(one.Reason) > 500 {
			one.Reason = fmt.Sprintf("%.500s...", one.Reason)
		}
		list = append(list, one)
	}
	return list
}
