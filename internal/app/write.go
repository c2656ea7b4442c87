package app

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"gapless.dev/gapless/internal/rollout"
)

// A Draft is an app that is to be written down, with words about it.
type Draft struct {
	App App
	// Head stands above everything, a line each.
	Head []string
	// Because says of a field where its value comes from.
	Because map[string]string
	// Open are things that a person has to look at, a line each; they stand at the end.
	Open []string
}

// Write makes an app file of a draft: what is not the default, each field with a comment that says what it means. What it writes Parse reads
// as the same app.
func Write(d Draft) []byte {
	w := &writer{d: d, root: mapping()}
	w.fields()
	var b bytes.Buffer
	for _, line := range d.Head {
		fmt.Fprintf(&b, "# %s\n", line)
	}
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(w.root); err != nil {
		panic(err) // a tree of our own
	}
	e.Close()
	if len(d.Open) > 0 {
		b.WriteString("\n# To look at:\n")
		for _, line := range d.Open {
			fmt.Fprintf(&b, "# - %s\n", line)
		}
	}
	return b.Bytes()
}

type writer struct {
	d    Draft
	root *yaml.Node
}

// field adds a field with its comment. A nil value is left out.
func (w *writer) field(name string, v *yaml.Node) {
	if v == nil {
		return
	}
	f, _ := appShape.field(name)
	text := f.says
	if why := w.d.Because[name]; why != "" {
		text += " " + why
	}
	key := scalar(name)
	key.HeadComment = wrapComment(text)
	w.root.Content = append(w.root.Content, key, v)
}

func wrapComment(text string) string {
	const width = 110
	var lines []string
	line := "#"
	for word := range strings.FieldsSeq(text) {
		if len(line)+1+len(word) > width {
			lines, line = append(lines, line), "#"
		}
		line += " " + word
	}
	return strings.Join(append(lines, line), "\n")
}

func (w *writer) fields() {
	a := w.d.App
	w.field("name", scalar(a.Name))
	w.field("image", imageNode(a.Image))
	w.field("command", wordsNode(a.Command))
	w.field("dir", textNode(a.Dir))
	w.field("version", scalar(string(a.Version)))
	w.field("replicas", replicasNode(a))
	w.field("ports", portsNode(a.Ports))
	w.field("route", routeNode(a.Route))
	if a.TLS.Secret != "" {
		w.field("tls", flowing(mapping("secret", scalar(a.TLS.Secret))))
	}
	w.field("health", healthNode(a))
	w.field("stop", flowing(mapping("drain", timeNode(a.Stop.Drain), "grace", timeNode(a.Stop.Grace))))
	w.field("resources", some(flowing(mapping("cpu", textNode(a.Resources.CPU), "memory", textNode(a.Resources.Memory), "cpuLimit", textNode(a.Resources.CPULimit), "memoryLimit", textNode(a.Resources.MemoryLimit)))))
	w.field("env", some(envNode(a.Env, a.Secrets)))
	w.field("metrics", metricsNode(a))
	w.field("labels", some(flowing(textsNode(a.Labels))))
	w.field("account", textNode(a.Account))
	w.field("helpers", helpersNode(a.Helpers))
	w.field("kubernetes", some(mapping("pod", anyNode(a.Kubernetes.Pod), "container", anyNode(a.Kubernetes.Container))))
	w.field("strategy", strategyNode(a.Plan))
	if d := a.Plan.Deadline; d != 0 && d != defaultDeadline {
		w.field("deadline", timeNode(d))
	}
}

func imageNode(i Image) *yaml.Node {
	if i.Name == "" {
		return nil
	}
	if len(i.Command)+len(i.Args) == 0 && i.Container == "" {
		return scalar(i.Name)
	}
	return mapping("name", scalar(i.Name), "command", wordsNode(i.Command), "args", wordsNode(i.Args), "container", textNode(i.Container))
}

func replicasNode(a App) *yaml.Node {
	if s := a.Autoscale; s.Max > 0 {
		return flowing(mapping("min", wholeNode(s.Min), "max", wholeNode(s.Max), "cpu", wholeNode(s.CPU)))
	}
	return wholeNode(a.Replicas)
}

func portsNode(ports []Port) *yaml.Node {
	n := flowing(mapping())
	for _, p := range ports {
		v := wholeNode(p.Public)
		switch {
		case p.Inner:
			v = flowing(mapping("target", wholeNode(p.Target)))
		case p.Target != 0 && p.Target != p.Public:
			v = flowing(mapping("port", wholeNode(p.Public), "target", wholeNode(p.Target)))
		}
		n.Content = append(n.Content, scalar(p.Name), v)
	}
	return n
}

func routeNode(r Route) *yaml.Node {
	router := r.Router
	if router == "ingress" && r.Host+r.Path != "" {
		router = "" // the default
	}
	return some(flowing(mapping("host", textNode(r.Host), "path", textNode(r.Path), "router", textNode(router), "class", textNode(r.Class), "gateway", textNode(r.Gateway), "entryPoints", wordsNode(r.EntryPoints))))
}

func healthNode(a App) *yaml.Node {
	first := ""
	if len(a.Ports) > 0 {
		first = a.Ports[0].Name
	}
	n := mapping("ready", checkNode(a.Health.Ready, first, time.Second), "live", checkNode(a.Health.Live, first, 10*time.Second))
	if a.Health.Startup != 60*time.Second {
		n.Content = append(n.Content, mapping("startup", timeNode(a.Health.Startup)).Content...)
	}
	return some(n)
}

