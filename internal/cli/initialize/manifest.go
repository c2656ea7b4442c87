package initialize

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"

	"gapless.dev/gapless/internal/app"
	"gapless.dev/gapless/internal/cli/exit"
	"gapless.dev/gapless/internal/kube"
	"gapless.dev/gapless/internal/kube/verbs"
	"gapless.dev/gapless/internal/rollout"
)

// A taking is what is taken over from manifests.
type taking struct {
	d         app.Draft
	deploy    *appsv1.Deployment
	services  []corev1.Service
	scalers   []autoscalingv2.HorizontalPodAutoscaler
	ingresses []networkingv1.Ingress
	budgets   []policyv1.PodDisruptionBudget
	routes    []unstructured.Unstructured
	raw       map[string]any // the pod's spec as it was read
}

// fromManifest drafts an app of a Deployment and what belongs to it; name chooses among several.
func fromManifest(from io.Reader, name string) (app.Draft, error) {
	t := &taking{d: app.Draft{App: defaults(), Because: map[string]string{}}}
	var names []string
	var objects []unstructured.Unstructured
	for d := utilyaml.NewYAMLOrJSONDecoder(io.LimitReader(from, 8<<20), 4096); ; {
		u := &unstructured.Unstructured{}
		err := d.Decode(&u.Object)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return t.d, exit.Usagef("this is no manifest: %v", err)
		}
		all := []unstructured.Unstructured{*u}
		if u.IsList() {
			list, err := u.ToList()
			if err != nil {
				return t.d, exit.With(exit.Usage, err)
			}
			all = list.Items
		}
		objects = append(objects, all...)
	}
	for i := range objects {
		if objects[i].GetKind() == "Deployment" {
			names = append(names, objects[i].GetName())
		}
	}
	for i := range objects {
		o := &objects[i]
		if o.GetKind() == "Deployment" && len(names) > 1 && o.GetName() != name {
			continue
		}
		if err := t.sort(o); err != nil {
			return t.d, exit.Usagef("%s/%s: %v", o.GetKind(), o.GetName(), err)
		}
	}
	switch {
	case len(names) == 0:
		return t.d, exit.Usagef("there is no Deployment in it: give one, with its Service beside it")
	case t.deploy == nil:
		return t.d, exit.Usagef("there are %d Deployments in it, %s: say which one with --name", len(names), strings.Join(names, ", "))
	}
	t.take()
	return t.d, nil
}

func (t *taking) sort(u *unstructured.Unstructured) error {
	into := func(o any) error { return runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, o) }
	switch u.GetKind() {
	case "Deployment":
		t.deploy = &appsv1.Deployment{}
		t.raw, _, _ = unstructured.NestedMap(u.Object, "spec", "template", "spec")
		return into(t.deploy)
	case "Service":
		t.services = append(t.services, corev1.Service{})
		return into(&t.services[len(t.services)-1])
	case "HorizontalPodAutoscaler":
		t.scalers = append(t.scalers, autoscalingv2.HorizontalPodAutoscaler{})
		return into(&t.scalers[len(t.scalers)-1])
	case "Ingress":
		t.ingresses = append(t.ingresses, networkingv1.Ingress{})
		return into(&t.ingresses[len(t.ingresses)-1])
	case "PodDisruptionBudget":
		t.budgets = append(t.budgets, policyv1.PodDisruptionBudget{})
		return into(&t.budgets[len(t.budgets)-1])
	case "HTTPRoute", "IngressRoute", "VirtualService":
		t.routes = append(t.routes, *u)
	}
	return nil
}

func (t *taking) open(format string, args ...any) {
	t.d.Open = append(t.d.Open, fmt.Sprintf(format, args...))
}

func (t *taking) take() {
	a, d := &t.d.App, t.deploy
	a.Name = d.Name
	pod := d.Spec.Template.Spec
	i := t.main(pod.Containers)
	if len(pod.Containers) == 0 {
		return
	}
	c := pod.Containers[i]
	a.Image, a.Version = imageOf(c.Image)
	a.Image.Command, a.Image.Args = c.Command, c.Args
	if c.Name != "app" {
		a.Image.Container = c.Name
	}
	t.labels()
	t.marks()
	t.replicas()
	t.disruption()
	t.ports(c)
	t.env(c)
	t.health(c)
	t.stop(c)
	a.Resources = resourcesOf(c.Resources)
	t.metrics()
	t.route()
	t.routesOfOthers()
	t.helpers(i)
	t.strategy()
	if s := pod.ServiceAccountName; s != "" && s != a.Name {
		a.Account = s
	}
	t.rest(i)
}

