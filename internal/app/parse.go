package app

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Bounds of a file. They are far above what a person writes, and low enough that no file can take the machine with it.
const (
	maxBytes  = 1 << 20
	maxDepth  = 32
	maxValues = 20_000 // with every alias followed
	maxApps   = 100
)

// Parse reads an app file, fills in the defaults and checks it. The name is only for messages. What is wrong comes back all at once
// as a *Problems. Parse is pure: whether a command exists or a port is free is asked by whoever starts the app.
func Parse(name string, data []byte) (File, error) {
	p := &parser{problems: &Problems{File: name}, lines: map[string]int{}}
	root, ok := p.document(data)
	if !ok {
		return File{}, p.problems.ErrorOrNil()
	}
	f := p.file(root)
	if err := p.problems.ErrorOrNil(); err != nil {
		return File{}, err
	}
	f.Lines = p.lines
	return f, nil
}

type parser struct {
	problems *Problems
	lines    map[string]int
}

func (p *parser) document(data []byte) (value, bool) {
	whole := value{p: p, line: 1}
	if len(data) > maxBytes {
		whole.wrong(fmt.Sprintf("the file has %d bytes, more than the %d that are read", len(data), maxBytes), "split it, or point to a smaller file")
		return value{}, false
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, second yaml.Node
	err := dec.Decode(&doc)
	if errors.Is(err, io.EOF) || err == nil && (len(doc.Content) == 0 || isNull(doc.Content[0])) {
		whole.wrong("the file is empty", "write at least name, command and version")
		return value{}, false
	}
	if err == nil {
		if dec.Decode(&second) == nil {
			whole.line = max(1, second.Line)
			whole.wrong("a second document begins here", "keep one document: several apps stand in a list under apps:")
			return value{}, false
		}
	}
	if err != nil {
		whole.line = lineOf(err)
		whole.wrong("not YAML: "+syntax(err), "look at this line and the one before: indentation, a missing colon, an open quote, or a word with { } that needs quotes")
		return value{}, false
	}
	root := value{node: doc.Content[0], p: p, line: doc.Content[0].Line}
	left := maxValues
	if why := bounds(root.node, maxDepth, &left); why != "" {
		whole.wrong(why, "write it plainer: an app file is a few dozen lines")
		return value{}, false
	}
	return root, true
}

func (p *parser) file(root value) File {
	f := File{Bind: "127.0.0.1"}
	if root.node.Kind == yaml.MappingNode && !root.holds("apps") {
		o := root.object(slices.Concat(fileShape, appShape))
		f.Bind, f.Group = bind(o, f.Bind), p.group(o)
		f.Apps = []App{p.app(o)}
		p.clashes(f.Apps, func(int) string { return "" })
		p.order(f.Apps, func(int) string { return "" })
		return f
	}
	o := root.dict()
	for name, field := range o.fields {
		switch {
		case slices.Contains(fileShape.names(), name):
		case slices.Contains(appShape.names(), name):
			field.wrong("stands beside apps:, and belongs to an app", "move it into an app of the list")
		default:
			field.node = nil
			field.wrong("unknown field", suggestion(name, fileShape.names()))
		}
	}
	f.Bind, f.Group = bind(o, f.Bind), p.group(o)
	list, _ := o.get("apps")
	items := list.items()
	if list.node != nil && list.node.Kind == yaml.SequenceNode && len(items) == 0 {
		list.wrong("no app stands in the list", "write one app as - name: ...")
	}
	if len(items) > maxApps {
		list.wrong(fmt.Sprintf("%d apps are more than the %d that one Gapless runs", len(items), maxApps), "start several with a file each")
		return f
	}
	for _, item := range items {
		f.Apps = append(f.Apps, p.app(item.object(appShape)))
	}
	at := func(i int) string { return fmt.Sprintf("apps[%d].", i) }
	p.clashes(f.Apps, at)
	p.order(f.Apps, at)
	return f
}

// bounds walks the file as if every alias were written out, so that what reads it later cannot be made to run for long.
func bounds(n *yaml.Node, depth int, left *int) string {
	*left--
	if *left < 0 {
		return fmt.Sprintf("the file holds more than %d values once its aliases are followed", maxValues)
	}
	if depth == 0 {
		return fmt.Sprintf("values are nested deeper than %d levels", maxDepth)
	}
	if n.Kind == yaml.AliasNode {
		return bounds(n.Alias, depth-1, left)
	}
	for _, c := range n.Content {
		if why := bounds(c, depth-1, left); why != "" {
			return why
		}
	}
	return ""
}

var yamlLine = regexp.MustCompile(`line (\d+): ?`)

func lineOf(err error) int {
	if m := yamlLine.FindStringSubmatch(err.Error()); m != nil {
		n, _ := strconv.Atoi(m[1])
		return max(1, n)
	}
	return 1
}

func syntax(err error) string {
	return yamlLine.ReplaceAllString(strings.TrimPrefix(err.Error(), "yaml: "), "")
}
