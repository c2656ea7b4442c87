// Package demo is the command gapless demo.
package demo

import (
	"github.com/spf13/cobra"

	"gapless.dev/gapless/internal/cli/shell"
)

// New returns the command.
func New(sh *shell.Shell) *cobra.Command { return &cobra.Command{Use: "demo", Short: "Show it"} }

// Hidden are commands that the demo runs itself by.
func Hidden(sh *shell.Shell) []*cobra.Command { return nil }
