package cli

import (
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"gapless.dev/gapless/internal/cli/shell"
)

var update = flag.Bool("update", false, "write the reference page anew")

const referencePage = "../../docs/reference/commands.md"

func TestReference_TellsWhatTheHelpTells(t *testing.T) {
	got := reference()
	if *update {
		if err := os.WriteFile(referencePage, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(referencePage)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s is not what the help says; make generate writes it (-want +got):\n%s", referencePage, d)
	}
}

func TestHelp_EveryCommandTellsWhatItIsFor(t *testing.T) {
	for _, c := range root().Commands() {
		if c.Hidden || c.Name() == "help" || c.Name() == "completion" {
			continue
		}
		if c.Short == "" || c.Long == "" || c.GroupID == "" || c.Args == nil {
			t.Errorf("%s: short %q, long %d bytes, group %q, args checked: %v", c.Name(), c.Short, len(c.Long), c.GroupID, c.Args != nil)
		}
	}
}

func root() *cobra.Command {
	return New(&shell.Shell{In: strings.NewReader(""), Out: io.Discard, Err: io.Discard, Getenv: func(string) string { return "" }})
}

// reference is the page: every command as its own help tells it.
func reference() string {
	r := root()
	var b strings.Builder
	b.WriteString("# Commands\n\n<!-- Written by make generate from the commands' own help. -->\n\n")
	fmt.Fprintf(&b, "%s\n```\n%s```\n", exitCodes, r.PersistentFlags().FlagUsages())
	for _, g := range groups {
		fmt.Fprintf(&b, "\n## %s\n", g.Title)
		for _, c := range r.Commands() {
			if c.GroupID != g.ID || c.Hidden {
				continue
			}
			fmt.Fprintf(&b, "\n### gapless %s\n\n%s.\n\n%s\n", c.Use, c.Short, c.Long)
			if c.Example != "" {
				fmt.Fprintf(&b, "\n```\n%s\n```\n", c.Example)
			}
			if flags := c.LocalNonPersistentFlags().FlagUsages(); flags != "" {
				fmt.Fprintf(&b, "\n```\n%s```\n", flags)
			}
		}
	}
	return b.String()
}
