package gapless_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/internal/app"
	"gapless.dev/gapless/internal/cli"
	"gapless.dev/gapless/internal/cli/shell"
)

// A block is a fenced piece of a page.
type block struct {
	page, language, text string
}

// TestDocs_GoBlocksStandInCompiledFiles: the lines of a Go block stand one after the other, at any depth, in one Go file of the project.
func TestDocs_GoBlocksStandInCompiledFiles(t *testing.T) {
	sources := map[string][]string{}
	for _, file := range files(t, ".go") {
		if !strings.Contains(file, "testdata"+string(filepath.Separator)) {
			sources[file] = lines(read(t, file))
		}
	}
	for _, b := range blocks(t, "go") {
		found := false
		for _, source := range sources {
			if stands(lines(b.text), source) {
				found = true
				break
			}
		}
		if !found {
			t.Errorf("%s: this block stands in no Go file, so nothing compiles it:\n%s", b.page, b.text)
		}
	}
}

// TestDocs_AppFilesParse: each YAML block that is an app file is a right one.
func TestDocs_AppFilesParse(t *testing.T) {
	seen := 0
	for _, b := range blocks(t, "yaml") {
		if !strings.HasPrefix(b.text, "name:") && !strings.HasPrefix(b.text, "apps:") {
			continue
		}
		seen++
		if _, err := app.Parse(b.page, []byte(b.text)); err != nil {
			t.Errorf("%s: %v\n%s", b.page, err, b.text)
		}
	}
	t.Logf("%d app files in the docs", seen)
}

// TestDocs_RolloutsAreRight: each YAML block that is a Rollout has only fields that there are.
func TestDocs_RolloutsAreRight(t *testing.T) {
	for _, b := range blocks(t, "yaml") {
		if !strings.HasPrefix(b.text, "apiVersion: gapless.dev/") {
			continue
		}
		var r v1alpha1.Rollout
		if err := yaml.UnmarshalStrict([]byte(b.text), &r); err != nil || r.Kind != "Rollout" || r.Name == "" {
			t.Errorf("%s: %v\n%s", b.page, err, b.text)
		}
	}
}

// TestDocs_ACanaryWithMetricsTakesFewLines counts what a user writes for it, as the guide of the first hour shows it: beside a Deployment that is there
// already, and for a new service.
func TestDocs_ACanaryWithMetricsTakesFewLines(t *testing.T) {
	most := map[string]int{"apiVersion:": 10, "name:": 15}
	for _, b := range blocks(t, "yaml") {
		begin := strings.Fields(b.text)[0]
		if b.page != "docs/guide/first-hour.md" || most[begin] == 0 {
			continue
		}
		if n := strings.Count(b.text, "\n"); n > most[begin] {
			t.Errorf("%s: %d lines, and at most %d is what we promise:\n%s", b.page, n, most[begin], b.text)
		} else {
			t.Logf("%d lines", n)
		}
		for _, has := range []string{"canary:", "prometheus:", "bad:", "total:"} {
			if !strings.Contains(b.text, has) {
				t.Errorf("%s: this is no canary with metrics, without %s\n%s", b.page, has, b.text)
			}
		}
		for line := range strings.Lines(b.text) {
			if len(line) > 100 {
				t.Errorf("%s: a line of %d signs is two: %s", b.page, len(line), line)
			}
		}
		delete(most, begin)
	}
	if len(most) > 0 {
		t.Errorf("the guide shows none that begins with %v", most)
	}
}

var command = regexp.MustCompile(`(?m)^\s*(?:\$ )?gapless ([a-z]+)(.*)$`)

// TestDocs_CommandsExist: each gapless command that a page shows exists, with the flags that it shows.
func TestDocs_CommandsExist(t *testing.T) {
	root := cli.New(&shell.Shell{Getenv: func(string) string { return "" }})
	for _, b := range blocks(t, "sh", "") {
		for _, m := range command.FindAllStringSubmatch(b.text, -1) {
			cmd, _, err := root.Find([]string{m[1]})
			if err != nil || cmd == root {
				t.Errorf("%s: there is no command %q", b.page, "gapless "+m[1])
				continue
			}
			for _, word := range strings.Fields(strings.Split(m[2], "#")[0]) {
				if word == "--" || strings.HasPrefix(word, "|") {
					break
				}
				name, isFlag := strings.CutPrefix(word, "--")
				name, _, _ = strings.Cut(strings.TrimRight(name, "]"), "=")
				if isFlag && cmd.Flags().Lookup(name) == nil && cmd.InheritedFlags().Lookup(name) == nil {
					t.Errorf("%s: gapless %s has no flag --%s", b.page, m[1], name)
				}
			}
		}
	}
}

// TestDocs_LinksLeadSomewhere: each relative link of a page leads to a file or folder.
func TestDocs_LinksLeadSomewhere(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`)
	for _, page := range files(t, ".md") {
		for _, m := range link.FindAllStringSubmatch(read(t, page), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(page), m[1])); err != nil {
				t.Errorf("%s: the link to %s leads nowhere", page, m[1])
			}
		}
	}
}

// blocks returns the fenced blocks of all pages in the given languages; "" is a block without one.
func blocks(t *testing.T, languages ...string) []block {
	t.Helper()
	fence := regexp.MustCompile("(?ms)^```([a-z]*)\n(.*?)^```$")
	var all []block
	for _, page := range files(t, ".md") {
		for _, m := range fence.FindAllStringSubmatch(read(t, page), -1) {
			if slices.Contains(languages, m[1]) {
				all = append(all, block{page, m[1], m[2]})
			}
		}
	}
	return all
}

func files(t *testing.T, ending string) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (name == ".git" || name == "bin" || name == "node_modules") {
			return filepath.SkipDir
		}
		if strings.HasSuffix(name, ending) {
			found = append(found, name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// lines returns the lines that say something, without what surrounds them or comments on them.
func lines(text string) []string {
	var kept []string
	for line := range strings.Lines(text) {
		code, _, _ := strings.Cut(line, "//")
		if code = strings.Join(strings.Fields(code), " "); code != "" {
			kept = append(kept, code)
		}
	}
	return kept
}

// stands tells whether all lines wanted stand somewhere without others between them.
func stands(want, have []string) bool {
	for i := range len(have) - len(want) + 1 {
		if slices.Equal(have[i:i+len(want)], want) {
			return true
		}
	}
	return false
}
