// Package manifest reads Kubernetes YAML so that every value knows its line, and changes single values in the text while all
// else stays as it was written, byte for byte.
package manifest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// Bounds of what is read. A whole cluster's dump fits; a bomb does not.
const (
	MaxBytes = 32 << 20 // of one file
	maxDepth = 200
	maxNodes = 2_000_000 // of one document
)

// A File is a stream of YAML documents as they are written.
type File struct {
	Name string
	// Objects are the Kubernetes objects in the file, those in lists included, in the order they are written.
	Objects []*Object
	// Live is set for objects as they stand in a cluster: the text is ours, and nobody has its lines before his eyes.
	Live bool

	docs []doc
}

// Text is the file as it was read.
func (f *File) Text() []byte {
	var b bytes.Buffer
	for _, d := range f.docs {
		b.WriteString(d.text)
	}
	return b.Bytes()
}

// A Problem is a place that cannot be read.
type Problem struct {
	File string `json:"file"`
	Line int    `json:"line"`
	What string `json:"what"`
	Fix  string `json:"fix"`
}

func (p Problem) Error() string {
	return fmt.Sprintf("%s:%d: %s\n    fix: %s", p.File, p.Line, p.What, p.Fix)
}

// A doc is the text of one document, its marker line included, and where it begins.
type doc struct {
	text string
	line int // of the file, from 0, on which the document's own line 1 stands
	root *yaml.Node
	// values is the document decoded, once an edit needs it.
	values any
}

// Parse reads all documents. What cannot be read is a problem of its document alone: the others are there.
func Parse(name string, data []byte) (*File, []Problem) {
	f := &File{Name: name}
	switch {
	case len(data) > MaxBytes:
		return f, []Problem{{name, 1, fmt.Sprintf("%d bytes are more than the %d that are read", len(data), MaxBytes), "split the file"}}
	case !utf8.Valid(data):
		return f, []Problem{{name, lineOfBadRune(data), "not UTF-8 text", "save the file as UTF-8; a chart archive (.tgz) must be rendered first: helm template"}}
	}
	var problems []Problem
	f.docs = split(string(data))
	for i := range f.docs {
		d := &f.docs[i]
		if err := d.parse(); err != nil {
			problems = append(problems, d.problem(name, err))
			continue
		}
		f.Objects = append(f.Objects, objects(f, i, d)...)
	}
	return f, problems
}

var marker = regexp.MustCompile(`(?m)^---(?:[ \t\r].*)?$`)

// directives belong to the document whose marker follows them.
var directives = regexp.MustCompile(`^(?:\s*\n|#.*\n)*%.*\n(?:\s*\n|#.*\n|%.*\n)*$`)

// split cuts the stream before each document marker. A marker at the start of a line ends a document wherever it stands: YAML allows
// it in no scalar.
func split(text string) []doc {
	var docs []doc
	from, line := 0, 0
	cut := func(to int) {
		if to > from {
			docs = append(docs, doc{text: text[from:to], line: line})
			line += strings.Count(text[from:to], "\n")
			from = to
		}
	}
	for _, m := range marker.FindAllStringIndex(text, -1) {
		if !directives.MatchString(text[from:m[0]]) {
			cut(m[0])
		}
	}
	cut(len(text))
	return docs
}

func (d *doc) parse() error {
	d.root = nil
	dec := yaml.NewDecoder(strings.NewReader(d.text))
	var n, second yaml.Node
	if err := dec.Decode(&n); errors.Is(err, io.EOF) || err == nil && len(n.Content) == 0 {
		return nil
	} else if err != nil {
		return err
	}
	if err := dec.Decode(&second); err == nil {
		return fmt.Errorf("line %d: another document begins here without a line ---", second.Line)
	} else if !errors.Is(err, io.EOF) {
		return err
	}
	left := maxNodes
	if err := bounded(n.Content[0], maxDepth, &left); err != nil {
		return err
	}
	d.root = n.Content[0]
	return nil
}

func bounded(n *yaml.Node, depth int, left *int) error {
	*left--
	if *left < 0 || depth == 0 {
		return fmt.Errorf("line %d: more values, or deeper nested, than an object of Kubernetes has", n.Line)
	}
	for i, c := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 0 && c.Kind != yaml.ScalarNode && c.Kind != yaml.AliasNode {
			return fmt.Errorf("line %d: the key of a mapping is not text", c.Line)
		}
		if err := bounded(c, depth-1, left); err != nil {
			return err
		}
	}
	return nil
}

// countsFromZero are the messages of the library's parser, whose lines are one too low; those of its scanner are right.
var countsFromZero = regexp.MustCompile(`did not find expected (node content|'-' indicator|key|',' or|<)`)

var errorLine = regexp.MustCompile(`line (\d+): ?`)

func (d *doc) problem(name string, err error) Problem {
	what := strings.TrimPrefix(err.Error(), "yaml: ")
	line := 1
	if m := errorLine.FindStringSubmatch(what); m != nil {
		line, _ = strconv.Atoi(m[1])
		if countsFromZero.MatchString(what) {
			line++
		}
		what = strings.Replace(what, m[0], "", 1)
	}
	what, fix := "not YAML: "+what, "look at this line and the one before: indentation, a missing colon or an open quote"
	if strings.Contains(d.text, "{{") {
		fix = "it holds {{ }}: render the template first, such as helm template . | gapless lint -"
	}
	return Problem{name, d.line + max(1, line), what, fix}
}

func lineOfBadRune(data []byte) int {
	line := 1
	for len(data) > 0 {
		r, size := utf8.DecodeRune(data)
		if r == utf8.RuneError && size <= 1 {
			return line
		}
		if r == '\n' {
			line++
		}
		data = data[size:]
	}
	return line
}

// ReadAll reads one byte more than is allowed, so that too much is noticed by Parse and said.
func ReadAll(r io.Reader) ([]byte, error) {
	return io.ReadAll(io.LimitReader(r, MaxBytes+1))
}
