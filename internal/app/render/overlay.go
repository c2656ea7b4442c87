package render

import (
	"maps"
	"slices"

	"go.yaml.in/yaml/v3"
)

// overlay adds fields as they stand to a mapping. Lists whose items have names are joined, an item taking the place of one of its name;
// anything else takes the place of what was there.
func overlay(onto *yaml.Node, fields map[string]any) *yaml.Node {
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		v := &yaml.Node{}
		if err := v.Encode(fields[name]); err != nil {
			panic(err) // what was decoded from YAML
		}
		at := find(onto, name)
		switch {
		case at < 0:
			onto.Content = append(onto.Content, word(name), v)
		case v.Kind == yaml.SequenceNode && onto.Content[at].Kind == yaml.SequenceNode:
			onto.Content[at] = join(onto.Content[at], v)
		case v.Kind == yaml.MappingNode && onto.Content[at].Kind == yaml.MappingNode && name == "securityContext":
			onto.Content[at] = overlay(onto.Content[at], fields[name].(map[string]any))
		default:
			onto.Content[at] = v
		}
	}
	return onto
}

// find is the place of a field's value; -1 if there is none.
func find(n *yaml.Node, name string) int {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == name {
			return i + 1
		}
	}
	return -1
}

func join(have, more *yaml.Node) *yaml.Node {
	for _, item := range more.Content {
		key := keyOf(item)
		i := slices.IndexFunc(have.Content, func(h *yaml.Node) bool { return key != "" && keyOf(h) == key })
		if i < 0 {
			have.Content = append(have.Content, item)
			continue
		}
		have.Content[i] = item
	}
	return have
}

// keyOf is what Kubernetes knows an item of a list by.
func keyOf(n *yaml.Node) string {
	for _, name := range []string{"mountPath", "name"} {
		if i := find(n, name); n.Kind == yaml.MappingNode && i >= 0 {
			return n.Content[i].Value
		}
	}
	return ""
}
