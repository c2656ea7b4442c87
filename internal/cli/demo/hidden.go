package demo

import (
	"os"
	"time"

	"github.com/spf13/cobra"

	"gapless.dev/gapless/examples/api-status/apistatus"
	"gapless.dev/gapless/internal/cli/exit"
	"gapless.dev/gapless/internal/cli/shell"
)

// serviceCommand is the hidden command by which this program is the demo's service, so that the demo needs nothing but itself.
const serviceCommand = "demo-service"

// Hidden are the commands that the demo runs itself by.
func Hidden(*shell.Shell) []*cobra.Command {
	return []*cobra.Command{{
		Use:                serviceCommand,
		Short:              "The demo's service, examples/api-status",
		Hidden:             true,
		DisableFlagParsing: true,
		RunE: func(_ *cobra.Command, args []string) error {
			go endWithParent()
			if code := apistatus.Main(oldVersion, args); code != 0 {
				return exit.Silently(code)
			}
			return nil
		},
	}}
}

// endWithParent ends the process when the demo is gone, also if that was killed: nothing of a demo stays behind.
func endWithParent() {
	parent := os.Getppid()
	for os.Getppid() == parent {
		time.Sleep(200 * time.Millisecond)
	}
	os.Exit(0)
}
