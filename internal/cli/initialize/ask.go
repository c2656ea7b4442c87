package initialize

import (
	"bufio"
	"errors"
	"io"
	"strconv"
	"strings"
	"time"

	"gapless.dev/gapless/internal/app"
	"gapless.dev/gapless/internal/cli/exit"
	"gapless.dev/gapless/internal/cli/shell"
	"gapless.dev/gapless/internal/rollout"
)

// A question asks for one thing; an empty answer takes what stands in brackets. Take says what is wrong with an answer.
type question struct {
	text      string
	otherwise func(*app.App) string
	take      func(*app.App, string) error
}

var questions = []question{
	{"What is the service called?", func(a *app.App) string { return a.Name }, func(a *app.App, s string) error {
		if a.Name = toName(s); a.Name == "" {
			return errors.New("a name has letters and digits")
		}
		return nil
	}},
	{"Which program runs on this machine, with its arguments? {port} is its port, {version} its version; empty for none", none, func(a *app.App, s string) error {
		a.Command = strings.Fields(s)
		return nil
	}},
	{"Which image does a cluster run, with {version} in it? Empty for none", func(a *app.App) string { return a.Image.Name }, func(a *app.App, s string) error {
		a.Image.Name = s
		if s == "" && len(a.Command) == 0 {
			return errors.New("one of program and image must be there")
		}
		return nil
	}},
	{"Which version does it begin with?", func(a *app.App) string { return string(a.Version) }, func(a *app.App, s string) error {
		a.Version = rollout.Version(s)
		return app.ValidVersion(s)
	}},
	{"How many instances serve?", func(*app.App) string { return "2" }, func(a *app.App, s string) (err error) {
		if a.Replicas, err = strconv.Atoi(s); err != nil || a.Replicas < 0 || a.Replicas > app.MaxReplicas {
			return errors.New("give a number from 0 to 1000")
		}
		return nil
	}},
	{"Which port do clients use?", func(*app.App) string { return "8080" }, func(a *app.App, s string) error {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > 65535 {
			return errors.New("give a number from 1 to 65535")
		}
		a.Ports = []app.Port{{Name: "http", Public: n}}
		return nil
	}},
	{"Which path says that it is ready? Empty: its port accepts connections", none, func(a *app.App, s string) error {
		a.Health.Ready = app.Check{Path: s, TCP: s == "", Port: "http", Period: time.Second, Timeout: time.Second, FailureThreshold: 3, SuccessThreshold: 1}
		if s != "" && !strings.HasPrefix(s, "/") {
			return errors.New("a path begins with /")
		}
		return nil
	}},
}

func none(*app.App) string { return "" }

// ask asks until each answer can be taken.
func ask(sh *shell.Shell, d *app.Draft) error {
	in := bufio.NewReader(sh.In)
	for _, q := range questions {
		for {
			sh.Printf("%s ", q.text)
			otherwise := q.otherwise(&d.App)
			if otherwise != "" {
				sh.Printf("[%s] ", otherwise)
			}
			line, err := in.ReadString('\n')
			if err != nil && (line == "" || !errors.Is(err, io.EOF)) {
				sh.Printf("\n")
				return exit.Usagef("nobody answers: give a SOURCE, as in gapless init deploy/NAME, or answer on standard input")
			}
			if line = strings.TrimSpace(line); line == "" {
				line = otherwise
			}
			wrong := q.take(&d.App, line)
			if wrong == nil {
				break
			}
			sh.Printf("  %v\n", wrong)
			if err != nil {
				return exit.With(exit.Usage, wrong)
			}
		}
	}
	return nil
}
