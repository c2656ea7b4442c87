// Shots remakes the pictures in docs/images from the program as it is: a report in a browser, a live status and the demo's
// table in a terminal. It needs chromium and tmux (Debian packages of these names) and bin/gapless.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
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
	for _, tool := range []string{"chromium", "tmux"} {
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
	return s.browse(ctx, page, "report.png", 1200, 770)
}

const appFile = `name: demo-api
command: ["%s", "demo-service"]
version: 1.0.0
replicas: 3
ports: {http: %d}
health: {ready: /ready, live: /healthz}
stop: {drain: 5s, grace: 10s}
strategy: {canary: {steps: [{weight: 25, pause: 12s}, {weight: 50, pause: manual}]}}
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
	if err := until(ctx, func() bool { return answers(ctx, url) }); err != nil {
		return fmt.Errorf("up: %w", err)
	}
	load := exec.CommandContext(ctx, s.gapless, "probe", url, "--rate", "300", "--for", "60s", "-o", "json")
	if err := load.Start(); err != nil {
		return err
	}
	defer func() { load.Process.Signal(os.Interrupt); load.Wait() }()
	t, err := s.open(ctx, 100, 28, "env "+socket+" "+s.gapless+" status demo-api -w")
	if err != nil {
		return err
	}
	defer t.close()
	if err := t.shows(ctx, "last 10 s"); err != nil {
		return err
	}
	if err := ask("deploy", "demo-api", "2.0.0"); err != nil {
		return fmt.Errorf("deploy: %w", err)
	}
	if err := t.shows(ctx, "waits for somebody", "last 34 s"); err != nil {
		return err
	}
	return s.print(ctx, t, "status.png")
}

// demo is the demo's table.
func (s *studio) demo(ctx context.Context) error {
	t, err := s.open(ctx, 100, 24, s.gapless+" demo")
	if err != nil {
		return err
	}
	defer t.close()
	if err := t.shows(ctx, "without Gapless"); err != nil {
		return err
	}
	return s.print(ctx, t, "demo.png")
}

// print takes the picture of a terminal.
func (s *studio) print(ctx context.Context, t *terminal, name string) error {
	page := filepath.Join(s.dir, name+".html")
	text := strings.TrimRight(t.screen, "\n")
	if err := os.WriteFile(page, []byte(window(text)), 0o600); err != nil {
		return err
	}
	rows := strings.Count(text, "\n") + 1
	return s.browse(ctx, page, name, t.width*17/2+2*(margin+padding), rows*lineHeight+2*(margin+padding))
}

func (s *studio) browse(ctx context.Context, page, name string, width, height int) error {
	picture, err := filepath.Abs(filepath.Join(s.out, name))
	if err != nil {
		return err
	}
	fmt.Println("taking", filepath.Join(s.out, name))
	return run(ctx, "chromium", "--headless", "--no-sandbox", "--hide-scrollbars", "--force-device-scale-factor=1.5", "--screenshot="+picture,
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

// answers tells whether somebody gives a good answer.
func answers(ctx context.Context, url string) bool {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode < 400
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
