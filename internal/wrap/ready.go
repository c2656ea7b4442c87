package wrap

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"syscall"
	"time"
)

// A check asks whether the command can serve.
type check struct {
	Ready
	to     string
	kids   *nursery
	env    []string
	client *http.Transport
	// goesOn: the check is asked again while the service serves. That a port takes connections is soon found out by requests, and a
	// connection that asks for nothing is a line in many a log.
	goesOn bool
}

func newCheck(o Options, kids *nursery) check {
	one := check{Ready: o.Ready, to: o.To, kids: kids, env: o.environment()}
	one.goesOn = o.Ready.Path != "" || len(o.Ready.Exec) > 0 || len(o.Command) == 0
	one.client = &http.Transport{DisableKeepAlives: true, DisableCompression: true, Protocols: new(http.Protocols)}
	one.client.Protocols.SetHTTP1(!o.HTTP2)
	one.client.Protocols.SetUnencryptedHTTP2(o.HTTP2)
	return one
}

// eager is the first pause between two questions of a command that starts; it doubles up to the period.
const eager = 10 * time.Millisecond

// wait asks until the answer is yes.
func (c check) wait(ctx context.Context) error {
	for pause := eager; ; pause = min(2*pause, c.Period) {
		err := c.once(ctx)
		if err == nil {
			return nil
		}
		again := time.NewTimer(pause)
		select {
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
			return errors.Join(ctx.Err(), err)
		}
	}
}

// once asks once.
func (c check) once(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	switch {
	case len(c.Exec) > 0:
		return c.run(ctx)
	case c.Path != "":
		return c.get(ctx)
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", c.to)
	if err != nil {
		return err
	}
	return conn.Close()
}

// get asks as the kubelet does: one attempt, and a redirect is an answer.
func (c check) get(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.to+c.Path, nil)
	if err != nil {
		return err
	}
	req.Header.Set("User-Agent", "gapless-health")
	res, err := c.client.RoundTrip(req)
	if err != nil {
		return err
	}
	res.Body.Close()
	if res.StatusCode < 200 || res.StatusCode >= 400 {
		return fmt.Errorf("GET %s answered %d", c.Path, res.StatusCode)
	}
	return nil
}

func (c check) run(ctx context.Context) error {
	cmd := exec.Command(c.Exec[0], c.Exec[1:]...)
	cmd.Env = c.env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	ended, err := c.kids.start(cmd)
	if err != nil {
		return err
	}
	select {
	case status := <-ended:
		if code := status.ExitStatus(); code != 0 {
			return fmt.Errorf("%s exited with code %d", c.Exec[0], code)
		}
		return nil
	case <-ctx.Done():
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		return fmt.Errorf("%s did not end within %v", c.Exec[0], c.Timeout)
	}
}
