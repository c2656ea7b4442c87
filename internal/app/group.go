package app

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

func (p *parser) group(o object) Group {
	v, ok := o.get("group")
	if !ok {
		return Group{}
	}
	if v.node.Kind == yaml.ScalarNode {
		return Group{Name: o.like("group", label, "is not a name", labelRule)}
	}
	f := v.object(groupShape)
	g := Group{Name: f.like("name", label, "is not a name", labelRule)}
	if how, ok := f.get("failed"); ok {
		s, _ := how.text()
		g.Hold = s == "hold"
		if s != "hold" && s != "back" {
			how.wrong("is not a way", "write back or hold")
		}
	}
	return g
}

// order finds apps that wait for what is not there, or for each other.
func (p *parser) order(apps []App, prefix func(int) string) {
	known := map[string]App{}
	var names []string
	for _, a := range apps {
		known[a.Name] = a
		names = append(names, a.Name)
	}
	for i, a := range apps {
		for j, before := range a.After {
			field := fmt.Sprintf("%safter[%d]", prefix(i), j)
			_, there := known[before]
			switch {
			case before == a.Name:
				p.late(field, before, "is the app itself", "name apps that come before it")
			case !there && len(names) == 1:
				p.late(field, before, "is not an app of this file, which has no other", "take it out")
			case !there:
				fix := "the file has: " + strings.Join(slices.DeleteFunc(slices.Clone(names), func(n string) bool { return n == a.Name }), ", ")
				if near := nearest(before, names); near != "" {
					fix = "did you mean " + near + "?"
				}
				p.late(field, before, "is not an app of this file", fix)
			}
		}
	}
	if circle := circle(apps); len(circle) > 0 {
		i := slices.IndexFunc(apps, func(a App) bool { return a.Name == circle[0] })
		p.late(prefix(i)+"after", "", "waits for itself: "+strings.Join(append(circle, circle[0]), " after "), "take one of them out")
	}
}

// circle is a round of apps of which each waits for the next; nil if there is none.
func circle(apps []App) []string {
	after := map[string][]string{}
	for _, a := range apps {
		after[a.Name] = slices.DeleteFunc(slices.Clone(a.After), func(b string) bool { return b == a.Name })
	}
	done := map[string]bool{}
	var path []string
	var walk func(string) []string
	walk = func(name string) []string {
		if i := slices.Index(path, name); i >= 0 {
			return slices.Clone(path[i:])
		}
		if done[name] {
			return nil
		}
		path = append(path, name)
		for _, b := range after[name] {
			if c := walk(b); c != nil {
				return c
			}
		}
		path = path[:len(path)-1]
		done[name] = true
		return nil
	}
	for _, a := range apps {
		if c := walk(a.Name); c != nil {
			return c
		}
	}
	return nil
}

// Ordered are the apps with each behind those that it comes after, and else in the order of the file.
func (f File) Ordered() []App {
	var out []App
	placed := map[string]bool{}
	for len(out) < len(f.Apps) {
		before := len(out)
		for _, a := range f.Apps {
			if !placed[a.Name] && !slices.ContainsFunc(a.After, func(b string) bool { return !placed[b] }) {
				out, placed[a.Name] = append(out, a), true
			}
		}
		if len(out) == before {
			return f.Apps // Parse lets no circle through
		}
	}
	return out
}
