package app

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"gapless.dev/gapless/internal/rollout"
	"go.yaml.in/yaml/v3"
)

// Defaults of a plan.
const (
	defaultDeadline = 10 * time.Minute
	defaultHoldBack = 30 * time.Second
)

// defaultSteps are those of `canary: {}`: small first, and each long enough to be looked at.
var defaultSteps = []rollout.Step{
	{Weight: 10, Pause: 30 * time.Second},
	{Weight: 25, Pause: 30 * time.Second},
	{Weight: 50, Pause: 30 * time.Second},
}

// strategies in the order of the talk; each reads its own mapping into the plan.
var strategies = []struct {
	field string
	read  func(value, *rollout.Plan, App)
}{
	{"recreate", recreate},
	{"rolling", rolling},
	{"blueGreen", blueGreen},
	{"canary", canary},
}

func plan(o object, a App) rollout.Plan {
	p := rollout.Plan{App: a.Name, Split: rollout.ByWeight, Drain: a.Stop.Drain, Deadline: defaultDeadline}
	if v, ok := o.get("deadline"); ok {
		if s := show(v.node); s == "never" {
			p.Deadline = 0
		} else if d, ok := v.duration(); ok && d == 0 {
			v.wrong("would abort every rollout at once", "write never, or a time such as 10m")
		} else if ok {
			p.Deadline = d
		}
	}
	v, ok := o.get("strategy")
	if !ok {
		rolling(value{p: o.p}, &p, a)
		return p
	}
	fields := strategyShape.names()
	if v.node.Kind == yaml.ScalarNode {
		known := nearest(strings.ReplaceAll(v.node.Value, "-", ""), fields)
		if known == "" {
			known = "rolling"
		}
		v.wrong("must be a mapping, and is a single value", fmt.Sprintf("write strategy: {%s: {}}", known))
		return p
	}
	before := len(o.p.problems.List)
	chosen := v.object(strategyShape)
	if len(chosen.fields) != 1 {
		if len(o.p.problems.List) == before {
			v.wrong(fmt.Sprintf("%d strategies are named", len(chosen.fields)), "write exactly one of "+strings.Join(fields, ", "))
		}
		return p
	}
	for _, s := range strategies {
		if f, ok := chosen.fields[s.field]; ok {
			s.read(f, &p, a)
		}
	}
	return p
}

func recreate(v value, p *rollout.Plan, _ App) {
	p.Strategy = rollout.Recreate
	v.object(nil)
}

func rolling(v value, p *rollout.Plan, a App) {
	p.Strategy = rollout.Rolling
	o := v.object(rollingShape)
	p.MaxUnavailable = o.whole("maxUnavailable", 0)
	surge := 1
	if p.MaxUnavailable > 0 {
		surge = 0
	}
	p.MaxSurge = o.whole("maxSurge", surge)
	if p.MaxSurge == 0 && p.MaxUnavailable == 0 {
		v.wrong("maxSurge and maxUnavailable are both 0, so nothing could ever be replaced", "write maxSurge: 1")
	}
	if a.Replicas > 0 && p.MaxUnavailable >= a.Replicas {
		o.fields["maxUnavailable"].wrong(fmt.Sprintf("would take all %d instances away at once", a.Replicas), "write less than replicas, or strategy: {recreate: {}} if a downtime is meant")
	}
}

func blueGreen(v value, p *rollout.Plan, _ App) {
	p.Strategy = rollout.BlueGreen
	o := v.object(blueGreenShape)
	p.HoldBack = o.duration("holdBack", defaultHoldBack)
	if f, ok := o.get("switch"); ok {
		s, ok := f.text()
		p.Manual = s == "manual"
		if ok && s != "manual" && s != "automatic" {
			f.wrong("is not a way to switch", "write manual or automatic")
		}
	}
}

func canary(v value, p *rollout.Plan, _ App) {
	p.Strategy = rollout.Canary
	p.Steps = slices.Clone(defaultSteps)
	o := v.object(canaryShape)
	f, ok := o.get("steps")
	if !ok {
		return
	}
	p.Steps = nil
	items := f.items()
	if f.node.Kind == yaml.SequenceNode && len(items) == 0 {
		f.wrong("no step stands in the list", "write at least one, such as {weight: 25, pause: 30s}, or leave steps out")
	}
	if len(items) > 100 {
		f.wrong(fmt.Sprintf("%d steps are more than the 100 that are read", len(items)), "take some out")
		return
	}
	weight := 0
	for _, item := range items {
		s := step(item, weight)
		if s.Weight < weight {
			w := item.dict().fields["weight"]
			w.wrong(fmt.Sprintf("falls below the %d of the step before: a canary only grows", weight), fmt.Sprintf("write %d or more, or take the step out", weight))
		}
		weight = max(weight, s.Weight)
		p.Steps = append(p.Steps, s)
	}
}

// step reads one step; a step that names no weight keeps the one before.
func step(v value, before int) rollout.Step {
	o := v.object(stepShape)
	s := rollout.Step{Weight: before}
	if f, ok := o.get("weight"); ok {
		n, ok := f.whole(stepShape.bounds("weight"))
		if !ok {
			return s
		}
		s.Weight = n
	}
	s.Mirror = o.whole("mirror", 0)
	if f, ok := o.get("pause"); ok {
		if show(f.node) == "manual" {
			s.Manual = true
		} else {
			s.Pause, _ = f.duration()
		}
	}
	if f, ok := o.get("match"); ok {
		m := f.object(matchShape)
		header, headers := m.texts("header")
		cookie, cookies := m.texts("cookie")
		s.Match = &rollout.Match{Header: header, Cookie: cookie, Users: m.whole("users", 0)}
		named := len(s.Match.Header) + len(s.Match.Cookie)
		if f.node.Kind == yaml.MappingNode && named == 0 && s.Match.Users == 0 {
			f.wrong("matches nothing", "write header: {X-Canary: \"yes\"}, cookie: {canary: \"yes\"} or users: 20")
		}
		if u, ok := m.get("users"); ok && named > 0 {
			u.wrong("stands beside header or cookie", "write users alone, or leave it out")
		} else if ok && s.Weight > 0 {
			u.wrong(fmt.Sprintf("is a share of all users, and the step has weight %d as well", s.Weight), "leave weight out of this step and of those before it")
		}
		for name, field := range headers {
			if !headerName.MatchString(name) {
				field.wrong("is not the name of a header", "use letters, digits and -")
			}
		}
		for name, field := range cookies {
			if !cookieName.MatchString(name) {
				field.wrong("is not the name of a cookie", "use letters, digits, - and _")
			}
		}
	}
	if v.node.Kind == yaml.MappingNode && s.Weight == 0 && s.Match == nil && s.Mirror == 0 {
		v.wrong("the step sends nothing to the candidate", "give it a weight, a match or a mirror")
	}
	return s
}
