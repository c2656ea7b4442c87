package local

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"gapless.dev/gapless/internal/app"
)

// A prober asks one check of one instance, with the bookkeeping of its thresholds.
type prober struct {
	check app.Check
	addr  string            // of the check's port
	exec  func() command    // of an exec check
	host  http.RoundTripper // one connection a check, as the kubelet does
	next  time.Time         // when it is due
	good  int               // in a row
	bad   int               // in a row
	well  bool              // the verdict by the thresholds
	last  error             // of the last answer
}

func newProber(check app.Check, addr string, exec func() command, started time.Time) *prober {
	if check.Period <= 0 {
		check.Period = time.Second
	}
	if check.Timeout <= 0 {
		check.Timeout = time.Second
	}
	check.FailureThreshold, check.SuccessThreshold = max(check.FailureThreshold, 1), max(check.SuccessThreshold, 1)
	return &prober{
		check: check, addr: addr, exec: exec, next: started.Add(check.InitialDelay),
		host: &http.Transport{DisableKeepAlives: true, DisableCompression: true},
	}
}

// due tells whether it is time to ask.
func (p *prober) due(now time.Time) bool { return p.check.Set() && !now.Before(p.next) }

// note keeps the verdict after an answer.
func (p *prober) note(answer error) {
	p.last = answer
	if answer == nil {
		p.good, p.bad = p.good+1, 0
		p.well = p.well || p.good >= p.check.SuccessThreshold
		return
	}
	p.good, p.bad = 0, p.bad+1
	if p.bad >= p.check.FailureThreshold {
		p.well = false
	}
}

// once asks. It may be called beside note.
func (p *prober) once(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, p.check.Timeout)
	defer cancel()
	switch {
	case len(p.check.Exec) > 0:
		return p.run(ctx)
	case p.check.TCP:
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", p.addr)
		if err != nil {
			return err
		}
		return conn.Close()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.addr+p.check.Path, nil)
	if err != nil {
		return err
	}
	req.Header.Set("User-Agent", "gapless-health")
	for name, value := range p.check.Headers {
		if strings.EqualFold(name, "Host") {
			req.Host = value
			continue
		}
		req.Header.Set(name, value)
	}
	res, err := p.host.RoundTrip(req) // one attempt, and a redirect is an answer
	if err != nil {
		return err
	}
	res.Body.Close()
	if res.StatusCode < 200 || res.StatusCode >= 400 {
		return fmt.Errorf("GET %s answered %d", p.check.Path, res.StatusCode)
	}
	return nil
}

func (p *prober) run(ctx context.Context) error {
	c := p.exec()
	cmd := exec.CommandContext(ctx, c.argv[0], c.argv[1:]...)
	cmd.Dir, cmd.Env = c.dir, c.env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	out, err := cmd.CombinedOutput()
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%s did not end within %v", c.argv[0], p.check.Timeout)
	case err != nil && len(out) > 0:
		return fmt.Errorf("%s: %w: %.200s", c.argv[0], err, strings.TrimSpace(string(out)))
	}
	return err
}

// eager is the first pause between two questions of a service that starts; it doubles up to the period. A service that starts
// in 50 ms should not have to wait for a second.
const eager = 20 * time.Millisecond
