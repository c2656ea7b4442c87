package manifest

import (
	"bytes"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// A Value is a place in an object, whether something stands there or not.
type Value struct {
	object *Object
	node   *yaml.Node // nil where nothing stands
	path   path
	line   int // of the value, or of the nearest one around it
	offset int // lines of the file before the document
	// shared is set when the text is used elsewhere too (an alias, a merge): it cannot be changed for this object alone.
	shared bool
}

// Get follows keys of mappings. Merges (<<) are looked through.
func (v Value) Get(keys ...string) Value {
	for _, k := range keys {
		v = v.get(k)
	}
	return v
}

func (v Value) get(k string) Value {
	next := Value{object: v.object, path: v.path.with(key(k)), line: v.line, offset: v.offset, shared: v.shared}
	if v.node == nil {
		return next
	}
	if v.node.Kind == yaml.AliasNode {
		next.shared = true
	}
	node, name, merged := lookup(resolve(v.node), k, 8)
	if node == nil {
		return next
	}
	next.node, next.shared, next.line = node, next.shared || merged, name.Line+v.offset
	return next
}

// lookup finds a key; the last of equal ones counts, as for every reader of JSON.
func lookup(m *yaml.Node, k string, depth int) (value, name *yaml.Node, merged bool) {
	if m == nil || m.Kind != yaml.MappingNode || depth == 0 {
		return nil, nil, false
	}
	for i := len(m.Content) - 2; i >= 0; i -= 2 {
		if m.Content[i].Value == k && m.Content[i].Kind == yaml.ScalarNode {
			return m.Content[i+1], m.Content[i], false
		}
	}
	for i := 0; i+1 < len(m.Content); i += 2 {
		if m.Content[i].Tag != "!!merge" {
			continue
		}
		from := resolve(m.Content[i+1])
		if from == nil {
			continue
		}
		sources := []*yaml.Node{from}
		if from.Kind == yaml.SequenceNode {
			sources = from.Content
		}
		for _, s := range sources {
			if value, name, _ := lookup(resolve(s), k, depth-1); value != nil {
				return value, name, true
			}
		}
	}
	return nil, nil, false
}

func resolve(n *yaml.Node) *yaml.Node {
	for range 8 {
		if n == nil || n.Kind != yaml.AliasNode {
			return n
		}
		n = n.Alias
	}
	return nil
}

// Items are the values of a sequence; none if there is no sequence.
func (v Value) Items() []Value {
	n := resolve(v.node)
	if n == nil || n.Kind != yaml.SequenceNode {
		return nil
	}
	items := make([]Value, len(n.Content))
	for i, c := range n.Content {
		items[i] = Value{object: v.object, node: c, path: v.path.with(index(i)), line: c.Line + v.offset, offset: v.offset, shared: v.shared || v.node.Kind == yaml.AliasNode}
	}
	return items
}

// Pairs are the keys and scalar values of a mapping, such as labels. Nil if there is no mapping.
func (v Value) Pairs() map[string]string {
	n := resolve(v.node)
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	pairs := make(map[string]string, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		if k := n.Content[i]; k.Tag != "!!merge" {
			pairs[k.Value] = v.Get(k.Value).String()
		}
	}
	return pairs
}

// Exists reports whether something other than null stands here.
func (v Value) Exists() bool {
	n := resolve(v.node)
	return n != nil && n.Tag != "!!null"
}

// String is the text of a scalar, else empty.
func (v Value) String() string {
	n := resolve(v.node)
	if n == nil || n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
		return ""
	}
	return n.Value
}

// Strings are the scalars of a sequence.
func (v Value) Strings() []string {
	var all []string
	for _, item := range v.Items() {
		all = append(all, item.String())
	}
	return all
}

// Int is the whole number that stands here, or def. A number out of any field's range counts as not there.
func (v Value) Int(def int) int {
	n, err := strconv.ParseInt(v.String(), 10, 32)
	if err != nil {
		return def
	}
	return int(n)
}

// True reports whether true stands here.
func (v Value) True() bool { return v.String() == "true" }

// Same reports whether two values hold the same, whatever their form.
func (v Value) Same(other Value) bool {
	return same(resolve(v.node), resolve(other.node), 50)
}

func same(a, b *yaml.Node, depth int) bool {
	if a == nil || b == nil || depth == 0 {
		return a == b
	}
	if a.Kind != b.Kind || len(a.Content) != len(b.Content) || a.Value != b.Value && a.Kind == yaml.ScalarNode {
		return false
	}
	for i, c := range a.Content {
		other := b.Content[i]
		if a.Kind == yaml.MappingNode {
			if i%2 == 0 {
				continue
			}
			other, _, _ = lookup(b, a.Content[i-1].Value, 1)
		}
		if !same(resolve(c), resolve(other), depth-1) {
			return false
		}
	}
	return true
}

// Object is the object that the value is part of.
func (v Value) Object() *Object { return v.object }

// Path is where the value stands in its object, such as spec.template.spec.containers[0].readinessProbe.
func (v Value) Path() string { return v.path.String() }

// Line is the line of the file, from 1, on which the value or what is nearest around it begins.
func (v Value) Line() int { return max(1, v.line) }

// A path leads to a value. Each part is a key or an index.
type path []part

type part struct {
	key   string
	index int
}

func key(k string) part { return part{key: k, index: -1} }
func index(i int) part  { return part{index: i} }

func (p path) with(next part) path { return append(p[:len(p):len(p)], next) }

func (p path) String() string {
	var b strings.Builder
	for i, one := range p {
		switch {
		case one.index >= 0:
			b.WriteString("[" + strconv.Itoa(one.index) + "]")
		case strings.ContainsAny(one.key, "./[] "):
			b.WriteString("[" + one.key + "]")
		case i > 0:
			b.WriteString("." + one.key)
		default:
			b.WriteString(one.key)
		}
	}
	return b.String()
}

// YAML is the value written out, as if it stood alone; empty if nothing stands there.
func (v Value) YAML() string {
	if v.node == nil {
		return ""
	}
	var decoded any
	if v.node.Decode(&decoded) != nil {
		return ""
	}
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if enc.Encode(decoded) != nil {
		return ""
	}
	return b.String()
}
