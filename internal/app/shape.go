package app

import (
	"regexp"
	"slices"
)

// A shape is a mapping of the file whose fields are known, in the order in which people like to write them. The parser, the JSON Schema,
// the reference page and the comments of gapless init are all made from the shapes.
type shape []field

// A field is one line of a shape.
type field struct {
	name string
	// says is what it means, in one or two sentences.
	says string
	// otherwise is the default as a person would write it; empty where there is none.
	otherwise string
	is        form
	// must is set where the file cannot do without.
	must bool
}

// A form is what may stand as a value.
type form struct {
	kind formKind
	name string // of a mapping whose fields are known
	// least and most bound a whole number.
	least, most int
	// pattern is what a text must match; nil: anything.
	pattern *regexp.Regexp
	words   []string // of an enum
	fields  shape    // of a mapping whose fields are known
	of      *form    // of each item of a list, or each value of a mapping with free names
	forms   []form   // of several that may stand
	empty   bool     // an empty value means something
	oneOf   []string // of these fields at least one must be there
}

type formKind string

const (
	kindText     formKind = "text"
	kindWhole    formKind = "whole number"
	kindNumber   formKind = "number"
	kindDuration formKind = "duration"
	kindSize     formKind = "size"
	kindFlag     formKind = "true or false"
	kindEnum     formKind = "word"
	kindFields   formKind = "mapping"
	kindNames    formKind = "mapping of names"
	kindList     formKind = "list"
	kindEither   formKind = "either"
	kindRaw      formKind = "as Kubernetes has it"
)

func anyText() form                      { return form{kind: kindText} }
func textLike(p *regexp.Regexp) form     { return form{kind: kindText, pattern: p} }
func wholeFrom(least, most int) form     { return form{kind: kindWhole, least: least, most: most} }
func aNumber() form                      { return form{kind: kindNumber} }
func aDuration() form                    { return form{kind: kindDuration} }
func aSize() form                        { return form{kind: kindSize} }
func aFlag() form                        { return form{kind: kindFlag} }
func oneOf(words ...string) form         { return form{kind: kindEnum, words: words} }
func fieldsOf(name string, s shape) form { return form{kind: kindFields, name: name, fields: s} }
func namesOf(each form) form             { return form{kind: kindNames, of: &each} }
func listOf(each form) form              { return form{kind: kindList, of: &each} }
func eitherOf(forms ...form) form        { return form{kind: kindEither, forms: forms} }
func orNothing(f form) form              { f.empty = true; return f }
func raw() form                          { return form{kind: kindRaw} }
func words() form                        { return listOf(anyText()) }

// must is a field that the file cannot do without.
func must(name, says string, is form) field { return field{name: name, says: says, is: is, must: true} }

func opt(name, says, otherwise string, is form) field {
	return field{name: name, says: says, otherwise: otherwise, is: is}
}

// with adds fields behind those of s.
func (s shape) with(more ...field) shape { return slices.Concat(s, more) }

func (s shape) names() []string {
	var all []string
	for _, f := range s {
		all = append(all, f.name)
	}
	return all
}

func (s shape) field(name string) (field, bool) {
	i := slices.IndexFunc(s, func(f field) bool { return f.name == name })
	if i < 0 {
		return field{}, false
	}
	return s[i], true
}

// bounds are those of a field that is a whole number, in one of its forms.
func (s shape) bounds(name string) (least, most int) {
	f, _ := s.field(name)
	for _, one := range append([]form{f.is}, f.is.forms...) {
		if one.kind == kindWhole {
			return one.least, one.most
		}
	}
	return 0, 0
}
