package main

import (
	"context"
	"fmt"
	"html"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
)

// A terminal is a tmux session in which a command runs.
type terminal struct {
	session string
	width   int
	screen  string // as seen last, with its escape sequences
}

// open starts a command in a terminal of a size. What the command leaves on the screen stays there.
func (s *studio) open(ctx context.Context, width, height int, command string) (*terminal, error) {
	t := &terminal{session: "shots-" + strconv.Itoa(os.Getpid()), width: width}
	err := run(ctx, "tmux", "new-session", "-d", "-s", t.session, "-x", strconv.Itoa(width), "-y", strconv.Itoa(height),
		"TERM=xterm-256color "+command+"; sleep 60")
	return t, err
}

func (t *terminal) close() { _ = exec.Command("tmux", "kill-session", "-t", t.session).Run() }

// shows waits until the screen holds all of the words.
func (t *terminal) shows(ctx context.Context, words ...string) error {
	err := until(ctx, func() bool {
		out, _ := exec.CommandContext(ctx, "tmux", "capture-pane", "-p", "-e", "-t", t.session).Output()
		t.screen = string(out)
		plain := escape.ReplaceAllString(t.screen, "")
		for _, w := range words {
			if !strings.Contains(plain, w) {
				return false
			}
		}
		return true
	})
	if err != nil {
		return fmt.Errorf("the screen never showed %q: %w\n%s", words, err, t.screen)
	}
	return nil
}

// Lengths of the picture of a terminal, in pixels.
const margin, padding, lineHeight = 14, 22, 20

// window is a screen as a page.
func window(screen string) string {
	return fmt.Sprintf(`<!doctype html><meta charset="utf-8"><style>
body { margin: %dpx; background: #fff }
pre { margin: 0; padding: %dpx; border-radius: 10px; background: #14181f; color: #d5dae2; font: 14px/%dpx "DejaVu Sans Mono", monospace }
.bold { font-weight: bold; color: #fff } .dim { color: #7d8696 }
.c1 { color: #f2777a } .c2 { color: #8fc98b } .c3 { color: #f0b866 } .c6 { color: #79b8d9 }
</style><pre>%s</pre>`, margin, padding, lineHeight, spans(screen))
}

// escape is a sequence that changes how the text after it looks.
var escape = regexp.MustCompile("\x1b\\[([0-9;]*)m")

// spans puts text that looks other than plain into elements of a class.
func spans(screen string) string {
	var b strings.Builder
	colour, weight := "", ""
	put := func(text string) {
		switch class := strings.TrimSpace(colour + " " + weight); {
		case text == "":
		case class == "":
			b.WriteString(html.EscapeString(text))
		default:
			fmt.Fprintf(&b, `<span class="%s">%s</span>`, class, html.EscapeString(text))
		}
	}
	for len(screen) > 0 {
		at := escape.FindStringSubmatchIndex(screen)
		if at == nil {
			break
		}
		put(screen[:at[0]])
		for code := range strings.SplitSeq(screen[at[2]:at[3]], ";") {
			switch n, _ := strconv.Atoi(code); {
			case n == 0:
				colour, weight = "", ""
			case n == 1:
				weight = "bold"
			case n == 2:
				weight = "dim"
			case n == 22:
				weight = ""
			case n >= 30 && n <= 37:
				colour = "c" + strconv.Itoa(n-30)
			case n == 39:
				colour = ""
			}
		}
		screen = screen[at[1]:]
	}
	put(screen)
	return b.String()
}
