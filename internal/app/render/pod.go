package render

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"gapless.dev/gapless/internal/app"
	"gapless.dev/gapless/internal/rollout"
)

func (r renderer) account() *yaml.Node {
	if r.a.Account != "" {
		return nil // it is there already
	}
	return with(r.head("v1", "ServiceAccount", r.a.Name), "automountServiceAccountToken", because(false, "a service that speaks to no API server needs no token"))
}

func (r renderer) deployment() *yaml.Node {
	a := r.a
	var more []any
	if a.Plan.Strategy == rollout.Recreate {
		more = []any{"annotations", object("gapless.dev/lint-ignore", "K4=the app file asks for recreate, which has a gap")}
	}
	var replicas any
	if a.Autoscale.Max == 0 {
		replicas = a.Replicas
	}
	return with(r.head("apps/v1", "Deployment", a.Name, more...), "spec", object(
		"replicas", replicas,
		"progressDeadlineSeconds", r.deadline(),
		"strategy", r.native(),
		"selector", object("matchLabels", r.selector()),
		"template", object(
			"metadata", object("labels", r.selector(), "annotations", r.annotations()),
			"spec", r.pod(),
		),
	))
}

// native is what Kubernetes would do by itself: never less than replicas, unless the file says so.
func (r renderer) native() *yaml.Node {
	p := r.a.Plan
	surge, away := 1, 0
	switch p.Strategy {
	case rollout.Recreate:
		return object("type", "Recreate")
	case rollout.Rolling:
		surge, away = p.MaxSurge, p.MaxUnavailable
	}
	return object("type", "RollingUpdate", "rollingUpdate", flow(object("maxSurge", surge, "maxUnavailable", away)))
}

// deadline holds the start, too: a Deployment that gives up before its pods may be ready would never come up.
func (r renderer) deadline() int {
	d := r.a.Plan.Deadline
	if d == 0 {
		d = 10 * time.Minute // never is said by the Rollout
	}
	return max(seconds(d), seconds(r.a.Health.Startup)+60)
}

func (r renderer) annotations() *yaml.Node {
	pairs := []any{AnnotationVersion, string(r.a.Version)}
	if m := r.a.Metrics; m.Path != "" {
		pairs = append(pairs, "prometheus.io/scrape", "true", "prometheus.io/port", strconv.Itoa(r.inside(m.Port)), "prometheus.io/path", m.Path)
	}
	return object(pairs...)
}

func (r renderer) pod() *yaml.Node {
	a := r.a
	var spread *yaml.Node
	if a.Replicas > 1 {
		spread = list(object(
			"maxSkew", 1,
			"topologyKey", "kubernetes.io/hostname",
			"whenUnsatisfiable", because("ScheduleAnyway", "prefers, and never blocks"),
			"labelSelector", object("matchLabels", r.selector()),
			"matchLabelKeys", because([]string{"pod-template-hash"}, "each version is spread by itself"),
		))
	}
	volumes := list()
	if len(a.Config) > 0 {
		volumes = list(object("name", "config", "configMap", flow(object("name", r.configName()))))
	}
	helpers := list()
	for _, h := range a.Helpers {
		helpers.Content = append(helpers.Content, r.helper(h))
	}
	return overlay(object(
		"serviceAccountName", cmp.Or(a.Account, a.Name),
		"terminationGracePeriodSeconds", seconds(a.Stop.Grace),
		"securityContext", flow(object("seccompProfile", flow(object("type", "RuntimeDefault")))),
		"topologySpreadConstraints", spread,
		"initContainers", helpers,
		"containers", list(r.container()),
		"volumes", volumes,
	), a.Kubernetes.Pod)
}

func (r renderer) container() *yaml.Node {
	a := r.a
	ports := list()
	for _, p := range a.Ports {
		ports.Content = append(ports.Content, flow(object("name", p.Name, "containerPort", p.Inside())))
	}
	var startup *yaml.Node
	if a.Health.Ready.Set() {
		startup = r.handler(a.Health.Ready, a.Health.Ready.Port)
		startup.Content = append(startup.Content, object("periodSeconds", 1, "failureThreshold", max(1, seconds(a.Health.Startup))).Content...)
	}
	return overlay(object(
		"name", cmp.Or(a.Image.Container, "app"),
		"image", r.expand(a.Image.Name),
		"command", r.words(a.Image.Command),
		"args", r.words(a.Image.Args),
		"ports", ports,
		"env", r.env(),
		"resources", resources(a.Resources),
		"startupProbe", startup,
		"readinessProbe", r.probe(a.Health.Ready),
		"livenessProbe", r.probe(a.Health.Live),
		"lifecycle", r.lifecycle(),
		"securityContext", flow(object("allowPrivilegeEscalation", false)),
		"volumeMounts", r.mounts(),
	), a.Kubernetes.Container)
}

// lifecycle: a pod goes on serving while the network learns that it goes.
func (r renderer) lifecycle() *yaml.Node {
	if r.a.Stop.Drain == 0 {
		return nil
	}
	return object("preStop", object("sleep", flow(object("seconds", seconds(r.a.Stop.Drain)))))
}