// main is the container that takes the requests: the first with a port, else the first.
func (t *taking) main(all []corev1.Container) int {
	i := slices.IndexFunc(all, func(c corev1.Container) bool { return len(c.Ports) > 0 })
	return max(0, i)
}

// imageOf takes the tag out of an image and puts {version} in its place.
func imageOf(image string) (app.Image, rollout.Version) {
	name, _, pinned := strings.Cut(image, "@")
	i := strings.LastIndexByte(name, ':')
	switch {
	case pinned || i <= strings.LastIndexByte(name, '/'):
		return app.Image{Name: strings.SplitN(image, "@", 2)[0] + ":{version}"}, ""
	case app.ValidVersion(name[i+1:]) != nil:
		return app.Image{Name: image}, ""
	}
	return app.Image{Name: name[:i] + ":{version}"}, rollout.Version(name[i+1:])
}

func (t *taking) labels() {
	want := t.deploy.Spec.Selector.MatchLabels
	if maps.Equal(want, map[string]string{"app.kubernetes.io/name": t.d.App.Name}) {
		return
	}
	t.d.App.Labels = want
}

// marks says which annotations and labels of the pods the file has no words for.
func (t *taking) marks() {
	t.notTaken("annotation", t.deploy.Spec.Template.Annotations, "prometheus.io/", "kubectl.kubernetes.io/", "gapless.dev/")
	others := maps.Clone(t.deploy.Spec.Template.Labels)
	maps.DeleteFunc(others, func(name, _ string) bool {
		_, selected := t.deploy.Spec.Selector.MatchLabels[name]
		return selected
	})
	t.notTaken("label", others, "app.kubernetes.io/", "gapless.dev/")
}

// notTaken says which of the pods' marks go, but for those of whom the file's own fields speak.
func (t *taking) notTaken(what string, marks map[string]string, known ...string) {
	var lost []string
	for _, name := range slices.Sorted(maps.Keys(marks)) {
		if !slices.ContainsFunc(known, func(prefix string) bool { return strings.HasPrefix(name, prefix) }) {
			lost = append(lost, name)
		}
	}
	if len(lost) > 0 {
		t.open("the file cannot say the %ss of the pods %s: whatever goes by them will not find these pods once it is deployed", what, strings.Join(lost, ", "))
	}
}

// disruption says which budgets would stand beside the file's own.
func (t *taking) disruption() {
	for _, b := range t.budgets {
		if b.Name != t.deploy.Name && kube.Protects(&b, t.deploy.Spec.Template.Labels) {
			t.open("PodDisruptionBudget %s selects the pods, too. Delete it once the one that this file makes stands, %s: a pod with two of them cannot be evicted", b.Name, t.deploy.Name)
		}
	}
}

func (t *taking) replicas() {
	a := &t.d.App
	a.Replicas = 1
	if n := t.deploy.Spec.Replicas; n != nil {
		a.Replicas = int(*n)
	}
	for _, s := range t.scalers {
		if s.Spec.ScaleTargetRef.Name != t.deploy.Name {
			continue
		}
		a.Autoscale = app.Autoscale{Min: 1, Max: int(s.Spec.MaxReplicas), CPU: 70}
		if s.Spec.MinReplicas != nil {
			a.Autoscale.Min = int(*s.Spec.MinReplicas)
		}
		for _, m := range s.Spec.Metrics {
			if m.Resource != nil && m.Resource.Name == corev1.ResourceCPU && m.Resource.Target.AverageUtilization != nil {
				a.Autoscale.CPU = int(*m.Resource.Target.AverageUtilization)
			} else {
				t.open("the HorizontalPodAutoscaler scales by more than the processor, and this file cannot say that: keep it as it is, and write replicas as a number")
			}
		}
		a.Replicas = a.Autoscale.Min
		if s.Name != t.deploy.Name {
			t.open("HorizontalPodAutoscaler %s scales the Deployment. Delete it once the one that this file makes stands, %s: two of them work against each other", s.Name, t.deploy.Name)
		}
	}
}

