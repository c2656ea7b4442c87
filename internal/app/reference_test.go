package app

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

const reference = "../../docs/reference/"

// TestReference_IsMadeFromTheShapes writes the page and the schema with -update.
func TestReference_IsMadeFromTheShapes(t *testing.T) {
	for name, got := range map[string]string{"app-file.md": page(), "gapless.schema.json": string(Schema())} {
		if *update {
			if err := os.WriteFile(reference+name, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if string(read(t, reference+name)) != got {
			t.Errorf("%s is not what the shapes say: make generate writes it", name)
		}
	}
}

func page() string {
	var b strings.Builder
	b.WriteString("# The app file\n\n<!-- Written by make generate from the shapes of internal/app. -->\n\n" +
		"`gapless.yaml` says what a service is and how its versions take each other's place, on one machine and on a cluster. A field that is not\n" +
		"known is an error, with the nearest one that is. The fields as a JSON Schema: [gapless.schema.json](gapless.schema.json), or `gapless schema`. An editor\n" +
		"that speaks to yaml-language-server takes it from a first line such as `# yaml-language-server: $schema=gapless.schema.json`.\n\n" +
		"A file holds the fields of one app, or several apps under `apps:`. `name`, `version` and one of `command` (for one machine) and\n`image` (for a cluster) must be there.\n")
	for _, s := range pageOrder() {
		fmt.Fprintf(&b, "\n## %s\n\n| field | value | default | |\n|---|---|---|---|\n", s.name)
		for _, f := range s.fields {
			otherwise := f.otherwise
			if f.must {
				otherwise = "must be there"
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", f.name, f.is.inWords(), otherwise, strings.ReplaceAll(f.says, "|", "\\|"))
		}
	}
	return b.String()
}

// pageOrder is the file, the app, and then every other mapping in the order in which the fields speak of it.
func pageOrder() []form {
	all := []form{fieldsOf("file", fileShape), appForm}
	seen := map[string]bool{"app": true, "nothing": true}
	for i := 0; i < len(all); i++ {
		var walk func(form)
		walk = func(f form) {
			if f.kind == kindFields && !seen[f.name] {
				seen[f.name] = true
				all = append(all, f)
			}
			for _, one := range f.forms {
				walk(one)
			}
			if f.of != nil {
				walk(*f.of)
			}
		}
		for _, f := range all[i].fields {
			walk(f.is)
		}
	}
	return all
}

// inWords is the form as a person would say it.
func (f form) inWords() string {
	switch f.kind {
	case kindFields:
		if f.name == "nothing" {
			return "nothing"
		}
		return "[" + f.name + "](#" + strings.ReplaceAll(strings.ToLower(f.name), " ", "-") + ")"
	case kindWhole:
		return fmt.Sprintf("%d to %d", f.least, f.most)
	case kindEnum:
		return strings.Join(f.words, ", ")
	case kindList:
		return "list of: " + f.of.inWords()
	case kindNames:
		return "names, each with: " + f.of.inWords()
	case kindEither:
		var all []string
		for _, one := range f.forms {
			all = append(all, one.inWords())
		}
		return strings.Join(all, "; or ")
	}
	return string(f.kind)
}
