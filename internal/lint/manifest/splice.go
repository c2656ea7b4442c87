package manifest

import (
	"encoding/json"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// splice makes an edit in the text of a document. It may give up on rare forms, and whoever calls it proves what it made.
func splice(d doc, e Edit) (string, error) {
	t := newText(d.text)
	name, node, rest, err := locate(d.root, e.path)
	if err != nil {
		return "", err
	}
	if len(rest) == 0 && e.op == opSet {
		return t.replace(name, node, e)
	}
	if len(rest) == 0 {
		return t.appendTo(node, e.text)
	}
	fragment, dash := e.text, max(0, dashIndent(d.root, 50))
	if e.op == opAppend {
		fragment = item(fragment)
	}
	for i := len(rest) - 1; i > 0; i-- {
		if rest[i].index >= 0 {
			return "", fmt.Errorf("%w: no item %d", ErrByHand, rest[i].index)
		}
		fragment = entry(rest[i].key, fragment, dash)
	}
	if rest[0].index >= 0 || node.Kind != yaml.MappingNode {
		return "", fmt.Errorf("%w: no mapping stands there", ErrByHand)
	}
	if node.Style&yaml.FlowStyle != 0 {
		return t.intoFlow(node, flowEntry(rest[0].key, fragment))
	}
	return t.intoBlock(node, entry(rest[0].key, fragment, dash), e.after)
}

// locate walks as far as nodes stand: the last key, its node, and the part of the path that is missing.
func locate(root *yaml.Node, p path) (name, node *yaml.Node, rest path, err error) {
	node = root
	for i, step := range p {
		if node.Kind == yaml.AliasNode || node.Anchor != "" {
			return nil, nil, nil, fmt.Errorf("%w: the text is shared by an anchor (&) and aliases (*)", ErrByHand)
		}
		var next *yaml.Node
		if step.index >= 0 {
			if node.Kind == yaml.SequenceNode && step.index < len(node.Content) {
				name, next = nil, node.Content[step.index]
			}
		} else if value, k, merged := lookup(node, step.key, 1); !merged && value != nil {
			name, next = k, value
		}
		if next == nil {
			return name, node, p[i:], nil
		}
		node = next
	}
	if node.Kind == yaml.AliasNode || node.Anchor != "" {
		return nil, nil, nil, fmt.Errorf("%w: the text is shared by an anchor (&) and aliases (*)", ErrByHand)
	}
	return name, node, nil, nil
}

// replace puts a value, and maybe a key, where others stand.
func (t *text) replace(name, node *yaml.Node, e Edit) (string, error) {
	from, to, err := t.span(node)
	if err != nil {
		return "", err
	}
	flow := node.Style&yaml.FlowStyle != 0 || node.Kind == yaml.ScalarNode
	value := strings.TrimRight(e.text, "\n")
	switch {
	case flow && strings.Contains(value, ":") && e.newKey != "" || flow && strings.Contains(value, "\n"):
		value = flowOf(e.text)
	case !flow:
		value = t.kept(from, to, node.Column-1) + indent(value, node.Column-1, false)
	}
	out := t.s[:from] + withBreaks(value, t.s) + t.s[to:]
	if e.newKey == "" {
		return out, nil
	}
	if name == nil || name.Style != 0 && name.Style != yaml.DoubleQuotedStyle {
		return "", fmt.Errorf("%w: the key is written in a rare form", ErrByHand)
	}
	start, end, err := t.span(name)
	if err != nil || end > from {
		return "", fmt.Errorf("%w: the key is written in a rare form", ErrByHand)
	}
	newKey := e.newKey
	if name.Style == yaml.DoubleQuotedStyle {
		newKey = `"` + newKey + `"`
	}
	return t.s[:start] + newKey + out[end:], nil
}

// kept are the comment lines within a block that goes.
func (t *text) kept(from, to, column int) string {
	var b strings.Builder
	for line := range strings.Lines(t.s[from:to]) {
		if trimmed := strings.TrimSpace(line); strings.HasPrefix(trimmed, "#") {
			b.WriteString(trimmed + "\n" + strings.Repeat(" ", column))
		}
	}
	return b.String()
}

func (t *text) appendTo(node *yaml.Node, fragment string) (string, error) {
	if node.Kind != yaml.SequenceNode {
		return "", fmt.Errorf("%w: no list stands there", ErrByHand)
	}
	if node.Style&yaml.FlowStyle != 0 {
		return t.intoFlow(node, flowOf(fragment))
	}
	_, end, err := t.span(node)
	if err != nil {
		return "", err
	}
	return t.newLines(end, indent(item(fragment), node.Column-1, true)), nil
}

// intoFlow writes a last entry into {} or [].
func (t *text) intoFlow(node *yaml.Node, entry string) (string, error) {
	_, end, err := t.span(node)
	if err != nil {
		return "", err
	}
	at := end - 1
	for at > 0 && strings.ContainsRune(" \t\r\n", rune(t.s[at-1])) {
		at--
	}
	if len(node.Content) > 0 {
		if strings.HasPrefix(t.s[at-1:], ",") {
			at--
		}
		// In a JSON file of many lines the new entry gets a line too.
		last := node.Content[len(node.Content)-1]
		if node.Kind == yaml.MappingNode {
			last = node.Content[len(node.Content)-2]
		}
		lead := " "
		if last.Line != node.Line {
			lead = "\n" + strings.Repeat(" ", last.Column-1)
		}
		entry = "," + withBreaks(lead, t.s) + entry
	}
	return t.s[:at] + entry + t.s[at:], nil
}

// intoBlock writes a new entry on lines of its own, behind a key beside it or at the end.
func (t *text) intoBlock(node *yaml.Node, entry, after string) (string, error) {
	if len(node.Content) == 0 {
		return "", fmt.Errorf("%w: an empty mapping", ErrByHand)
	}
	last := node.Content[len(node.Content)-1]
	if value, _, _ := lookup(node, after, 1); value != nil && after != "" {
		last = value
	}
	_, end, err := t.span(last)
	if err != nil {
		return "", err
	}
	return t.newLines(end, indent(entry, node.Column-1, true)), nil
}

// newLines writes lines behind the line that holds the offset, and behind its comment.
func (t *text) newLines(offset int, lines string) string {
	lines = withBreaks(lines, t.s)
	at := strings.IndexByte(t.s[offset:], '\n')
	if at < 0 {
		return t.s + withBreaks("\n", t.s) + strings.TrimRight(lines, "\r\n")
	}
	at += offset + 1
	return t.s[:at] + lines + t.s[at:]
}

// entry is "key: value" in block style; dash is how far a list stands to the right of its key.
func entry(k, value string, dash int) string {
	value = strings.TrimRight(value, "\n")
	switch {
	case !block(value):
		return k + ": " + value + "\n"
	case strings.HasPrefix(value, "-"):
		return k + ":\n" + indent(value, dash, true)
	}
	return k + ":\n" + indent(value, 2, true)
}

// block reports whether YAML must stand on lines of its own.
func block(value string) bool {
	var n yaml.Node
	return yaml.Unmarshal([]byte(value), &n) == nil && len(n.Content) == 1 &&
		n.Content[0].Kind != yaml.ScalarNode && n.Content[0].Style&yaml.FlowStyle == 0
}

// item is a list item in block style.
func item(value string) string {
	return "- " + indent(strings.TrimRight(value, "\n"), 2, false) + "\n"
}

// dashIndent is how far the author writes a list to the right of its key: 0 or 2, by the first list there is.
func dashIndent(n *yaml.Node, depth int) int {
	if depth == 0 || n == nil || n.Style&yaml.FlowStyle != 0 {
		return -1
	}
	for i, c := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 1 && c.Kind == yaml.SequenceNode && c.Style&yaml.FlowStyle == 0 {
			return c.Column - n.Content[i-1].Column
		}
		if d := dashIndent(c, depth-1); d >= 0 {
			return d
		}
	}
	return -1
}

func flowEntry(k, value string) string {
	name, _ := json.Marshal(k)
	return string(name) + ": " + flowOf(value)
}

// flowOf is the same value on one line, as JSON, which is YAML too.
func flowOf(value string) string {
	var v any
	if yaml.Unmarshal([]byte(value), &v) != nil {
		return value
	}
	out, err := json.Marshal(v)
	if err != nil {
		return value
	}
	return string(out)
}

// indent moves all lines to the right, the first one only if asked.
func indent(s string, by int, first bool) string {
	pad := strings.Repeat(" ", by)
	var b strings.Builder
	for line := range strings.Lines(s) {
		if (first || b.Len() > 0) && strings.TrimSpace(line) != "" {
			b.WriteString(pad)
		}
		b.WriteString(line)
	}
	if first && !strings.HasSuffix(s, "\n") {
		b.WriteByte('\n')
	}
	return b.String()
}

// withBreaks gives new text the line breaks of the old.
func withBreaks(s, old string) string {
	if !strings.Contains(old, "\r\n") {
		return s
	}
	return strings.ReplaceAll(s, "\n", "\r\n")
}
