// Package schema is the command gapless schema.
package schema

import (
	"github.com/spf13/cobra"

	"gapless.dev/gapless/internal/app"
	"gapless.dev/gapless/internal/cli/shell"
)

const long = `Print the JSON Schema of the app file, gapless.yaml. Editors complete and check by it; the parser goes by the same source.

Editors that speak to yaml-language-server take it from the file's first line:
  # yaml-language-server: $schema=gapless.schema.json`

// New returns the command.
func New(sh *shell.Shell) *cobra.Command {
	return &cobra.Command{
		Use:     "schema",
		Short:   "Print the JSON Schema of the app file",
		Long:    long,
		Example: "  gapless schema > gapless.schema.json",
		Args:    shell.Args(0, 0, "no arguments"),
		RunE: func(*cobra.Command, []string) error {
			_, err := sh.Out.Write(app.Schema())
			return err
		},
	}
}