// helper is a native sidecar: it is ready before the app starts and stops after it.
func (r renderer) helper(h app.Helper) *yaml.Node {
	var startup *yaml.Node
	if h.Ready.Set() {
		startup = r.handler(h.Ready, strconv.Itoa(r.inside(h.Ready.Port)))
		startup.Content = append(startup.Content, object("periodSeconds", 1, "failureThreshold", max(1, seconds(r.a.Health.Startup))).Content...)
	}
	return object(
		"name", h.Name,
		"image", r.expand(h.Image.Name),
		"restartPolicy", "Always",
		"command", r.words(h.Image.Command),
		"args", r.words(h.Image.Args),
		"env", r.variables(nil, h.Env, h.Secrets),
		"resources", resources(h.Resources),
		"startupProbe", startup,
		"securityContext", flow(object("allowPrivilegeEscalation", false)),
		"volumeMounts", r.mounts(),
	)
}

// env is what a process of one machine is given, too.
func (r renderer) env() *yaml.Node {
	path := word("metadata.annotations['" + AnnotationVersion + "']")
	path.Style = yaml.DoubleQuotedStyle
	given := list(object("name", "GAPLESS_VERSION", "valueFrom", object("fieldRef", flow(object("fieldPath", path)))))
	add := func(name, value string) {
		given.Content = append(given.Content, flow(object("name", name, "value", value)))
	}
	for i, p := range r.a.Ports {
		if i == 0 {
			add("PORT", strconv.Itoa(p.Inside()))
		}
		add("PORT_"+strings.ToUpper(strings.ReplaceAll(p.Name, "-", "_")), strconv.Itoa(p.Inside()))
	}
	if len(r.a.Config) > 0 {
		add("GAPLESS_CONFIG", r.configPath())
	}
	// What kit plans its end with. The sleep is a part of the drain.
	drain := strconv.Itoa(seconds(r.a.Stop.Drain)) + "s"
	add("GAPLESS_GRACE", strconv.Itoa(seconds(r.a.Stop.Grace))+"s")
	add("GAPLESS_DRAIN", drain)
	add("GAPLESS_PRESTOP", drain)
	return r.variables(given, r.a.Env, r.a.Secrets)
}

func (r renderer) variables(first *yaml.Node, texts map[string]string, secrets map[string]app.SecretKey) *yaml.Node {
	all := list()
	if first != nil {
		all = first
	}
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		all.Content = append(all.Content, object("name", name, "value", word(r.expand(texts[name]))))
	}
	for _, name := range slices.Sorted(maps.Keys(secrets)) {
		s := secrets[name]
		all.Content = append(all.Content, object("name", name, "valueFrom", object("secretKeyRef", flow(object("name", s.Secret, "key", s.Key)))))
	}
	return all
}

func (r renderer) mounts() *yaml.Node {
	if len(r.a.Config) == 0 {
		return nil
	}
	return list(flow(object("name", "config", "mountPath", r.configPath(), "readOnly", true)))
}

func resources(q app.Resources) *yaml.Node {
	memory := q.MemoryLimit
	if memory == "" {
		memory = q.Memory
	}
	return object("requests", flow(some(object("cpu", q.CPU, "memory", q.Memory))), "limits", flow(some(object("cpu", q.CPULimit, "memory", memory))))
}

// some is nil for an empty mapping.
func some(n *yaml.Node) *yaml.Node {
	if len(n.Content) == 0 {
		return nil
	}
	return n
}

// handler is what a check asks. The port is a name only within its own container.
func (r renderer) handler(c app.Check, port string) *yaml.Node {
	switch {
	case len(c.Exec) > 0:
		return object("exec", object("command", r.words(c.Exec)))
	case c.TCP:
		return object("tcpSocket", flow(object("port", number(port))))
	}
	headers := list()
	for _, name := range slices.Sorted(maps.Keys(c.Headers)) {
		headers.Content = append(headers.Content, flow(object("name", name, "value", word(c.Headers[name]))))
	}
	get := object("path", c.Path, "port", number(port), "httpHeaders", headers)
	if len(c.Headers) == 0 {
		flow(get)
	}
	return object("httpGet", get)
}

// probe is a check with its times, in whole seconds.
func (r renderer) probe(c app.Check) *yaml.Node {
	if !c.Set() {
		return nil
	}
	n := r.handler(c, c.Port)
	pairs := []any{"periodSeconds", max(1, seconds(c.Period)), "timeoutSeconds", max(1, seconds(c.Timeout)), "failureThreshold", c.FailureThreshold}
	if c.SuccessThreshold > 1 {
		pairs = append(pairs, "successThreshold", c.SuccessThreshold)
	}
	if c.InitialDelay > 0 {
		pairs = append(pairs, "initialDelaySeconds", seconds(c.InitialDelay))
	}
	return with(n, pairs...)
}

func (r renderer) expand(s string) string {
	ports := map[string]int{}
	for _, p := range r.a.Ports {
		ports[p.Name] = p.Inside()
	}
	return r.a.Expand(s, app.Setting{Version: r.a.Version, Ports: ports, Config: r.configPath()})
}

func (r renderer) words(all []string) []string {
	var out []string
	for _, w := range all {
		out = append(out, r.expand(w))
	}
	return out
}

// number is a port by number, if it is one.
func number(port string) any {
	if n, err := strconv.Atoi(port); err == nil {
		return n
	}
	return port
}

// inside is the number of a port by its name, "" being the first.
func (r renderer) inside(port string) int {
	for _, p := range r.a.Ports {
		if p.Name == port || port == "" {
			return p.Inside()
		}
	}
	return 0
}

// seconds rounds up: Kubernetes knows whole ones.
func seconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }
