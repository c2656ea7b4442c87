package render

import (
	"bytes"
	"fmt"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// object makes a mapping of names and values in the order given. A value that is nil, an empty text, list or mapping is left out, so that
// nothing stands in the output that says nothing.
func object(pairs ...any) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	for i := 0; i < len(pairs); i += 2 {
		if v := value(pairs[i+1]); v != nil {
			n.Content = append(n.Content, word(pairs[i].(string)), v)
		}
	}
	return n
}

// list makes a list; members that are nil are left out.
func list(members ...any) *yaml.Node {
	n := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
	for _, m := range members {
		if v := value(m); v != nil {
			n.Content = append(n.Content, v)
		}
	}
	return n
}

// keep is a mapping that stays although it is empty.
func keep() *yaml.Node {
	return &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Style: yaml.FlowStyle}
}

// because puts a comment behind a value: why it is so.
func because(v any, why string) *yaml.Node {
	n := value(v)
	n.LineComment = why
	return n
}

// flow writes a short mapping or list on one line.
func flow(n *yaml.Node) *yaml.Node {
	if n != nil {
		n.Style = yaml.FlowStyle
	}
	return n
}

func value(v any) *yaml.Node {
	switch v := v.(type) {
	case nil:
		return nil
	case *yaml.Node:
		if v == nil || v.Kind != yaml.ScalarNode && len(v.Content) == 0 && v.Style != yaml.FlowStyle {
			return nil
		}
		return v
	case string:
		if v == "" {
			return nil
		}
		return word(v)
	case int:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: strconv.Itoa(v)}
	case bool:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: strconv.FormatBool(v)}
	case []string:
		n := flow(&yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"})
		for _, s := range v {
			n.Content = append(n.Content, word(s))
		}
		if len(v) == 0 {
			return nil
		}
		return n
	}
	panic(fmt.Sprintf("render: %T", v))
}

// word is a text, quoted where any YAML, old or new, would take it for something else.
func word(s string) *yaml.Node {
	n := &yaml.Node{}
	if err := n.Encode(s); err != nil {
		panic(err) // a text
	}
	return n
}

// text writes one document.
func text(n *yaml.Node) string {
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(n); err != nil {
		panic(err) // a tree of our own
	}
	e.Close()
	return b.String()
}
