// Shots remakes the pictures in docs/images from the program as it is: a report in a browser, a live status and the demo's
// table in a terminal. It needs chromium, tmux and aha (Debian packages of these names) and bin/gapless.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

func main() {
	out := flag.String("out", "docs/images", "where the pictures go")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := shoot(ctx, *out); err != nil {
		fmt.Fprintln(os.Stderr, "shots:", err)
		os.Exit(1)
	}
}

func shoot(ctx context.Context, out string) error {
	for _, tool := range []string{"chromium", "tmux", "aha"} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("%s is missing: apt-get install %s", tool, tool)
		}
	}
	dir, err := os.MkdirTemp("", "shots")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	gapless, err := filepath.Abs("bin/gapless")
	if err != nil {
		return err
	}
	s := &studio{dir: dir, out: out, gapless: gapless}
	return errors.Join(s.report(ctx), s.status(ctx), s.demo(ctx))
}

type studio struct{ dir, out, gapless string }

// report is one canary of the naive service, as a page.
func (s *studio) report(ctx context.Context) error {
	page := filepath.Join(s.dir, "report.html")
	err := run(ctx, s.gapless, "demo", "--strategy", "canary", "--service", "naive", "-o", "json", "--report", page)
	if err != nil {
		return fmt.Errorf("demo for the report: %w", err)
	}
	return s.browse(ctx, page, "report.png", 1200, 1500)
}

const appFile = `name: demo-api
command: ["%s", "demo-service"]
version: 1.0.0
replicas: 3
ports: {http: %d}
health: {ready: /ready, live: /healthz}
stop: {drain: 5s, grace: 10s}
strategy: {canary: {steps: [{weight: 25, pause: 4s}, {weight: 50, pause: manual}]}}
`

// status is a canary that stands at its manual stop, under load, as `status -w` shows it.
func (s *studio) status(ctx context.Context) error {
	port, err := freePort()
	if err != nil {
		return err
	}
	file := filepath.Join(s.dir, "gapless.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, appFile, s.gapless, port), 0o600); err != nil {
		return err
	}
	socket := "GAPLESS_SOCKET=" + filepath.Join(s.dir, "run", "up.sock")
	up := exec.CommandContext(ctx, s.gapless, "up", "-f", file)
	up.Env, up.Dir = append(os.Environ(), socket), s.dir
	up.Cancel = func() error { return up.Process.Signal(os.Interrupt) }
	if err := up.Start(); err != nil {
		return err
	}
	defer func() { up.Process.Signal(os.Interrupt); up.Wait() }()

	ask := func(args ...string) error {
		cmd := exec.CommandContext(ctx, s.gapless, args...)
		cmd.Env = append(os.Environ(), socket)
		return cmd.Run()
	}
	url := "http://127.0.0.1:" + strconv.Itoa(port) + "/"
	if err := until(ctx, func() bool { return exec.CommandContext(ctx, "curl", "-sf", url).Run() == nil }); err != nil {
		return fmt.Errorf("up: %w", err)
	}
	load := exec.CommandContext(ctx, s.gapless, "probe", url, "--rate", "300", "--for", "60s", "-o", "json")
	if err := load.Start(); err != nil {
		return err
	}
	defer func() { load.Process.Signal(os.Interrupt); load.Wait() }()
	if err := ask("deploy", "demo-api", "2.0.0"); err != nil {
		return fmt.Errorf("deploy: %w", err)
	}
	atStop := func() bool {
		cmd := exec.CommandContext(ctx, s.gapless, "status", "demo-api", "-o", "json")
		cmd.Env = append(os.Environ(), socket)
		text, _ := cmd.Output()
		return bytes.Contains(text, []byte("AwaitingPromote"))
	}
	if err := until(ctx, atStop); err != nil {
		return fmt.Errorf("manual stop: %w", err)
	}
	return s.terminal(ctx, "status.png", 100, 26, "promote", "env "+socket+" "+s.gapless+" status demo-api -w")
}

// demo is the demo's table.
func (s *studio) demo(ctx context.Context) error {
	return s.terminal(ctx, "demo.png", 110, 24, "without Gapless", s.gapless+" demo")
}

// terminal runs a command in a terminal until its screen holds some words, and takes the picture.
func (s *studio) terminal(ctx context.Context, name string, width, height int, words, command string) error {
	session := "shots-" + strconv.Itoa(os.Getpid())
	start := []string{"new-session", "-d", "-s", session, "-x", strconv.Itoa(width), "-y", strconv.Itoa(height), "TERM=xterm-256color " + command + "; sleep 60"}
	if err := run(ctx, "tmux", start...); err != nil {
		return fmt.Errorf("tmux: %w", err)
	}
	defer exec.Command("tmux", "kill-session", "-t", session).Run()
	var screen []byte
	err := until(ctx, func() bool {
		screen, _ = exec.CommandContext(ctx, "tmux", "capture-pane", "-p", "-e", "-t", session).Output()
		return bytes.Contains(screen, []byte(words))
	})
	if err != nil {
		return fmt.Errorf("%s: the screen never showed %q:\n%s", name, words, screen)
	}
	aha := exec.CommandContext(ctx, "aha", "--black")
	aha.Stdin = bytes.NewReader(bytes.TrimRight(screen, "\n"))
	html, err := aha.Output()
	if err != nil {
		return fmt.Errorf("aha: %w", err)
	}
	styled := strings.Replace(string(html), "<pre>", `<pre style="font: 14px/1.35 'DejaVu Sans Mono', monospace; margin: 18px">`, 1)
	page := filepath.Join(s.dir, name+".html")
	if err := os.WriteFile(page, []byte(styled), 0o600); err != nil {
		return err
	}
	rows := bytes.Count(bytes.TrimRight(screen, "\n"), []byte("\n")) + 1
	return s.browse(ctx, page, name, width*17/2+40, rows*19+40)
}

func (s *studio) browse(ctx context.Context, page, name string, width, height int) error {
	picture, err := filepath.Abs(filepath.Join(s.out, name))
	if err != nil {
		return err
	}
	fmt.Println("taking", filepath.Join(s.out, name))
	return run(ctx, "chromium", "--headless", "--no-sandbox", "--hide-scrollbars", "--screenshot="+picture,
		fmt.Sprintf("--window-size=%d,%d", width, height), "file://"+page)
}

func run(ctx context.Context, name string, args ...string) error {
	if out, err := exec.CommandContext(ctx, name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", name, err, out)
	}
	return nil
}

// until asks four times a second, for three minutes at most.
func until(ctx context.Context, ok func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
