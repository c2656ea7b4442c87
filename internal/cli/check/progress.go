package check

import (
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/term"

	"gapless.dev/gapless/internal/check"
	"gapless.dev/gapless/internal/cli/paint"
	"gapless.dev/gapless/internal/cli/shell"
	"gapless.dev/kit/kittest"
)

// looker keeps one line about what is going on, where a person looks at it.
type looker struct {
	mu    sync.Mutex
	f     *os.File // nil: nobody looks
	began time.Time
	what  string
	quit  chan struct{}
	done  sync.WaitGroup
}

func watch(sh *shell.Shell) *looker {
	l := &looker{began: time.Now(), quit: make(chan struct{})}
	f, ok := sh.Err.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return l
	}
	l.f = f
	l.done.Go(func() {
		tick := time.NewTicker(500 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				l.draw()
			case <-l.quit:
				return
			}
		}
	})
	return l
}

// doing changes the line.
func (l *looker) doing(what string) {
	l.mu.Lock()
	l.what = what
	l.mu.Unlock()
	l.draw()
}

func (l *looker) draw() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.f == nil {
		return
	}
	width, _, err := term.GetSize(int(l.f.Fd()))
	if err != nil {
		width = 80
	}
	fmt.Fprint(l.f, "\r\x1b[K"+paint.Clip(fmt.Sprintf("  %3.0f s  %s", time.Since(l.began).Seconds(), l.what), width-1))
}

// above writes something that stays, above the line.
func (l *looker) above(write func()) {
	l.mu.Lock()
	if l.f != nil {
		fmt.Fprint(l.f, "\r\x1b[K")
	}
	write()
	l.mu.Unlock()
	l.draw()
}

func (l *looker) stop() {
	close(l.quit)
	l.done.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.f != nil {
		fmt.Fprint(l.f, "\r\x1b[K")
		l.f = nil
	}
}

// printer writes the outcome: as text bit by bit, else at the end.
type printer struct {
	sh   *shell.Shell
	live bool
	look *looker
}

// widest is as far as a line is read with ease.
const widest = 120

func (p printer) style() check.Style {
	colours := p.sh.Paint()
	return check.Style{Width: min(p.sh.Terminal(), widest), Good: colours.Good, Bad: colours.Bad, Soft: colours.Dim}
}

func (p printer) head(subject string, facts []string) {
	if p.live {
		p.look.above(func() { p.sh.Printf("%s", check.Report{Subject: subject, Facts: facts}.Head(p.style())) })
	}
}

func (p printer) result(one kittest.Result) {
	if p.live {
		p.look.above(func() { p.sh.Printf("%s", check.RuleOf(one).Line(p.style())) })
	}
}

func (p printer) report(r check.Report, format string) error {
	if !p.live {
		return r.Write(p.sh.Out, format)
	}
	_, err := fmt.Fprint(p.sh.Out, r.Foot(p.style()))
	return err
}
