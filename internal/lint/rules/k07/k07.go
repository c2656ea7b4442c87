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

func commandOf(c lint.Container) (words []manifest.Value, command []string) {
	words = slices.Concat(c.Get("command").Items(), c.Get("args").Items())
	for _, w := range words {
		command = append(command, w.String())
	}
	return words, command
}

func judge(c lint.Container) []lint.Finding {
	words, command := commandOf(c)
	script, at, shell := lint.Shell(command)
	if !shell {
		return nil
	}
	if execs(commands(script)) || heard.MatchString(script) {
		return nil
	}
	f := lint.Finding{
		Severity: lint.Error,
		What:     fmt.Sprintf("a shell is process 1 of container %s and stays it: the last command is not run by exec", c.Name),
		Fix:      "begin the last command of the script with exec, or name the program in command without a shell",
	}
	if alone(script) {
		f.Severity = lint.Warning
		f.What = fmt.Sprintf("a shell is process 1 of container %s", c.Name)
		f.Fix = "exec " + script
		f.Edits = []manifest.Edit{words[at].SetString("exec " + script)}
	}
	return []lint.Finding{f.At(words[at])}
}

var (
	// heard is a trap that does something at SIGTERM; '' has it ignored, - brings the default back, which process 1 does not have, and EXIT
	// comes too late for that.
	heard      = regexp.MustCompile(`\btrap\s+(?:--\s+)?(?:'[^']+'|"[^"]+"|[\w.-]*\w[\w.-]*)\s+(?:\w+\s+)*(?:SIG)?(?:TERM|15)\b`)
	separators = regexp.MustCompile(`\n|;|&&|\|\|`)
	// plain is one command without assignments, redirections of descriptors, pipes or anything else that exec would change.
	plain    = regexp.MustCompile(`^[\w./-]+(?:\s+[^;&|\n<>()` + "`" + `]+)?$`)
	builtins = []string{"cd", "export", "set", "source", ".", ":", "if", "while", "for", "until", "case", "eval", "wait", "read", "ulimit", "umask", "exit", "function", "time", "true", "false", "test", "echo", "printf"}
)

// alone reports whether a script is one command that may simply be given to exec.
func alone(script string) bool {
	trimmed := strings.TrimSpace(script)
	word, _, _ := strings.Cut(trimmed, " ")
	single := !separators.MatchString(strings.TrimRight(trimmed, "; \n\t"))
	return single && script == trimmed && plain.MatchString(script) && !slices.Contains(builtins, word)
}

// commands are the commands of a script in their order; the words then and else stand alone.
func commands(script string) []string {
	var all []string
	for _, part := range separators.Split(script, -1) {
		part = strings.TrimSpace(part)
		for word, rest, _ := strings.Cut(part, " "); word == "then" || word == "else"; word, rest, _ = strings.Cut(part, " ") {
			all, part = append(all, word), strings.TrimSpace(rest)
		}
		if part != "" {
			all = append(all, part)
		}
	}
	return all
}

// execs reports whether the last command is run by exec, be it in each branch of an if with an else.
func execs(all []string) bool {
	if len(all) == 0 {
		return false
	}
	last := len(all) - 1
	if all[last] != "fi" {
		return strings.HasPrefix(all[last], "exec ")
	}
	depth, end, otherwise := 0, last, false
	for i := last; i >= 0; i-- {
		word, _, _ := strings.Cut(all[i], " ")
		switch {
		case word == "fi":
			depth++
		case word == "if":
			if depth--; depth == 0 {
				return otherwise
			}
		case depth == 1 && (word == "then" || word == "else"):
			if !execs(all[i+1 : end]) {
				return false
			}
			otherwise = otherwise || word == "else"
			end = i
		case depth == 1 && word == "elif":
			end = i
		}
	}
	return false
}

// unseen names what would have to be looked at: images that say themselves what they start, and scripts in them.
func unseen(w *lint.World) string {
	var images, scripts, all []string
	for _, one := range w.Workloads {
		for _, c := range slices.Concat(one.Containers, one.Sidecars) {
			_, command := commandOf(c)
			file, reads := lint.ShellFile(command)
			switch name := one.ID() + " " + c.Name; {
			case c.Companion != "":
			case reads:
				scripts = append(scripts, name+" ("+file+")")
			case !c.Get("command").Exists() && !slices.ContainsFunc(one.Sidecars, func(s lint.Container) bool { return s.Name == c.Name }):
				images = append(images, name)
			}
		}
	}
	if len(images) > 0 {
		all = append(all, "what the image starts as process 1: "+listed(images))
	}
	if len(scripts) > 0 {
		all = append(all, "a shell script is process 1; end it with exec: "+listed(scripts))
	}
	return strings.Join(all, "; ")
}

func listed(names []string) string {
	if len(names) > 3 {
		names = append(names[:3], fmt.Sprintf("%d more", len(names)-3))
	}
	return strings.Join(names, ", ")
}
