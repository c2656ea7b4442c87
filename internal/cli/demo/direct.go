package demo

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"time"
)

// stopDirectly is what a deploy is without Gapless: the process is asked to stop, and the next one is started in its place.
func stopDirectly(ctx context.Context, o *Options, c cell, b *board) (Result, error) {
	result := Result{Strategy: string(c.strategy), Service: c.service}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return result, err
	}
	address := ln.Addr().String()
	ln.Close()

	one, err := startDirectly(ctx, o, address, oldVersion)
	if err != nil {
		return result, err
	}
	defer one.end()
	p := startProbe("http://"+address+"/", o.Rate)
	defer p.stop()
	b.probing(p.Probe)
	if err := sleep(ctx, before); err != nil {
		return result, err
	}

	stopped := time.Now()
	p.Mark("stopped", stopped)
	one.end()
	two, err := startDirectly(ctx, o, address, newVersion)
	if err != nil {
		return result, err
	}
	defer two.end()
	p.Mark("started", time.Now())
	result.Duration = time.Since(stopped)
	if err := sleep(ctx, after); err != nil {
		return result, err
	}
	result.Traffic = p.stop()
	return result, p.err
}

type child struct {
	*exec.Cmd
	done chan struct{}
}

// startDirectly starts the naive service and returns when it answers.
func startDirectly(ctx context.Context, o *Options, address, version string) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := &child{Cmd: exec.Command(self, serviceCommand, "-naive", "-addr", address, "-start-delay", o.Start.String()), done: make(chan struct{})}
	c.Env = append(os.Environ(), "GAPLESS_VERSION="+version)
	apart(c.Cmd)
	if err := c.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", version, err)
	}
	go func() {
		_ = c.Wait()
		close(c.done)
	}()
	client := http.Client{Transport: &http.Transport{Proxy: nil, DisableKeepAlives: true}, Timeout: time.Second}
	for {
		resp, err := client.Get("http://" + address + "/ready")
		if err == nil {
			resp.Body.Close()
			return c, nil
		}
		select {
		case <-c.done:
			return nil, fmt.Errorf("%s ended before it answered: %v", version, c.ProcessState)
		case <-ctx.Done():
			c.end()
			return nil, ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// end asks the process to stop, and waits until it has. It may be called again.
func (c *child) end() {
	terminate(c.Process)
	select {
	case <-c.done:
	case <-time.After(5 * time.Second):
		_ = c.Process.Kill()
		<-c.done
	}
}
