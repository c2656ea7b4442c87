package app

import (
	"bytes"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

// accepts tells what somebody else's validator says of a file.
func accepts(t *testing.T, s *jsonschema.Schema, data []byte) error {
	t.Helper()
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil || len(doc.Content) == 0 {
		return errors.Join(err, errors.New("no document"))
	}
	p := &parser{problems: &Problems{}, lines: map[string]int{}}
	return s.Validate(asJSON(value{node: plain(doc.Content[0]), p: p}))
}

// asJSON is a node as an editor sees it.
func asJSON(v value) any {
	switch v.node.Kind {
	case yaml.MappingNode:
		out := map[string]any{}
		for name, f := range v.dict().fields {
			if !isNull(f.node) { // empty is the same as left out
				out[name] = asJSON(f)
			}
		}
		return out
	case yaml.SequenceNode:
		out := []any{}
		for _, f := range v.items() {
			out = append(out, asJSON(f))
		}
		return out
	}
	switch v.node.ShortTag() {
	case "!!null":
		return nil
	case "!!int", "!!float", "!!bool":
		var out any
		if v.node.Decode(&out) == nil {
			return out
		}
	}
	return v.node.Value
}

var compiled = sync.OnceValue(func() *jsonschema.Schema {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		panic(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource(SchemaID, doc); err != nil {
		panic(err)
	}
	return c.MustCompile(SchemaID)
})

func TestSchema_AcceptsWhatIsRight(t *testing.T) {
	s := compiled()
	files, _ := filepath.Glob("testdata/*.yaml")
	for _, name := range files {
		if err := accepts(t, s, read(t, name)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSchema_RefusesWhatConcernsOneField: an editor shows the slips of a finger at once. What takes two fields to see is left to Parse.
func TestSchema_RefusesWhatConcernsOneField(t *testing.T) {
	several := map[string]bool{ // files whose problems are between fields, or in the YAML itself
		"gates-of-recreate": true,
		"apps-clash":        true, "ports-spoken-of": true, "steps-that-fall": true, "rolling": true, "twice": true, "after": true, "routers": true,
		"steps-that-do-nothing": true, "alias-bomb": true, "alias-of-itself": true, "comment-only": true, "empty": true, "nested-too-deep": true, "not-yaml": true,
		"open-quote": true, "two-documents": true, "two-strategies": true, "no-strategy": true, "no-steps": true, "no-apps": true, "tls": true, "checks": true,
	}
	s := compiled()
	files, _ := filepath.Glob("testdata/bad/*.yaml")
	for _, name := range files {
		if several[strings.TrimSuffix(filepath.Base(name), ".yaml")] {
			continue
		}
		if accepts(t, s, read(t, name)) == nil {
			t.Errorf("%s: the schema takes it", name)
		}
	}
}

func TestSchema_SaysWhatEachFieldMeans(t *testing.T) {
	var walk func(path string, f form)
	walk = func(path string, f form) {
		for _, one := range f.fields {
			if !strings.HasSuffix(one.says, ".") || len(one.says) > 240 {
				t.Errorf("%s.%s: %q is no short sentence", path, one.name, one.says)
			}
			walk(path+"."+one.name, one.is)
		}
		if f.of != nil {
			walk(path+"[]", *f.of)
		}
		for _, one := range f.forms {
			walk(path, one)
		}
	}
	walk("", fieldsOf("", fileShape))
}
