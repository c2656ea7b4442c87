// Package shell is what every command stands on: where it reads and writes, whether a person looks at it, and how it reaches the
// Gapless that runs.
package shell

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"gapless.dev/gapless/internal/cli/exit"
	"gapless.dev/gapless/internal/cli/paint"
	"gapless.dev/gapless/internal/cli/target"
	"gapless.dev/gapless/internal/kube/verbs"
	evidence "gapless.dev/gapless/internal/report"
)

// A Shell is given to each command.
type Shell struct {
	In       io.Reader
	Out, Err io.Writer
	// Getenv reads the environment.
	Getenv func(string) string
	// Version of this program.
	Version string
	// Where says which apps are meant: those of this machine, or of a cluster.
	Where target.Flags
}

// Socket is where the running Gapless is spoken to: --socket, else GAPLESS_SOCKET, else a file that belongs to the user.
func (s *Shell) Socket() string {
	if s.Where.Socket != "" {
		return s.Where.Socket
	}
	if name := s.Getenv("GAPLESS_SOCKET"); name != "" {
		return name
	}
	if dir := s.Getenv("XDG_RUNTIME_DIR"); dir != "" {
		return filepath.Join(dir, "gapless", "gapless.sock")
	}
	if home := s.Getenv("HOME"); home != "" {
		return filepath.Join(home, ".gapless", "gapless.sock")
	}
	return filepath.Join(os.TempDir(), "gapless-"+strconv.Itoa(os.Getuid()), "gapless.sock")
}

// Target is where the apps are that a command speaks of. A person is told which that is; for a machine it stands in what is printed.
func (s *Shell) Target(ctx context.Context, o Output) (target.Target, error) {
	t, err := s.Where.Choose(ctx, s.Socket(), s.User())
	if err == nil && !o.JSON() {
		s.Warn("%s", s.dim("on "+t.Place().String()))
	}
	return t, err
}

// Cluster is the namespace of the cluster that a command speaks of which is for clusters only.
func (s *Shell) Cluster(o Output) (*verbs.Cluster, error) {
	c, err := verbs.Connect(s.Where.Cluster)
	if err != nil {
		return nil, target.ClusterFailed(err)
	}
	if !o.JSON() {
		s.Warn("%s", s.dim("on "+c.Place().String()))
	}
	return c, nil
}

func (s *Shell) dim(text string) string {
	return paint.Palette{On: widthOf(s.Err) > 0 && s.Getenv("NO_COLOR") == "" && s.Getenv("TERM") != "dumb"}.Dim(text)
}

// Terminal is the width of the terminal that Out is; 0 where it is none.
func (s *Shell) Terminal() (width int) { return widthOf(s.Out) }

func widthOf(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return 0
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil || width <= 0 {
		return 80
	}
	return width
}

// Interactive tells whether a person sits in front of both ends.
func (s *Shell) Interactive() bool {
	in, ok := s.In.(*os.File)
	return ok && term.IsTerminal(int(in.Fd())) && s.Terminal() > 0 && s.Getenv("TERM") != "dumb"
}

// Paint colours what a person sees on a terminal, unless NO_COLOR is set.
func (s *Shell) Paint() paint.Palette {
	return paint.Palette{On: s.Terminal() > 0 && s.Getenv("NO_COLOR") == "" && s.Getenv("TERM") != "dumb"}
}

// User is the name of whoever types.
func (s *Shell) User() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return "uid " + strconv.Itoa(os.Getuid())
}

// Args checks the number of arguments; usage is how they are written, such as "NAME VERSION".
func Args(least, most int, usage string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) >= least && len(args) <= most {
			return nil
		}
		return exit.Usagef("%s takes %s, and was given %q: write %s %s", cmd.Name(), usage, strings.Join(args, " "), cmd.CommandPath(), usage)
	}
}

// Output is the flag -o.
type Output struct{ Format string }

// Register adds the flag; the first of the formats is the default.
func (o *Output) Register(cmd *cobra.Command, formats ...string) {
	usage := "what to print: " + formats[0]
	for i, f := range formats[1:] {
		if i == len(formats)-2 {
			usage += " or " + f
			continue
		}
		usage += ", " + f
	}
	cmd.Flags().StringVarP(&o.Format, "output", "o", formats[0], usage)
	before := cmd.PreRunE
	cmd.PreRunE = func(cmd *cobra.Command, args []string) error {
		for _, f := range formats {
			if o.Format == f {
				if before != nil {
					return before(cmd, args)
				}
				return nil
			}
		}
		return exit.Usagef("--output: %q is not known: give %s", o.Format, usage[len("what to print: "):])
	}
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(toCompletions(formats), cobra.ShellCompDirectiveNoFileComp))
}

func toCompletions(words []string) []cobra.Completion {
	var all []cobra.Completion
	all = append(all, words...)
	return all
}

// JSON tells whether a machine reads.
func (o *Output) JSON() bool { return o.Format == "json" }

// Report prints one report for a machine.
func (s *Shell) Report(r evidence.Report) error { return evidence.JSON(s.Out, r) }

// Apps completes the names of the apps that run.
func (s *Shell) Apps(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	t, err := s.Where.Choose(cmd.Context(), s.Socket(), s.User())
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	names, err := t.Apps(cmd.Context())
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return toCompletions(names), cobra.ShellCompDirectiveNoFileComp
}

// Printf writes for a person. A reader that has gone away is not worth an error of its own.
func (s *Shell) Printf(format string, args ...any) { fmt.Fprintf(s.Out, format, args...) }

// JSON writes a value to standard output, indented.
func (s *Shell) JSON(v any) error {
	enc := json.NewEncoder(s.Out)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// Warn writes a line that is not part of the output.
func (s *Shell) Warn(format string, args ...any) { fmt.Fprintf(s.Err, format+"\n", args...) }

// Quiet is err, but nil if the person or the system just asked the command to end.
func Quiet(err error, done error) error {
	if err != nil && done != nil && errors.Is(err, done) {
		return nil
	}
	return err
}
