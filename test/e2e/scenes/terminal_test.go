package scenes

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gapless.dev/gapless/test/e2e/world"
)

// A terminal is where somebody types, in a folder and with a kubeconfig whose namespace is the story's.
type terminal struct {
	*world.World
	folder string
	env    []string
}

func newTerminal(w *world.World, folder string) *terminal {
	w.Helper()
	config, err := clientcmd.LoadFromFile(os.Getenv("KUBECONFIG"))
	world.Check(w.T, err)
	config.Contexts[config.CurrentContext].Namespace = w.Namespace
	file := filepath.Join(w.TempDir(), "kubeconfig")
	world.Check(w.T, clientcmd.WriteToFile(*config, file))
	return &terminal{w, folder, append(os.Environ(), "KUBECONFIG="+file, "GAPLESS_SOCKET="+filepath.Join(w.TempDir(), "none"))}
}

func (t *terminal) command(ctx context.Context, text string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", text)
	cmd.Dir, cmd.Env = t.folder, t.env
	return cmd
}

// types runs a block as it stands, and returns what it printed.
func (t *terminal) types(text string) string {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), 4*time.Minute)
	defer stop()
	out, err := t.command(ctx, text).CombinedOutput()
	t.Logf("$ %s\n%s", strings.TrimSpace(text), out)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return string(out)
}

// A counted is what a probe said at its end.
type counted struct {
	requests, lost int
	gap            string
}

var (
	figure = func(name string) *regexp.Regexp { return regexp.MustCompile(`(?m)^  ` + name + ` +([0-9,]+)`) }
	gap    = regexp.MustCompile(`(?m)^  longest gap +(.*)$`)
)

// probe starts the probe of a block in the second terminal, and returns when it counts. The function that it returns types Ctrl-C.
func (t *terminal) probe(text string) func() counted {
	t.Helper()
	cmd := t.command(context.WithoutCancel(t.Context()), "exec "+text)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	world.Check(t.T, cmd.Start())
	t.Eventually("the probe runs", time.Minute, func() error {
		var pods corev1.PodList
		if err := t.List(t.Context(), &pods, client.InNamespace(t.Namespace), client.HasLabels{"gapless.dev/probe"}); err != nil {
			return err
		}
		for _, p := range pods.Items {
			if p.Status.Phase == corev1.PodRunning && p.DeletionTimestamp == nil {
				return nil
			}
		}
		return fmt.Errorf("%d pods: %s", len(pods.Items), errs.String())
	})
	time.Sleep(2 * time.Second)
	return func() counted {
		t.Helper()
		time.Sleep(2 * time.Second)
		world.Check(t.T, cmd.Process.Signal(syscall.SIGINT))
		_ = cmd.Wait() // 1 where something was lost
		t.Logf("$ %s\n%s%s", strings.TrimSpace(text), errs.String(), out.String())
		c := counted{t.number(out.String(), "requests"), t.number(out.String(), "lost"), ""}
		if m := gap.FindStringSubmatch(out.String()); m != nil {
			c.gap = m[1]
		}
		return c
	}
}

func (t *terminal) number(text, name string) int {
	t.Helper()
	m := figure(name).FindStringSubmatch(text)
	if m == nil {
		t.Fatalf("the probe says nothing of %s: %s", name, text)
	}
	n, err := strconv.Atoi(strings.ReplaceAll(m[1], ",", ""))
	world.Check(t.T, err)
	return n
}