// mine tells whether a Service leads to the pods.
func (t *taking) mine(s corev1.Service) bool {
	labels := t.deploy.Spec.Template.Labels
	for k, v := range s.Spec.Selector {
		if labels[k] != v {
			return false
		}
	}
	return len(s.Spec.Selector) > 0
}

func (t *taking) ports(c corev1.Container) {
	a := &t.d.App
	name := func(p corev1.ContainerPort, i int) string {
		switch {
		case p.Name != "":
			return p.Name
		case i == 0:
			return "http"
		}
		return fmt.Sprintf("p%d", p.ContainerPort)
	}
	for i, p := range c.Ports {
		if p.Protocol != "" && p.Protocol != corev1.ProtocolTCP {
			t.open("port %d is %s, which is not taken over", p.ContainerPort, p.Protocol)
			continue
		}
		a.Ports = append(a.Ports, app.Port{Name: name(p, i), Target: int(p.ContainerPort), Inner: true})
	}
	for _, s := range t.services {
		if !t.mine(s) {
			continue
		}
		if s.Name != t.deploy.Name {
			t.open("Service %s leads to the pods, too, and stays beside the one that this file makes, %s", s.Name, t.deploy.Name)
		}
		for _, p := range s.Spec.Ports {
			t.public(p)
		}
	}
	slices.SortStableFunc(a.Ports, func(x, y app.Port) int {
		return map[bool]int{true: 1}[x.Inner] - map[bool]int{true: 1}[y.Inner]
	})
}

// public makes the port that a Service leads to one that clients use.
func (t *taking) public(p corev1.ServicePort) {
	a := &t.d.App
	target := p.TargetPort
	if target.Type == intstr.Int && target.IntValue() == 0 {
		target = intstr.FromInt32(p.Port)
	}
	i := slices.IndexFunc(a.Ports, func(x app.Port) bool {
		return target.Type == intstr.String && x.Name == target.StrVal || target.Type == intstr.Int && x.Target == target.IntValue()
	})
	if i < 0 {
		name, number := p.Name, target.IntValue()
		if target.Type == intstr.String {
			name, number = target.StrVal, t.elsewhere(target.StrVal)
		}
		if name == "" {
			name = "http"
		}
		if number == 0 {
			t.open("the Service leads to port %s, which no container has", target.String())
			return
		}
		a.Ports = append(a.Ports, app.Port{Name: name, Target: number})
		i = len(a.Ports) - 1
	}
	a.Ports[i].Public, a.Ports[i].Inner = int(p.Port), false
	if a.Ports[i].Target == a.Ports[i].Public {
		a.Ports[i].Target = 0
	}
}

// elsewhere is a port by its name in a container beside.
func (t *taking) elsewhere(name string) int {
	pod := t.deploy.Spec.Template.Spec
	for _, c := range slices.Concat(pod.InitContainers, pod.Containers) {
		for _, p := range c.Ports {
			if p.Name == name {
				return int(p.ContainerPort)
			}
		}
	}
	return 0
}

// given are the variables that the file's own fields lead to.
func given(name string) bool {
	return name == "PORT" || strings.HasPrefix(name, "PORT_") || slices.Contains([]string{"GAPLESS_VERSION", "GAPLESS_GRACE", "GAPLESS_DRAIN", "GAPLESS_PRESTOP", "GAPLESS_CONFIG", "GAPLESS_APP"}, name)
}

func (t *taking) env(c corev1.Container) {
	a := &t.d.App
	a.Env, a.Secrets = map[string]string{}, map[string]app.SecretKey{}
	var others []any
	for i, e := range c.Env {
		switch {
		case e.Name == "PORT" && len(a.Ports) > 0 && e.Value == strconv.Itoa(a.Ports[0].Inside()), strings.HasPrefix(e.Name, "GAPLESS_") && given(e.Name):
		case given(e.Name), e.ValueFrom != nil && e.ValueFrom.SecretKeyRef == nil:
			others = append(others, t.rawEnv(c.Name, i))
		case e.ValueFrom != nil:
			a.Secrets[e.Name] = app.SecretKey{Secret: e.ValueFrom.SecretKeyRef.Name, Key: e.ValueFrom.SecretKeyRef.Key}
		default:
			a.Env[e.Name] = e.Value
		}
	}
	if len(others) > 0 {
		t.keep("env", others)
	}
}

