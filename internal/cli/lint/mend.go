package lint

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/diff"

	"gapless.dev/gapless/internal/cli/exit"
	"gapless.dev/gapless/internal/cli/shell"
	"gapless.dev/gapless/internal/lint"
	"gapless.dev/gapless/internal/lint/manifest"
	"gapless.dev/gapless/internal/lint/rules"
)

// mend shows what would change and writes it if that is wanted. It returns the files as they are then.
func mend(sh *shell.Shell, o *Options, files []*manifest.File, answers lint.Answers, checked *lint.CheckReport) ([]*manifest.File, error) {
	person := bufio.NewReader(sh.In)
	filter := len(files) == 1 && files[0].Name == stdinName
	if sh.Interactive() && !filter {
		ask(sh, person, files, answers, checked)
	}
	fixed, refused := lint.Fix(rules.All, files, answers, checked)
	for _, err := range refused {
		sh.Warn("%v", err)
	}
	if filter {
		_, err := fmt.Fprintf(sh.Err, "%s", diff.Diff(stdinName, fixed[0].Before, "mended", fixed[0].After))
		if err == nil {
			_, err = sh.Out.Write(fixed[0].After)
		}
		return []*manifest.File{parsed(fixed[0])}, err
	}
	var changed []int
	live := 0
	for i, f := range fixed {
		switch {
		case !f.Changed() || f.Name == stdinName:
			continue
		case files[i].Live:
			live++
		default:
			changed = append(changed, i)
		}
		show(sh, o, f)
	}
	if live > 0 {
		sh.Warn("nothing is written to a cluster: mend it where these objects come from, and apply them")
	}
	switch {
	case len(changed) == 0 && live > 0:
		return files, nil
	case len(changed) == 0:
		sh.Warn("nothing to mend without a value or a decision of yours")
		return files, nil
	case !o.Yes && !sh.Interactive():
		sh.Warn("nothing was written: add --yes")
		return files, nil
	case !o.Yes && !agreed(sh, person, len(changed)):
		sh.Warn("nothing was written")
		return files, nil
	}
	files = slices.Clone(files) // what is not written stays as it is, and so do its findings
	for _, i := range changed {
		if err := write(fixed[i]); err != nil {
			return nil, exit.With(exit.Failed, err)
		}
		files[i] = parsed(fixed[i])
	}
	return files, nil
}

func parsed(f lint.Fixed) *manifest.File {
	file, _ := manifest.Parse(f.Name, f.After) // every edit was proved to be readable
	return file
}

// show prints the diff: on standard output for a person, beside it where that holds JSON for a machine.
func show(sh *shell.Shell, o *Options, f lint.Fixed) {
	out, paint := sh.Out, sh.Paint()
	if o.Output.Format != "text" {
		out = sh.Err
	}
	for line := range strings.Lines(string(diff.Diff("a/"+filepath.ToSlash(f.Name), f.Before, "b/"+filepath.ToSlash(f.Name), f.After))) {
		text := strings.TrimSuffix(line, "\n")
		switch {
		case strings.HasPrefix(text, "diff "):
			continue
		case strings.HasPrefix(text, "+"):
			text = paint.Good(text)
		case strings.HasPrefix(text, "-"):
			text = paint.Bad(text)
		}
		fmt.Fprintln(out, text)
	}
	fmt.Fprintln(out)
}

// ask puts the questions that are left to the person at the terminal. An empty answer leaves the finding.
func ask(sh *shell.Shell, person *bufio.Reader, files []*manifest.File, answers lint.Answers, checked *lint.CheckReport) {
	asked := map[string]bool{}
	for _, f := range lint.Run(rules.All, lint.NewWorld(files, answers, checked)) {
		if f.Mend != lint.Ask || f.Ignored != "" || asked[f.Object+f.Ask.Key] {
			continue
		}
		asked[f.Object+f.Ask.Key] = true
		sh.Printf("%s %s %s: %s\n  %s (Enter: leave it): ", f.Place(), f.Rule, f.Object, f.What, f.Ask.Text)
		line, err := person.ReadString('\n')
		if text := strings.TrimSpace(line); text != "" {
			if wrong := f.Ask.Check(text); wrong != nil {
				sh.Printf("  left as it is: %v\n", wrong)
			} else {
				answers[f.Object+":"+f.Ask.Key] = text
			}
		}
		if err != nil {
			return
		}
	}
}

func agreed(sh *shell.Shell, person *bufio.Reader, n int) bool {
	sh.Printf("Write %d file(s)? [y/N] ", n)
	line, err := person.ReadString('\n')
	if err != nil && err != io.EOF {
		return false
	}
	word := strings.ToLower(strings.TrimSpace(line))
	return word == "y" || word == "yes"
}

// write puts the new text in the place of the old, at once and with the old rights, unless somebody has changed the file meanwhile.
func write(f lint.Fixed) error {
	name, err := filepath.EvalSymlinks(f.Name)
	if err != nil {
		return err
	}
	info, err := os.Stat(name)
	if err != nil {
		return err
	}
	now, err := readFile(name)
	if err != nil {
		return err
	}
	if !bytes.Equal(now, f.Before) {
		return fmt.Errorf("%s has changed since it was read: run it again", f.Name)
	}
	tmp, err := os.CreateTemp(filepath.Dir(name), ".gapless-lint-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) // gone already if all went well
	_, err = tmp.Write(f.After)
	if err == nil {
		err = tmp.Chmod(info.Mode().Perm())
	}
	if e := tmp.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(tmp.Name(), name)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", f.Name, err)
	}
	return nil
}
