// Package k07 is the rule about process 1: the signal to stop reaches the service.
package k07

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"gapless.dev/gapless/internal/lint"
	"gapless.dev/gapless/internal/lint/manifest"
)

// Rule is K7.
var Rule = lint.Rule{
	ID:    "K7",
	Title: "the service itself, or an init, is process 1, not a shell",
	Why: "SIGTERM goes to process 1 only. A shell does not pass it on and does not end by it: the service never hears that it should stop, " +
		"and is killed with everything in flight when the grace period is over. Some shells replace themselves by a single command; no standard says so.",
	Source: "https://docs.docker.com/reference/dockerfile/#shell-form-entrypoint-example",
	Fix:    lint.Auto,
	Limits: "The image's own ENTRYPOINT, CMD and STOPSIGNAL cannot be seen in a manifest.",
	Unseen: unseen,
	Check:  check,
}

func check(w *lint.World) []lint.Finding {
	var all []lint.Finding
	for _, one := range w.Workloads {
		for _, c := range slices.Concat(one.Containers, one.Sidecars) {
			all = append(all, judge(c)...)
			if signal := c.Get("lifecycle", "stopSignal"); signal.String() == "SIGKILL" || signal.String() == "SIGSTOP" {
				all = append(all, lint.Finding{
					Severity: lint.Error,
					What:     fmt.Sprintf("container %s is stopped by %s, which no process can hear", c.Name, signal),
					Fix:      "leave stopSignal out: SIGTERM is the default",
				}.At(signal))
			}
		}
	}
	return all
}

func judge(c lint.Container) []lint.Finding {
	words := slices.Concat(c.Get("command").Items(), c.Get("args").Items())
	var command []string
	for _, w := range words {
		command = append(command, w.String())
	}
	script, at, shell := lint.Shell(command)
	if !shell {
		return nil
	}
	last, single := lastCommand(script)
	if strings.HasPrefix(last, "exec ") || strings.Contains(script, "trap ") {
		return nil
	}
	f := lint.Finding{
		Severity: lint.Error,
		What:     fmt.Sprintf("a shell is process 1 of container %s and stays it: the last command is not run by exec", c.Name),
		Fix:      "begin the last command of the script with exec, or name the program in command without a shell",
	}
	if single {
		f.Severity = lint.Warning
		f.What = fmt.Sprintf("a shell is process 1 of container %s", c.Name)
		f.Fix = "exec " + script
		f.Edits = []manifest.Edit{words[at].SetString("exec " + script)}
	}
	return []lint.Finding{f.At(words[at])}
}

var (
	separators = regexp.MustCompile(`\n|;|&&|\|\|`)
	// plain is one command without assignments, redirections of descriptors, pipes or anything else that exec would change.
	plain    = regexp.MustCompile(`^[\w./-]+(?:\s+[^;&|\n<>()` + "`" + `]+)?$`)
	builtins = []string{"cd", "export", "set", "source", ".", ":", "if", "while", "for", "until", "case", "eval", "wait", "read", "ulimit", "umask", "exit", "function", "time", "true", "false", "test", "echo", "printf"}
)

// lastCommand is the last command of a script, and whether it is the only one and may simply be given to exec.
func lastCommand(script string) (last string, single bool) {
	trimmed := strings.TrimSpace(script)
	parts := separators.Split(strings.TrimRight(trimmed, "; \n\t"), -1)
	last = strings.TrimSpace(parts[len(parts)-1])
	word, _, _ := strings.Cut(last, " ")
	single = len(parts) == 1 && script == trimmed && plain.MatchString(script) && !slices.Contains(builtins, word)
	return last, single
}

func unseen(w *lint.World) string {
	var names []string
	for _, one := range w.Workloads {
		for _, c := range one.Containers {
			if !c.Get("command").Exists() && c.Companion == "" {
				names = append(names, one.ID()+" "+c.Name)
			}
		}
	}
	switch {
	case len(names) == 0:
		return ""
	case len(names) > 3:
		names = append(names[:3], fmt.Sprintf("%d more", len(names)-3))
	}
	return "what the image starts as process 1: " + strings.Join(names, ", ")
}
