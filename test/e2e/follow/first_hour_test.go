package follow

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/internal/report"
	"gapless.dev/gapless/internal/rollout"
	"gapless.dev/gapless/test/e2e/world"
	"gapless.dev/gapless/test/typed"
	"gapless.dev/kit/load"
)

const guide = "../../../docs/guide/first-hour.md"

func page(t *testing.T) []typed.Block {
	t.Helper()
	blocks, err := typed.Blocks(guide)
	world.Check(t, err)
	return blocks
}

// firstHourOnOneMachine types the guide's first part whole.
func firstHourOnOneMachine(t *testing.T) {
	h := &typed.FirstHour{T: t, Until: typed.OnACluster}
	outcomes := h.Type(page(t))
	for version, want := range map[string]report.Outcome{"1.1.0": report.Promoted, "1.2.0": report.Aborted, "1.2.1": report.Promoted} {
		if outcomes[version] != want {
			t.Errorf("%s is %s, want %s", version, outcomes[version], want)
		}
	}
}

// firstHourOnACluster types what makes the repository, and the guide's second part whole. Ours are the controller, which is installed by the stories
// as the page says, and where the git server and the registry are.
func firstHourOnACluster(t *testing.T, host *host) {
	w := world.New(t)
	term := typed.Open(t, t.TempDir(), typed.Reader("KUBECONFIG="+kubeconfig(w), "GAPLESS_SOCKET="+filepath.Join(t.TempDir(), "none")))
	repository, image := host.public("first-hour")
	ours := strings.NewReplacer(
		"https://git.example.org/shop/demo-api.git", repository, "registry.example.org/shop/demo-api", image,
		"every: 10s}", "every: 1s, insecure: true}",
	)
	blocks := page(t)
	there := slices.IndexFunc(blocks, func(b typed.Block) bool { return b.Heading == typed.OnACluster })
	for _, b := range blocks[:there] {
		if strings.Contains(b.Text, "git ") {
			term.Types(b.Text)
		}
	}
	for _, b := range blocks[there:] {
		if b.Begins("gapless install") {
			if b.Text != installation(t) {
				t.Errorf("the scenes of the examples install by something else than\n%s", b.Text)
			}
			continue
		}
		text := ours.Replace(b.Text)
		switch version := b.Tag(); version {
		case "":
			out := term.Types(text)
			if !strings.Contains(text, "gapless report") {
				continue
			}
			// The last word of a revision is written down a moment after it is said.
			w.Eventually("the report of the bad one", 30*time.Second, func() error {
				if !strings.Contains(out, "1.4.0 went back: gate probe") || !strings.Contains(out, "from tag v1.4.0") {
					said := out
					out = term.Types(text)
					return errors.New(said)
				}
				return nil
			})
		case "1.4.0":
			term.Types(text)
			w.Until("1.4.0 is taken back", func(r *v1alpha1.Rollout) bool {
				c := meta.FindStatusCondition(r.Status.Conditions, v1alpha1.ConditionAborted)
				return c != nil && c.Status == metav1.ConditionTrue && r.Status.Phase == string(rollout.Idle) && r.Status.Stable.Version == "1.3.0"
			})
		default:
			counted := w.Probing(load.Options{Rate: 100, New: 1, Timeout: 10 * time.Second}, func() {
				term.Types(text)
				w.Rests(version+" is stable", func(r *v1alpha1.Rollout) bool { return r.Status.Stable != nil && r.Status.Stable.Version == version })
			})
			w.NothingLost(counted)
			if counted.Versions[version] == 0 {
				t.Errorf("nothing was answered by %s: %v", version, counted.Versions)
			}
		}
	}
	if got := w.Deployment().Spec.Template.Spec.Containers[0].Image; !strings.HasPrefix(got, image+":1.4.1@sha256:") {
		t.Errorf("at the end it runs %s", got)
	}
}

// installation is what the scenes of the examples type to install Gapless.
func installation(t *testing.T) string {
	t.Helper()
	blocks, err := typed.Blocks("../../../examples/kubernetes/README.md")
	world.Check(t, err)
	return blocks[0].Text
}

// kubeconfig is a file in which the story's namespace is the one that is meant.
func kubeconfig(w *world.World) string {
	w.Helper()
	config, err := clientcmd.LoadFromFile(os.Getenv("KUBECONFIG"))
	world.Check(w.T, err)
	config.Contexts[config.CurrentContext].Namespace = w.Namespace
	file := filepath.Join(w.TempDir(), "kubeconfig")
	world.Check(w.T, clientcmd.WriteToFile(*config, file))
	return file
}