func (t *taking) rawEnv(container string, i int) any {
	list, _, _ := unstructured.NestedSlice(t.container(container), "env")
	return list[i]
}

// container is one as it was read.
func (t *taking) container(name string) map[string]any {
	list, _, _ := unstructured.NestedSlice(t.raw, "containers")
	for _, c := range list {
		if m, ok := c.(map[string]any); ok && m["name"] == name {
			return m
		}
	}
	return nil
}

// keep puts a field of the container into the file as Kubernetes has it.
func (t *taking) keep(field string, v any) {
	if t.d.App.Kubernetes.Container == nil {
		t.d.App.Kubernetes.Container = map[string]any{}
	}
	t.d.App.Kubernetes.Container[field] = v
}

func (t *taking) keepPod(field string, v any) {
	if t.d.App.Kubernetes.Pod == nil {
		t.d.App.Kubernetes.Pod = map[string]any{}
	}
	t.d.App.Kubernetes.Pod[field] = v
}

func (t *taking) health(c corev1.Container) {
	h := &t.d.App.Health
	h.Ready, h.Live = app.Check{}, app.Check{}
	if ready, ok := t.check(c.ReadinessProbe, time.Second); ok {
		h.Ready = ready
	} else if c.ReadinessProbe != nil {
		t.keep("readinessProbe", t.container(c.Name)["readinessProbe"])
	}
	if live, ok := t.check(c.LivenessProbe, 10*time.Second); ok {
		h.Live = live
	} else if c.LivenessProbe != nil {
		t.keep("livenessProbe", t.container(c.Name)["livenessProbe"])
	}
	if !h.Ready.Set() && len(t.d.App.Ports) > 0 { // the default
		h.Ready = app.Check{TCP: true, Port: t.d.App.Ports[0].Name, Period: time.Second, Timeout: time.Second, FailureThreshold: 3, SuccessThreshold: 1}
		if c.ReadinessProbe == nil {
			t.open("there is no readiness probe, so that a pod counts as ready once its port accepts connections: write health: {ready: /path}")
		}
	}
	if p := c.StartupProbe; p != nil {
		h.Startup = time.Duration(p.InitialDelaySeconds)*time.Second + time.Duration(max(1, orDefault(p.PeriodSeconds, 10))*max(1, orDefault(p.FailureThreshold, 3)))*time.Second
	}
}

func orDefault(n, otherwise int32) int32 {
	if n == 0 {
		return otherwise
	}
	return n
}

// check makes a check of a probe; false where a file cannot say it.
func (t *taking) check(p *corev1.Probe, _ time.Duration) (app.Check, bool) {
	if p == nil {
		return app.Check{}, false
	}
	c := app.Check{
		InitialDelay: time.Duration(p.InitialDelaySeconds) * time.Second, Period: time.Duration(orDefault(p.PeriodSeconds, 10)) * time.Second,
		Timeout: time.Duration(orDefault(p.TimeoutSeconds, 1)) * time.Second, FailureThreshold: int(orDefault(p.FailureThreshold, 3)), SuccessThreshold: int(orDefault(p.SuccessThreshold, 1)),
	}
	var port intstr.IntOrString
	switch {
	case p.HTTPGet != nil:
		if p.HTTPGet.Scheme == corev1.URISchemeHTTPS || p.HTTPGet.Host != "" {
			return c, false
		}
		c.Path, port = p.HTTPGet.Path, p.HTTPGet.Port
		if c.Path == "" {
			c.Path = "/"
		}
		for _, h := range p.HTTPGet.HTTPHeaders {
			if c.Headers == nil {
				c.Headers = map[string]string{}
			}
			c.Headers[h.Name] = h.Value
		}
	case p.TCPSocket != nil:
		c.TCP, port = true, p.TCPSocket.Port
	case p.Exec != nil:
		c.Exec = p.Exec.Command
		return c, true
	default:
		return c, false
	}
	var known bool
	c.Port, known = t.portOf(port)
	return c, known
}

