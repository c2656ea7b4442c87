// Package live keeps a text on the terminal up to date. What the text says is somebody else's, and pure.
package live

import (
	"context"
	"errors"
	"io"
	"strings"

	tea "charm.land/bubbletea/v2"
)

// ErrLeft is returned when the person at the terminal has left: q, Esc or Ctrl-C.
var ErrLeft = errors.New("left")

// A View is what Run shows.
type View struct {
	// Draw returns the text for a terminal of this size. It is called in one goroutine, not necessarily the caller's.
	Draw func(width, height int) string
	// Again tells that the text has changed. When it is closed, Run shows the text once more and returns.
	Again <-chan struct{}
	// Full uses the whole screen and gives it back after; else the text stands in the lines below the prompt and is taken away.
	Full bool
	// Keys are told on Draw's last line by the caller; Key is asked for each key press other than those that leave. Nil is fine.
	Key func(key string)
}

// Run shows the view until Again is closed, ctx ends or the person leaves.
func Run(ctx context.Context, in io.Reader, out io.Writer, v View) error {
	m := &model{view: v}
	p := tea.NewProgram(m, tea.WithContext(ctx), tea.WithInput(in), tea.WithOutput(out), tea.WithoutSignalHandler())
	go func() {
		for range v.Again {
			p.Send(again{})
		}
		p.Send(over{})
	}()
	_, err := p.Run()
	switch {
	case m.left:
		return ErrLeft
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return err
}

type (
	again struct{}
	over  struct{}
)

type model struct {
	view          View
	width, height int
	left, over    bool
}

func (m *model) Init() tea.Cmd { return nil }

func (m *model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
	case tea.KeyPressMsg:
		switch key := msg.String(); key {
		case "q", "esc", "ctrl+c":
			m.left = true
			return m, tea.Quit
		default:
			if m.view.Key != nil {
				m.view.Key(key)
			}
		}
	case over:
		m.over = true
		return m, tea.Quit
	}
	return m, nil
}

func (m *model) View() tea.View {
	text := ""
	if m.width > 0 && (m.view.Full || !m.over && !m.left) {
		text = clip(m.view.Draw(m.width, m.height), m.height)
	}
	view := tea.NewView(text)
	view.AltScreen = m.view.Full
	return view
}

// clip leaves out the lines that a terminal has no room for: one that scrolls cannot be drawn over.
func clip(text string, height int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	if height > 0 && len(lines) > height {
		lines = lines[:height]
	}
	return strings.Join(lines, "\n")
}