func checkNode(c Check, first string, period time.Duration) *yaml.Node {
	if !c.Set() {
		return nil
	}
	n := flowing(mapping())
	add := func(name string, v *yaml.Node, when bool) {
		if when {
			n.Content = append(n.Content, scalar(name), v)
		}
	}
	add("path", scalar(c.Path), c.Path != "")
	add("tcp", flagNode(true), c.TCP)
	add("exec", wordsNode(c.Exec), len(c.Exec) > 0)
	add("headers", flowing(textsNode(c.Headers)), len(c.Headers) > 0)
	add("port", scalar(c.Port), c.Port != "" && c.Port != first && len(c.Exec) == 0)
	add("initialDelay", timeNode(c.InitialDelay), c.InitialDelay > 0)
	add("period", timeNode(c.Period), c.Period != period)
	add("timeout", timeNode(c.Timeout), c.Timeout != time.Second)
	add("failureThreshold", wholeNode(c.FailureThreshold), c.FailureThreshold != 3)
	add("successThreshold", wholeNode(c.SuccessThreshold), c.SuccessThreshold != 1)
	if len(n.Content) == 2 && c.Path != "" {
		return scalar(c.Path)
	}
	return n
}

func envNode(texts map[string]string, secrets map[string]SecretKey) *yaml.Node {
	n := textsNode(texts)
	for _, name := range slices.Sorted(maps.Keys(secrets)) {
		n.Content = append(n.Content, scalar(name), flowing(mapping("secret", scalar(secrets[name].Secret), "key", scalar(secrets[name].Key))))
	}
	return n
}

func metricsNode(a App) *yaml.Node {
	m := a.Metrics
	switch {
	case m.Path == "":
		return nil
	case len(a.Ports) > 0 && m.Port == a.Ports[0].Name:
		return scalar(m.Path)
	}
	return flowing(mapping("path", scalar(m.Path), "port", textNode(m.Port)))
}

func helpersNode(all []Helper) *yaml.Node {
	n := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
	for _, h := range all {
		n.Content = append(n.Content, mapping(
			"name", scalar(h.Name), "image", imageNode(h.Image), "command", wordsNode(h.Command), "env", some(envNode(h.Env, h.Secrets)),
			"ready", checkNode(h.Ready, "", time.Second),
			"resources", some(flowing(mapping("cpu", textNode(h.Resources.CPU), "memory", textNode(h.Resources.Memory), "cpuLimit", textNode(h.Resources.CPULimit), "memoryLimit", textNode(h.Resources.MemoryLimit)))),
		))
	}
	if len(all) == 0 {
		return nil
	}
	return n
}

func strategyNode(p rollout.Plan) *yaml.Node {
	empty := flowing(mapping())
	switch p.Strategy {
	case rollout.Recreate:
		return flowing(mapping("recreate", empty))
	case rollout.Rolling:
		if p.MaxSurge == 1 && p.MaxUnavailable == 0 {
			return flowing(mapping("rolling", empty))
		}
		return flowing(mapping("rolling", flowing(mapping("maxSurge", wholeNode(p.MaxSurge), "maxUnavailable", wholeNode(p.MaxUnavailable)))))
	case rollout.Canary:
		steps := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq", Style: yaml.FlowStyle}
		for _, s := range p.Steps {
			pause := timeNode(s.Pause)
			if s.Manual {
				pause = scalar("manual")
			}
			steps.Content = append(steps.Content, flowing(mapping("weight", wholeNode(s.Weight), "pause", pause)))
		}
		return flowing(mapping("canary", flowing(mapping("steps", steps))))
	}
	return nil
}

// mapping makes a mapping of names and values in the order given; nil values are left out.
func mapping(pairs ...any) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	for i := 0; i < len(pairs); i += 2 {
		if v, _ := pairs[i+1].(*yaml.Node); v != nil {
			n.Content = append(n.Content, scalar(pairs[i].(string)), v)
		}
	}
	return n
}

func flowing(n *yaml.Node) *yaml.Node {
	n.Style = yaml.FlowStyle
	return n
}

// some is nil for what holds nothing.
func some(n *yaml.Node) *yaml.Node {
	if n == nil || len(n.Content) == 0 {
		return nil
	}
	return n
}

func scalar(s string) *yaml.Node {
	n := &yaml.Node{}
	if err := n.Encode(s); err != nil {
		panic(err) // a text
	}
	if n.Style == yaml.LiteralStyle {
		n.Style = yaml.DoubleQuotedStyle // it may stand within braces
	}
	return n
}

func textNode(s string) *yaml.Node {
	if s == "" {
		return nil
	}
	return scalar(s)
}

func wholeNode(n int) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: fmt.Sprint(n)}
}

func flagNode(b bool) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: fmt.Sprint(b)}
}

func timeNode(d time.Duration) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: short(d)}
}

func wordsNode(words []string) *yaml.Node {
	if len(words) == 0 {
		return nil
	}
	n := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq", Style: yaml.FlowStyle}
	for _, w := range words {
		n.Content = append(n.Content, scalar(w))
	}
	return n
}

func textsNode(texts map[string]string) *yaml.Node {
	n := mapping()
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		n.Content = append(n.Content, scalar(name), scalar(texts[name]))
	}
	return n
}

func anyNode(v map[string]any) *yaml.Node {
	if len(v) == 0 {
		return nil
	}
	n := &yaml.Node{}
	if err := n.Encode(v); err != nil {
		panic(err) // what was decoded from YAML
	}
	return n
}
