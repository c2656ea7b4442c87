package lint

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gapless.dev/gapless/internal/cli/shell"
	"gapless.dev/gapless/internal/lint"
	"gapless.dev/gapless/internal/lint/manifest"
	"gapless.dev/gapless/internal/lint/rules"
)

// What stands in a cluster is not written: its findings stay when a file beside it is.
func TestMend_KeepsWhatStandsInACluster(t *testing.T) {
	const text = "apiVersion: v1\nkind: Pod\nmetadata: {name: api}\nspec:\n  containers: [{name: app, command: [sh, -c, ./server]}]\n"
	name := filepath.Join(t.TempDir(), "other.yaml")
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	stands, _ := manifest.Parse("deploy/api", []byte(text))
	stands.Live = true
	beside, _ := manifest.Parse(name, []byte(text))
	sh := &shell.Shell{In: strings.NewReader(""), Out: io.Discard, Err: io.Discard, Getenv: func(string) string { return "" }}
	files, err := mend(sh, &Options{Fix: true, Yes: true}, []*manifest.File{stands, beside}, lint.Answers{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	left := lint.Run(rules.All, lint.NewWorld(files, lint.Answers{}, nil))
	if len(left) != 1 || left[0].Place() != "deploy/api" {
		t.Errorf("left: %+v", left)
	}
}
