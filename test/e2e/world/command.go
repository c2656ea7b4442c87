package world

import (
	"bytes"
	"os"

	"github.com/spf13/cobra"

	"gapless.dev/gapless/internal/cli/shell"
	"gapless.dev/gapless/internal/report"
)

// Gapless runs a command line of gapless.
func (w *World) Gapless(command func(*shell.Shell) *cobra.Command, args ...string) (string, error) {
	var out, said bytes.Buffer
	sh := &shell.Shell{In: &bytes.Buffer{}, Out: &out, Err: &said, Getenv: os.Getenv}
	sh.Where.On = report.Kube
	root, cmd := &cobra.Command{Use: "gapless", SilenceErrors: true, SilenceUsage: true}, command(sh)
	sh.Where.Register(root.PersistentFlags())
	root.AddCommand(cmd)
	root.SetArgs(append(append([]string{cmd.Name()}, args...), "-n", w.Namespace))
	err := root.ExecuteContext(w.Context())
	return out.String() + said.String(), err
}
