package manifest

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// A text finds where nodes begin and end. The parser tells only where they begin.
type text struct {
	s     string
	lines []int // offset of each line
}

func newText(s string) *text {
	t := &text{s: s, lines: []int{0}}
	for i := range len(s) {
		if s[i] == '\n' {
			t.lines = append(t.lines, i+1)
		}
	}
	return t
}

// offset of a node's first byte. Columns count runes.
func (t *text) offset(n *yaml.Node) (int, bool) {
	if n.Line < 1 || n.Line > len(t.lines) {
		return 0, false
	}
	at := t.lines[n.Line-1]
	if n.Line == 1 && strings.HasPrefix(t.s, "\ufeff") {
		at += len("\ufeff")
	}
	for range n.Column - 1 {
		if at >= len(t.s) {
			return 0, false
		}
		_, size := utf8.DecodeRuneInString(t.s[at:])
		at += size
	}
	return at, true
}

// span is where a node begins and ends.
func (t *text) span(n *yaml.Node) (from, to int, err error) {
	from, ok := t.offset(n)
	if !ok || n.Anchor != "" || n.Style&yaml.TaggedStyle != 0 {
		return 0, 0, fmt.Errorf("%w: an anchor or a tag stands before it", ErrByHand)
	}
	to = -1
	switch {
	case n.Kind == yaml.AliasNode:
		to = from + len("*") + len(n.Value)
	case n.Kind == yaml.ScalarNode:
		to = t.scalarEnd(n, from)
	case n.Style&yaml.FlowStyle != 0:
		to = t.flowEnd(from)
	case len(n.Content) > 0:
		_, to, err = t.span(n.Content[len(n.Content)-1])
		if err != nil {
			return 0, 0, err
		}
	}
	if to < from {
		return 0, 0, fmt.Errorf("%w: where it ends is not clear", ErrByHand)
	}
	return from, to, nil
}

func (t *text) scalarEnd(n *yaml.Node, from int) int {
	switch {
	case n.Style&yaml.DoubleQuotedStyle != 0, n.Style&yaml.SingleQuotedStyle != 0:
		return quotedEnd(t.s, from)
	case n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		return t.literalEnd(n)
	case strings.HasPrefix(t.s[from:], n.Value):
		return from + len(n.Value)
	}
	return t.plainEnd(n, from)
}

func quotedEnd(s string, from int) int {
	if from >= len(s) {
		return -1
	}
	quote := s[from]
	for i := from + 1; i < len(s); i++ {
		switch {
		case s[i] == '\\' && quote == '"':
			i++
		case s[i] == quote && quote == '\'' && strings.HasPrefix(s[i+1:], "'"):
			i++
		case s[i] == quote:
			return i + 1
		}
	}
	return -1
}

// literalEnd: the text goes on as far as lines are indented like its first one, or blank.
func (t *text) literalEnd(n *yaml.Node) int {
	end, width := t.lineEnd(n.Line-1), -1
	for i := n.Line; i < len(t.lines); i++ {
		line := t.s[t.lines[i]:t.lineEnd(i)]
		trimmed := strings.TrimLeft(line, " ")
		if strings.TrimSpace(trimmed) == "" {
			continue
		}
		if width < 0 {
			width = len(line) - len(trimmed)
		}
		if len(line)-len(trimmed) < width || width == 0 {
			break
		}
		end = t.lineEnd(i)
	}
	return end
}

// plainEnd: an unquoted text over several lines, which the parser has joined by spaces.
func (t *text) plainEnd(n *yaml.Node, from int) int {
	words := strings.Fields(n.Value)
	at := from
	for _, w := range words {
		at += len(t.s[at:]) - len(strings.TrimLeft(t.s[at:], " \t\r\n"))
		if !strings.HasPrefix(t.s[at:], w) {
			return -1
		}
		at += len(w)
	}
	return at
}

// flowEnd: the bracket that closes the one at from.
func (t *text) flowEnd(from int) int {
	depth := 0
	for i := from; i < len(t.s); i++ {
		switch t.s[i] {
		case '{', '[':
			depth++
		case '}', ']':
			depth--
			if depth == 0 {
				return i + 1
			}
		case '"', '\'':
			if !strings.ContainsRune(" \t\n\r{[,:", rune(t.s[i-1])) {
				continue // within a plain word, such as it's
			}
			end := quotedEnd(t.s, i)
			if end < 0 {
				return -1
			}
			i = end - 1
		case '#':
			if strings.ContainsRune(" \t\n\r", rune(t.s[i-1])) {
				i = t.lineEndAt(i)
			}
		}
	}
	return -1
}

// lineEnd is the offset of the break that ends a line (from 0).
func (t *text) lineEnd(line int) int { return t.lineEndAt(t.lines[line]) }

func (t *text) lineEndAt(at int) int {
	if i := strings.IndexByte(t.s[at:], '\n'); i >= 0 {
		return at + i
	}
	return len(t.s)
}
