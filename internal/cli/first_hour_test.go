package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"gapless.dev/gapless/internal/report"
	"gapless.dev/gapless/test/typed"
)

// TestFirstHour_ATagGoesLive types the guide until the first tag is live. Without its gate, whose evidence takes its time: the whole page is typed by
// the stories in test/e2e/follow.
func TestFirstHour_ATagGoesLive(t *testing.T) {
	for _, program := range []string{"git", "go", "curl"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip(err)
		}
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := t.TempDir()
	if err := os.Symlink(self, filepath.Join(path, "gapless")); err != nil {
		t.Fatal(err)
	}
	blocks, err := typed.Blocks("../../docs/guide/first-hour.md")
	if err != nil {
		t.Fatal(err)
	}
	h := &typed.FirstHour{T: t, Until: "A bad one goes back", Change: strings.NewReplacer("gates: [{probe: {path: /, rate: 50, slow: 1s}}]\n", "", "pause: 5s", "pause: 500ms")}
	outcomes := h.Type(blocks, "PATH="+path+":"+os.Getenv("PATH"))
	if len(outcomes) != 1 || outcomes["1.1.0"] != report.Promoted {
		t.Errorf("the tags came to %v", outcomes)
	}
}
