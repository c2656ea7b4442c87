package app

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// A value is a node of the file, with the path by which a person would name it. Its readers note what is wrong and go on with
// something harmless, so that one look finds every problem.
type value struct {
	node *yaml.Node
	path string
	line int
	p    *parser
}

func (v value) wrong(what, fix string) {
	shown := ""
	if v.node != nil {
		shown = show(v.node)
	}
	v.p.problems.List = append(v.p.problems.List, Problem{Line: v.line, Field: v.path, Value: shown, What: what, Fix: fix})
}

// show is the value as a person wrote it, if it is short enough to be shown.
func show(n *yaml.Node) string {
	if n.Kind != yaml.ScalarNode || isNull(n) {
		return ""
	}
	r := []rune(n.Value)
	if len(r) > 60 {
		return string(r[:57]) + "..."
	}
	return n.Value
}

func kind(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case isNull(n):
		return "empty"
	}
	return "a single value"
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

func plain(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

// holds tells whether a mapping has a key of its own.
func (v value) holds(key string) bool {
	for i := 0; i+1 < len(v.node.Content); i += 2 {
		if v.node.Content[i].Value == key {
			return true
		}
	}
	return false
}

// asList is how to write what should have been a list. Apps and helpers by name are a common slip.
func (v value) asList() string {
	if keys := v.node.Content; v.node.Kind == yaml.MappingNode && len(keys) > 1 && keys[1].Kind == yaml.MappingNode {
		return fmt.Sprintf("write each as a member of a list that has its name: - name: %s", keys[0].Value)
	}
	return "write it as a list: - one, - two, or [one, two]"
}

// items are the members of a list.
func (v value) items() []value {
	if v.node == nil {
		return nil
	}
	if v.node.Kind != yaml.SequenceNode {
		v.wrong("must be a list, and is "+kind(v.node), v.asList())
		return nil
	}
	var all []value
	for i, n := range v.node.Content {
		path := fmt.Sprintf("%s[%d]", v.path, i)
		v.p.lines[path] = n.Line
		if one := (value{node: plain(n), path: path, line: n.Line, p: v.p}); isNull(one.node) {
			one.wrong("is empty", "write a value, or take it out")
			continue
		}
		all = append(all, value{node: plain(n), path: path, line: n.Line, p: v.p})
	}
	return all
}

// text is a single value, whatever YAML takes it for: a version 1.10 must not become the number 1.1.
func (v value) text() (string, bool) {
	if v.node.Kind != yaml.ScalarNode || isNull(v.node) {
		v.wrong("must be a single value, and is "+kind(v.node), "write one word or a text in quotes")
		return "", false
	}
	if strings.ContainsRune(v.node.Value, 0) {
		v.wrong("holds a zero byte", "take it out: no program can be given one")
		return "", false
	}
	return v.node.Value, true
}

// words is a list of texts.
func (v value) words() []string {
	if v.node.Kind == yaml.ScalarNode && !isNull(v.node) {
		v.wrong("must be a list of words, and is a single value", fmt.Sprintf("no shell is used, so write each word by itself: [%s]", strings.Join(quoted(v.node.Value), ", ")))
		return nil
	}
	var all []string
	for _, item := range v.items() {
		if s, ok := item.text(); ok {
			all = append(all, s)
		}
	}
	return all
}

func quoted(s string) []string {
	var out []string
	for w := range strings.FieldsSeq(s) {
		out = append(out, strconv.Quote(w))
	}
	return out[:min(len(out), 8)]
}

func (v value) whole(least, most int) (int, bool) {
	s, ok := v.text()
	if !ok {
		return 0, false
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		v.wrong("is not a whole number", fmt.Sprintf("write a number from %d to %d", least, most))
		return 0, false
	}
	if n < least || n > most {
		v.wrong("is out of range", fmt.Sprintf("write a number from %d to %d", least, most))
		return 0, false
	}
	return n, true
}

var numberText = regexp.MustCompile(`^[-+]?[0-9]+(\.[0-9]+)?$`)

// number is a decimal number.
func (v value) number() (float64, bool) {
	s, ok := v.text()
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseFloat(s, 64)
	if err != nil || !numberText.MatchString(s) {
		v.wrong("is not a number", "write it as 3 or 0.5")
		return 0, false
	}
	return n, true
}

var bare = regexp.MustCompile(`^\d{1,9}$`)

// longest keeps sums of durations far from overflow.
const longest = 30 * 24 * time.Hour

func (v value) duration() (time.Duration, bool) {
	s, ok := v.text()
	if !ok {
		return 0, false
	}
	if bare.MatchString(s) && s != "0" {
		v.wrong("has no unit", fmt.Sprintf("write %ss for seconds, %sms or %sm", s, s, s))
		return 0, false
	}
	d, err := time.ParseDuration(s)
	switch {
	case err != nil:
		v.wrong("is not a duration", "write a number with a unit, such as 500ms, 30s, 5m or 1h30m")
		return 0, false
	case d < 0:
		v.wrong("is negative", "write 0s or more")
		return 0, false
	case d > longest:
		v.wrong("is longer than 30 days", "write 720h or less")
		return 0, false
	}
	return d, true
}

func (v value) flag() (yes, ok bool) {
	var b bool
	if v.node.Kind != yaml.ScalarNode || v.node.Decode(&b) != nil || isNull(v.node) {
		v.wrong("is neither true nor false", "write true or false")
		return false, false
	}
	return b, true
}

var sizeText = regexp.MustCompile(`^(\d{1,12}) ?(|B|KB|MB|GB|KiB|MiB|GiB)$`)

var sizeUnits = map[string]int64{"": 1, "B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}

// size is a number of bytes.
func (v value) size() (int64, bool) {
	s, ok := v.text()
	if !ok {
		return 0, false
	}
	m := sizeText.FindStringSubmatch(s)
	if m == nil {
		v.wrong("is not a size", "write a number of bytes, or with a unit such as 64KiB or 10MB")
		return 0, false
	}
	n, _ := strconv.ParseInt(m[1], 10, 64)
	if n == 0 || n > math.MaxInt32*sizeUnits["KiB"]/sizeUnits[m[2]] {
		v.wrong("is out of range", "write more than 0 and less than 2048GiB")
		return 0, false
	}
	return n * sizeUnits[m[2]], true
}

// oneOf is one of some words.
func (v value) oneOf(words ...string) (string, bool) {
	s, ok := v.text()
	if !ok {
		return "", false
	}
	if !slices.Contains(words, s) {
		v.wrong("is not one of the words that are known here", suggestion(s, words))
		return "", false
	}
	return s, true
}
