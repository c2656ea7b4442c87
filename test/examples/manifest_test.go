package examples

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"gapless.dev/gapless/internal/cli/lint"
	"gapless.dev/gapless/internal/cli/shell"
)

// Every K rule holds for every manifest, also those that only inform.
func TestManifests_NothingIsFound(t *testing.T) {
	files, err := filepath.Glob("../../examples/*/kubernetes.yaml")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d manifests, %v", len(files), err)
	}
	for _, file := range files {
		var out bytes.Buffer
		cmd := lint.New(&shell.Shell{In: strings.NewReader(""), Out: &out, Err: &out, Getenv: func(string) string { return "" }})
		cmd.SetArgs([]string{"--severity", "info", file})
		cmd.SilenceErrors, cmd.SilenceUsage = true, true
		if err := cmd.ExecuteContext(t.Context()); err != nil || !strings.Contains(out.String(), "nothing found") {
			t.Errorf("%s: %v\n%s", file, err, out.String())
		}
	}
}

var (
	words   = regexp.MustCompile(`(?m)^(ENTRYPOINT|CMD) (.*)$`)
	copied  = regexp.MustCompile(`(?m)^COPY (examples/\S+|\./examples/\S+)`)
	goBuild = regexp.MustCompile(`(?m)go build .* (\./\S+)$`)
)

// Dockerfiles cannot be built here. What they copy and build is there, and process 1 is no shell.
func TestDockerfiles_NameWhatIsThere(t *testing.T) {
	files, err := filepath.Glob("../../examples/*/Dockerfile")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d Dockerfiles, %v", len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range words.FindAllStringSubmatch(string(text), -1) {
			if !strings.HasPrefix(m[2], "[") {
				t.Errorf("%s: %s is in the shell form", file, m[1])
			}
		}
		for _, m := range append(copied.FindAllStringSubmatch(string(text), -1), goBuild.FindAllStringSubmatch(string(text), -1)...) {
			if _, err := os.Stat(filepath.Join("../..", m[1])); err != nil {
				t.Errorf("%s: %v", file, err)
			}
		}
	}
}

// Each example says what it is.
func TestReadmes_AreThere(t *testing.T) {
	folders, _ := filepath.Glob("../../examples/*")
	for _, folder := range folders {
		if info, err := os.Stat(folder); err != nil || !info.IsDir() || filepath.Base(folder) == "local" {
			continue
		}
		if _, err := os.Stat(filepath.Join(folder, "README.md")); err != nil {
			t.Error(err)
		}
	}
}
