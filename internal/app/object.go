package app

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// An object is a mapping whose fields are known.
type object struct {
	value
	fields map[string]value
	shape  shape
}

// object reads a mapping; fields that its shape does not have are problems, each with the nearest that it has.
func (v value) object(s shape) object {
	o, known := v.dict(), s.names()
	o.shape = s
	for name, field := range o.fields {
		if !slices.Contains(known, name) {
			field.node = nil // the value is not what is wrong
			field.wrong("unknown field", suggestion(name, known))
			delete(o.fields, name)
		}
	}
	return o
}

// dict reads a mapping with any keys. Merge keys (<<) are followed; a key of its own wins.
func (v value) dict() object {
	o := object{value: v, fields: map[string]value{}}
	if v.node == nil || isNull(v.node) {
		return o
	}
	if v.node.Kind != yaml.MappingNode {
		v.wrong("must be a mapping, and is "+kind(v.node), "write fields under it, each as name: value")
		return o
	}
	var merged []*yaml.Node
	for i := 0; i+1 < len(v.node.Content); i += 2 {
		key, val := plain(v.node.Content[i]), plain(v.node.Content[i+1])
		if key.Kind != yaml.ScalarNode {
			v.at(key, "?").wrong("a field's name must be a single word, and this is "+kind(key), "write name: value")
			continue
		}
		if key.Value == "<<" && key.ShortTag() == "!!merge" {
			merged = append(merged, val)
			continue
		}
		field := v.at(key, key.Value)
		field.node = val
		if first, twice := o.fields[key.Value]; twice {
			field.node = nil
			field.wrong(fmt.Sprintf("is written twice, first on line %d", first.line), "keep one of the two")
			continue
		}
		o.fields[key.Value] = field
	}
	for _, m := range merged {
		o.merge(m)
	}
	return o
}

func (o object) merge(from *yaml.Node) {
	if from.Kind == yaml.SequenceNode {
		for _, n := range from.Content {
			o.merge(plain(n))
		}
		return
	}
	under := value{node: from, path: o.path, line: from.Line, p: o.p}
	for name, field := range under.dict().fields {
		if _, own := o.fields[name]; !own {
			o.fields[name] = field
			o.p.lines[field.path] = field.line
		}
	}
}

// at is the field of v that begins at a node.
func (v value) at(n *yaml.Node, name string) value {
	path := name
	if v.path != "" {
		path = v.path + "." + name
	}
	if _, known := v.p.lines[path]; !known {
		v.p.lines[path] = n.Line
	}
	return value{path: path, line: n.Line, p: v.p}
}

// names are the object's keys in the order of the file.
func (o object) names() []string {
	var all []string
	for name := range o.fields {
		all = append(all, name)
	}
	slices.SortFunc(all, func(a, b string) int {
		x, y := o.fields[a].node, o.fields[b].node
		if x.Line != y.Line {
			return x.Line - y.Line
		}
		if x.Column != y.Column {
			return x.Column - y.Column
		}
		return strings.Compare(a, b)
	})
	return all
}

// get is a field that was given a value.
func (o object) get(name string) (value, bool) {
	v, ok := o.fields[name]
	return v, ok && !isNull(v.node)
}

// missing notes a field that must be there.
func (o object) missing(name, fix string) {
	at := o.line
	if v, there := o.fields[name]; there {
		at = v.line
	}
	v := o.at(&yaml.Node{Line: at}, name)
	v.wrong("is missing", fix)
}

func (o object) text(name, otherwise string) string {
	if v, ok := o.get(name); ok {
		if s, ok := v.text(); ok {
			return s
		}
	}
	return otherwise
}

// like is a text that must match; "" where there is none or a wrong one.
func (o object) like(name string, p *regexp.Regexp, what, fix string) string {
	v, ok := o.get(name)
	if !ok {
		return ""
	}
	s, ok := v.text()
	if ok && !p.MatchString(s) {
		v.wrong(what, fix)
		return ""
	}
	return s
}

// whole is a number within the bounds of the shape.
func (o object) whole(name string, otherwise int) int {
	if v, ok := o.get(name); ok {
		if n, ok := v.whole(o.shape.bounds(name)); ok {
			return n
		}
	}
	return otherwise
}

func (o object) duration(name string, otherwise time.Duration) time.Duration {
	if v, ok := o.get(name); ok {
		if d, ok := v.duration(); ok {
			return d
		}
	}
	return otherwise
}

// positive is a duration above 0.
func (o object) positive(name string, otherwise time.Duration) time.Duration {
	d := o.duration(name, otherwise)
	if d == 0 {
		o.fields[name].wrong("must be longer than 0", "write for example "+short(otherwise))
		return otherwise
	}
	return d
}

func (o object) words(name string) []string {
	if v, ok := o.get(name); ok {
		return v.words()
	}
	return nil
}

// texts is a mapping from words to texts, such as env or headers, and its fields.
func (o object) texts(name string) (map[string]string, map[string]value) {
	v, ok := o.get(name)
	if !ok {
		return nil, nil
	}
	all := map[string]string{}
	fields := v.dict().fields
	for key, field := range fields {
		if isNull(field.node) {
			all[key] = ""
			continue
		}
		if s, ok := field.text(); ok {
			all[key] = s
		}
	}
	return all, fields
}

// short prints a duration as a person would write it.
func short(d time.Duration) string {
	s := d.String()
	s = strings.TrimSuffix(s, "m0s") + map[bool]string{true: "m"}[strings.HasSuffix(s, "m0s")]
	return strings.TrimSuffix(s, "h0m") + map[bool]string{true: "h"}[strings.HasSuffix(s, "h0m")]
}