// portOf is the name of a port; one that only a check knows becomes one of the file.
func (t *taking) portOf(port intstr.IntOrString) (string, bool) {
	a := &t.d.App
	for _, p := range a.Ports {
		if port.Type == intstr.String && p.Name == port.StrVal || port.Type == intstr.Int && p.Inside() == port.IntValue() {
			return p.Name, true
		}
	}
	if port.Type == intstr.String {
		return "", false
	}
	name := "health"
	if slices.ContainsFunc(a.Ports, func(p app.Port) bool { return p.Name == name }) {
		name = fmt.Sprintf("p%d", port.IntValue())
	}
	a.Ports = append(a.Ports, app.Port{Name: name, Target: port.IntValue(), Inner: true})
	return name, true
}

func (t *taking) stop(c corev1.Container) {
	s := &t.d.App.Stop
	if g := t.deploy.Spec.Template.Spec.TerminationGracePeriodSeconds; g != nil && *g > 0 {
		s.Grace = time.Duration(*g) * time.Second
	}
	for _, e := range c.Env {
		if d, err := time.ParseDuration(e.Value); e.Name == "GAPLESS_DRAIN" && err == nil {
			s.Drain = d
		}
	}
	l := c.Lifecycle
	switch {
	case l == nil:
	case l.PreStop != nil && l.PreStop.Sleep != nil && l.PostStart == nil:
		s.Drain = time.Duration(l.PreStop.Sleep.Seconds) * time.Second
	default:
		t.keep("lifecycle", t.container(c.Name)["lifecycle"])
		if l.PreStop != nil {
			s.Drain = 0
			t.open("the preStop hook is kept as it is under kubernetes: see whether stop: {drain: 5s}, a sleep that needs nothing from the image, does the same")
		}
	}
}

func resourcesOf(r corev1.ResourceRequirements) app.Resources {
	text := func(l corev1.ResourceList, name corev1.ResourceName) string {
		if q, ok := l[name]; ok {
			return q.String()
		}
		return ""
	}
	out := app.Resources{
		CPU: text(r.Requests, corev1.ResourceCPU), Memory: text(r.Requests, corev1.ResourceMemory),
		CPULimit: text(r.Limits, corev1.ResourceCPU), MemoryLimit: text(r.Limits, corev1.ResourceMemory),
	}
	if out.MemoryLimit == out.Memory {
		out.MemoryLimit = ""
	}
	return out
}

func (t *taking) metrics() {
	said := t.deploy.Spec.Template.Annotations
	if said["prometheus.io/scrape"] != "true" {
		return
	}
	m := app.Metrics{Path: said["prometheus.io/path"]}
	if m.Path == "" {
		m.Path = "/metrics"
	}
	if n, err := strconv.Atoi(said["prometheus.io/port"]); err == nil {
		m.Port, _ = t.portOf(intstr.FromInt(n))
	} else if len(t.d.App.Ports) > 0 {
		m.Port = t.d.App.Ports[0].Name
	}
	t.d.App.Metrics = m
}

func (t *taking) route() {
	for _, in := range t.ingresses {
		for _, rule := range in.Spec.Rules {
			if rule.HTTP == nil {
				continue
			}
			for _, p := range rule.HTTP.Paths {
				if p.Backend.Service == nil || p.Backend.Service.Name != t.deploy.Name {
					continue
				}
				if in.Name != t.deploy.Name || t.d.App.Route.Router != "" {
					t.open("Ingress %s leads to the Service, too, and stays beside the route of this file", in.Name)
					continue
				}
				t.d.App.Route = app.Route{Router: "ingress", Host: rule.Host, Path: strings.TrimRight(p.Path, "/")}
				if in.Spec.IngressClassName != nil {
					t.d.App.Route.Class = *in.Spec.IngressClassName
				}
				for _, tls := range in.Spec.TLS {
					t.d.App.TLS.Secret = tls.SecretName
				}
			}
		}
	}
}

// routesOfOthers says which routes lead to the Services and are not taken over: what they say beyond host and path has no words in the file.
func (t *taking) routesOfOthers() {
	for _, r := range t.routes {
		for _, s := range t.services {
			if t.mine(s) && verbs.LeadsTo(r.Object, s.Name) {
				t.open("%s %s leads to Service %s and stays beside what this file makes, so that a canary goes by shares of the pods: for weights, write route: {host, path, router}, and delete it once the file's own route answers",
					r.GetKind(), r.GetName(), s.Name)
				break
			}
		}
	}
}

