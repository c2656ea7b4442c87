package probe

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/term"

	"gapless.dev/gapless/internal/probe"
	"gapless.dev/gapless/internal/report"
)

// watch keeps one line about the run on a terminal, until the function that it returns is
// called. On anything but a terminal it writes nothing.
func watch(live func() probe.Live, w io.Writer) (stop func()) {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return func() {}
	}
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(250 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				width, _, err := term.GetSize(int(f.Fd()))
				if err != nil {
					width = 80
				}
				fmt.Fprint(f, "\r\x1b[K"+clip(progress(live()), width-1))
			case <-quit:
				fmt.Fprint(f, "\r\x1b[K")
				return
			}
		}
	}()
	return func() {
		close(quit)
		<-done
	}
}

// progress is the line: 12 s of 60 s   6,150 requests   0 lost   1.0.0 252/s   2.0.0 248/s
func progress(l probe.Live) string {
	s := fmt.Sprintf("%.0f s", l.Elapsed.Seconds())
	if l.For > 0 {
		s += fmt.Sprintf(" of %.0f s", l.For.Seconds())
	}
	parts := []string{s, report.Count(l.Requests) + " requests", report.Count(l.Lost) + " lost"}
	if l.Lost > 0 {
		parts = append(parts, "longest gap "+report.Short(l.LongestGap))
	}
	for _, v := range slices.Sorted(maps.Keys(l.PerSecond)) {
		name := v
		if name == "" {
			name = "answered"
		}
		parts = append(parts, fmt.Sprintf("%s %s/s", name, report.Count(l.PerSecond[v])))
	}
	if l.LostPerSecond > 0 {
		parts = append(parts, fmt.Sprintf("lost %s/s", report.Count(l.LostPerSecond)))
	}
	return strings.Join(parts, "   ")
}

func clip(s string, width int) string {
	if r := []rune(s); len(r) > width && width > 0 {
		return string(r[:width])
	}
	return s
}
