package world

import (
	"bytes"
	"os"

	"gapless.dev/gapless/internal/cli/shell"
	"github.com/spf13/cobra"
)

// Gapless runs a command line of gapless.
func (w *World) Gapless(command func(*shell.Shell) *cobra.Command, args ...string) (string, error) {
	var out, said bytes.Buffer
	cmd := command(&shell.Shell{In: &bytes.Buffer{}, Out: &out, Err: &said, Getenv: os.Getenv})
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetArgs(append(args, "-n", w.Namespace))
	err := cmd.ExecuteContext(w.Context())
	return out.String() + said.String(), err
}
