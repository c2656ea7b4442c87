package app

import (
	"encoding/json"
	"fmt"
	"strings"
)

// SchemaID is where the schema says that it is from.
const SchemaID = "https://gapless.dev/gapless.schema.json"

// Schema is the JSON Schema (2020-12) of the app file, for editors and other tools. It is made from the shapes that the parser goes by, and
// accepts whatever Parse accepts; what concerns several fields at once only Parse knows.
func Schema() []byte {
	defs := map[string]any{}
	root := fieldsOf("", fileShape.with(appShape...)).schema(defs)
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["$id"] = SchemaID
	root["title"] = "Gapless app file"
	root["description"] = "What a service is and how its versions take each other's place: gapless.yaml, for one machine and for a cluster."
	root["$defs"] = defs
	alone := defs["app"].(map[string]any)
	root["if"] = require("apps")
	root["then"] = map[string]any{"propertyNames": map[string]any{"enum": fileShape.names()}}
	root["else"] = map[string]any{"required": alone["required"], "anyOf": alone["anyOf"]}
	delete(root, "required")
	out, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		panic(err) // maps of texts and numbers
	}
	return append(out, '\n')
}

func require(name string) map[string]any { return map[string]any{"required": []string{name}} }

// schema is the form as a JSON Schema. YAML has several ways to write one text, so texts may be numbers there.
func (f form) schema(defs map[string]any) map[string]any {
	s := map[string]any{}
	switch f.kind {
	case kindText:
		s["type"] = []string{"string", "number", "boolean"}
		if f.pattern != nil {
			s["pattern"] = f.pattern.String()
		}
	case kindWhole:
		s["type"], s["minimum"], s["maximum"], s["pattern"] = []string{"integer", "string"}, f.least, f.most, "^[0-9]+$"
	case kindNumber:
		s["type"], s["pattern"] = []string{"number", "string"}, numberText.String()
	case kindDuration:
		s["type"], s["maximum"], s["pattern"] = []string{"string", "integer"}, 0, `^(0|([0-9]*\.?[0-9]+(ns|us|µs|ms|s|m|h))+)$`
	case kindSize:
		s["type"], s["pattern"] = []string{"string", "integer"}, sizeText.String()
	case kindFlag:
		s["type"] = "boolean"
	case kindEnum:
		s["enum"] = f.words
	case kindList:
		s["type"], s["items"] = "array", f.of.schema(defs)
	case kindNames:
		s["type"], s["additionalProperties"] = "object", f.of.schema(defs)
	case kindFields:
		if f.name == "" {
			return f.properties(defs)
		}
		if _, known := defs[f.name]; !known {
			defs[f.name] = true // a shape within itself would not end
			defs[f.name] = f.properties(defs)
		}
		s["$ref"] = "#/$defs/" + f.name
	case kindRaw:
		s["type"] = "object"
	case kindEither:
		var all []any
		for _, one := range f.forms {
			all = append(all, one.schema(defs))
		}
		s["anyOf"] = all
	}
	if !f.empty {
		return s
	}
	return map[string]any{"anyOf": []any{s, map[string]any{"type": "null"}}}
}

// properties is a mapping whose fields are known.
func (f form) properties(defs map[string]any) map[string]any {
	properties := map[string]any{}
	for _, one := range f.fields {
		p := one.is.schema(defs)
		p["description"] = one.says
		if one.otherwise != "" {
			p["description"] = fmt.Sprintf("%s Default: %s.", one.says, strings.TrimSuffix(one.otherwise, "."))
		}
		properties[one.name] = p
	}
	s := map[string]any{"type": "object", "properties": properties, "additionalProperties": false}
	if need := f.fields.musts(); len(need) > 0 {
		s["required"] = need
	}
	var some []any
	for _, name := range f.oneOf {
		some = append(some, require(name))
	}
	if some != nil {
		s["anyOf"] = some
	}
	return s
}

func (s shape) musts() []string {
	var all []string
	for _, f := range s {
		if f.must {
			all = append(all, f.name)
		}
	}
	return all
}
