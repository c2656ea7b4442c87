package manifest

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// ErrByHand says that a change cannot be made in the text with certainty: the value is shared, or written in a rare form.
var ErrByHand = errors.New("to be changed by hand")

// An Edit is one change of a file's text. It names a place, not a position: edits before it may move the text.
type Edit struct {
	File string

	doc    int
	op     op
	path   path
	text   string // YAML, as if it stood alone at the left margin
	newKey string // takes the place of the last key
	after  string // a key beside it that a new key is written behind
}

type op int

const (
	opSet op = iota
	opAppend
	opAddDocument
)

// Set writes YAML at the value's place, in place of what stands there. What is missing around it is written too.
func (v Value) Set(text string) Edit {
	return Edit{File: v.object.File.Name, doc: v.object.doc, op: opSet, path: v.full(), text: text}
}

// SetAfter is Set; if the key is new, it is written behind the key sibling.
func (v Value) SetAfter(sibling, text string) Edit {
	e := v.Set(text)
	e.after = sibling
	return e
}

// Replace writes another key and value in place of this key and value.
func (v Value) Replace(newKey, text string) Edit {
	e := v.Set(text)
	e.newKey = newKey
	return e
}

// Append writes an item at the end of the sequence that stands here, or a new sequence.
func (v Value) Append(text string) Edit {
	e := v.Set(text)
	e.op = opAppend
	return e
}

func (v Value) full() path {
	return append(v.object.base[:len(v.object.base):len(v.object.base)], v.path...)
}

// Apply makes the edits one after the other. An edit that cannot be made is left out and told as an error that wraps ErrByHand. Every
// edit is proved: the new text must decode to the old values with exactly this change, or it is not made.
func (f *File) Apply(edits []Edit) (text []byte, refused []error) {
	docs := slices.Clone(f.docs)
	added := make([]string, len(docs))
	for _, e := range edits {
		var err error
		if e.op == opAddDocument {
			err = addDocument(docs, added, e)
		} else {
			docs[e.doc], err = docs[e.doc].apply(e)
		}
		if err != nil {
			refused = append(refused, fmt.Errorf("%s: %s: %w", f.Name, e.path, err))
		}
	}
	var b strings.Builder
	for i, d := range docs {
		b.WriteString(d.text)
		b.WriteString(added[i])
	}
	return []byte(b.String()), refused
}

func addDocument(docs []doc, added []string, e Edit) error {
	d := docs[e.doc]
	if d.root == nil || d.root.Style&yaml.FlowStyle != 0 {
		return fmt.Errorf("%w: the file is JSON, which has no place for a second document", ErrByHand)
	}
	text := "---\n" + e.text
	if !strings.HasSuffix(d.text, "\n") && added[e.doc] == "" {
		text = "\n" + text
	}
	added[e.doc] += withBreaks(text, d.text)
	return nil
}

// maxEdited bounds a document that is changed: each change reads all of it again.
const maxEdited = 1 << 20

// apply returns the document with the edit made, or as it was and why not.
func (d doc) apply(e Edit) (doc, error) {
	if len(d.text) > maxEdited {
		return d, fmt.Errorf("%w: the document has %d bytes, more than the %d that are changed and proved; write each object as a document of its own", ErrByHand, len(d.text), maxEdited)
	}
	if strings.ContainsAny(d.text, "\u0085\u2028\u2029") || strings.Count(d.text, "\r") != strings.Count(d.text, "\r\n") {
		return d, fmt.Errorf("%w: rare line breaks", ErrByHand)
	}
	if d.root == nil {
		return d, fmt.Errorf("%w: the document is empty", ErrByHand)
	}
	var change any
	if err := yaml.Unmarshal([]byte(e.text), &change); err != nil {
		return d, fmt.Errorf("%w: %w", ErrByHand, err)
	}
	if d.values == nil {
		if err := d.root.Decode(&d.values); err != nil {
			return d, fmt.Errorf("%w: %w", ErrByHand, err)
		}
	}
	want, err := changed(d.values, e.path, e, change)
	if err != nil {
		return d, err
	}
	text, err := splice(d, e)
	if err != nil {
		return d, err
	}
	next := doc{text: text, line: d.line}
	if next.parse() != nil || next.root == nil || next.root.Decode(&next.values) != nil || !reflect.DeepEqual(next.values, want) {
		return d, fmt.Errorf("%w: the way it is written is not understood well enough", ErrByHand)
	}
	return next, nil
}

// changed is the edit made on decoded values: what the text must mean afterwards.
func changed(at any, p path, e Edit, change any) (any, error) {
	if len(p) == 0 {
		if e.op != opAppend {
			return change, nil
		}
		list, ok := at.([]any)
		if !ok && at != nil {
			return nil, fmt.Errorf("%w: no list", ErrByHand)
		}
		return append(slices.Clone(list), change), nil
	}
	step := p[0]
	if step.index >= 0 {
		list, ok := at.([]any)
		if !ok || step.index >= len(list) {
			return nil, fmt.Errorf("%w: no item %d", ErrByHand, step.index)
		}
		item, err := changed(list[step.index], p[1:], e, change)
		list = slices.Clone(list)
		list[step.index] = item
		return list, err
	}
	m, ok := at.(map[string]any)
	if !ok && at != nil {
		return nil, fmt.Errorf("%w: no mapping around %s", ErrByHand, step.key)
	}
	next := make(map[string]any, len(m)+1)
	for k, v := range m {
		next[k] = v
	}
	item, err := changed(m[step.key], p[1:], e, change)
	name := step.key
	if len(p) == 1 && e.newKey != "" {
		delete(next, name)
		name = e.newKey
	}
	next[name] = item
	return next, err
}

var plain = regexp.MustCompile(`^[A-Za-z/][\w./=-]*( [\w./=-]+)*$`)

// SetString writes a text, quoted unless it stood there without quotes and can.
func (v Value) SetString(s string) Edit {
	if v.node != nil && v.node.Style == 0 {
		return v.Set(Word(s))
	}
	return v.Set(Quote(s))
}

// Word is a text that YAML reads as this very string, without quotes if it can do without.
func Word(s string) string {
	var read any
	if plain.MatchString(s) && yaml.Unmarshal([]byte(s), &read) == nil && read == s {
		return s
	}
	return Quote(s)
}

// Quote is a text that YAML reads as this very string.
func Quote(s string) string {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // a string can be encoded, and a Builder be written to
	return strings.TrimSpace(b.String())
}