// helpers takes native sidecars that ask for nothing but a command and an environment; the rest stays as it is.
func (t *taking) helpers(main int) {
	pod := t.deploy.Spec.Template.Spec
	raw, _, _ := unstructured.NestedSlice(t.raw, "initContainers")
	var kept []any
	for i, c := range pod.InitContainers {
		if c.RestartPolicy == nil || *c.RestartPolicy != corev1.ContainerRestartPolicyAlways || !simple(c) {
			kept = append(kept, raw[i])
			continue
		}
		t.d.App.Helpers = append(t.d.App.Helpers, helperOf(c))
	}
	if len(kept) > 0 {
		t.keepPod("initContainers", kept)
	}
	for i, c := range pod.Containers {
		if i != main {
			t.open("container %s runs beside the app's and stops at the same moment: if it is a proxy or an agent, write it as a helper, which stops after the app", c.Name)
			t.d.App.Helpers = append(t.d.App.Helpers, helperOf(c))
		}
	}
}

// simple tells whether a helper can be said in the file's words.
func simple(c corev1.Container) bool {
	plain := !slices.ContainsFunc(c.Env, func(e corev1.EnvVar) bool {
		return given(e.Name) || e.ValueFrom != nil && e.ValueFrom.SecretKeyRef == nil
	})
	return plain && len(c.Ports) == 0 && len(c.VolumeMounts) == 0 && len(c.EnvFrom) == 0 && c.ReadinessProbe == nil && c.LivenessProbe == nil && c.StartupProbe == nil && c.Lifecycle == nil
}

func helperOf(c corev1.Container) app.Helper {
	h := app.Helper{Name: toName(c.Name), Image: app.Image{Name: c.Image, Command: c.Command, Args: c.Args}, Resources: resourcesOf(c.Resources), Env: map[string]string{}}
	for _, e := range c.Env {
		switch {
		case e.ValueFrom == nil:
			h.Env[e.Name] = e.Value
		case e.ValueFrom.SecretKeyRef != nil:
			if h.Secrets == nil {
				h.Secrets = map[string]app.SecretKey{}
			}
			h.Secrets[e.Name] = app.SecretKey{Secret: e.ValueFrom.SecretKeyRef.Name, Key: e.ValueFrom.SecretKeyRef.Key}
		}
	}
	return h
}

func (t *taking) strategy() {
	p, s := &t.d.App.Plan, t.deploy.Spec.Strategy
	if s.Type == appsv1.RecreateDeploymentStrategyType {
		*p = rollout.Plan{Strategy: rollout.Recreate, Deadline: p.Deadline}
		t.open("the Deployment is of type Recreate, which has a gap at each version; if old and new may run side by side, write strategy: {canary: {}}")
	}
	if n := t.deploy.Spec.ProgressDeadlineSeconds; n != nil && *n > 0 && *n < 1<<20 {
		p.Deadline = time.Duration(*n) * time.Second
	}
}

// taken are the fields of pods and containers that the file has words for, or that it renders by itself.
var (
	takenOfPod       = []string{"containers", "initContainers", "serviceAccountName", "serviceAccount", "terminationGracePeriodSeconds", "topologySpreadConstraints", "restartPolicy", "dnsPolicy", "schedulerName"}
	takenOfContainer = []string{
		"name", "image", "command", "args", "ports", "env", "resources", "readinessProbe", "livenessProbe", "startupProbe", "lifecycle", "imagePullPolicy",
		"terminationMessagePath", "terminationMessagePolicy",
	}
)

// rest keeps what the file has no words for as Kubernetes has it.
func (t *taking) rest(main int) {
	for _, field := range slices.Sorted(maps.Keys(t.raw)) {
		if m, is := t.raw[field].(map[string]any); !slices.Contains(takenOfPod, field) && (!is || len(m) > 0) {
			t.keepPod(field, t.raw[field])
		}
	}
	c := t.container(t.deploy.Spec.Template.Spec.Containers[main].Name)
	for _, field := range slices.Sorted(maps.Keys(c)) {
		if !slices.Contains(takenOfContainer, field) {
			t.keep(field, c[field])
		}
	}
	if policy, _ := c["imagePullPolicy"].(string); policy == "Never" || policy == "Always" {
		t.keep("imagePullPolicy", policy)
	}
}
