package initialize

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"gapless.dev/gapless/internal/app"
	"gapless.dev/gapless/internal/cli/exit"
)

// readyPaths and livePaths are the usual ones, those that say more first.
var (
	readyPaths = []string{"/readyz", "/ready", "/health/ready", "/healthz/ready", "/actuator/health/readiness", "/healthz", "/health", "/status"}
	livePaths  = []string{"/livez", "/live", "/health/live", "/actuator/health/liveness", "/healthz", "/health"}
)

// fromPort drafts an app of what runs on this machine: it asks the port for the usual paths, and the kernel for the program behind it.
func fromPort(ctx context.Context, source string) (app.Draft, error) {
	if strings.HasPrefix(source, ":") {
		source = "127.0.0.1" + source
	}
	d := app.Draft{App: defaults(), Because: map[string]string{}, Head: []string{"Made by gapless init from what answered at " + source + "."}}
	a := &d.App
	_, text, err := net.SplitHostPort(source)
	if err != nil {
		return d, exit.Usagef("%s is not a port: write one such as :8080", source)
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > 65535 {
		return d, exit.Usagef("%s is not a port: write one such as :8080", source)
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", source)
	if err != nil {
		return d, exit.Usagef("nothing answers at %s: start the service first", source)
	}
	conn.Close()
	a.Ports = []app.Port{{Name: "http", Public: n}}
	a.Health.Ready = app.Check{TCP: true, Port: "http", Period: time.Second, Timeout: time.Second, FailureThreshold: 3, SuccessThreshold: 1}
	if path := first(ctx, source, readyPaths, ""); path != "" {
		a.Health.Ready = app.Check{Path: path, Port: "http", Period: time.Second, Timeout: time.Second, FailureThreshold: 3, SuccessThreshold: 1}
		if live := first(ctx, source, livePaths, path); live != "" {
			a.Health.Live = app.Check{Path: live, Port: "http", Period: 10 * time.Second, Timeout: time.Second, FailureThreshold: 3, SuccessThreshold: 1}
		}
		d.Because["health"] = "These paths have answered."
	} else {
		d.Open = append(d.Open, "none of the usual paths of health answers, so that ready means that the port accepts connections: write health: {ready: /path}")
	}
	if answers(ctx, source, "/metrics") {
		a.Metrics = app.Metrics{Path: "/metrics", Port: "http"}
	}
	program(&d, n)
	return d, nil
}

// first is the first of the paths that answers and is not another one; a service that answers anything says nothing.
func first(ctx context.Context, address string, paths []string, not string) string {
	if answers(ctx, address, "/gapless-asks-for-what-is-not-there") {
		return ""
	}
	for _, p := range paths {
		if p != not && answers(ctx, address, p) {
			return p
		}
	}
	return ""
}

func answers(ctx context.Context, address, path string) bool {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+path, nil)
	if err != nil {
		return false
	}
	res, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req) // one attempt, no redirect, no proxy
	if err != nil {
		return false
	}
	res.Body.Close()
	return res.StatusCode >= 200 && res.StatusCode < 400
}

// program finds the process that listens, and says in the draft how it was started. The port in its words becomes {port}.
func program(d *app.Draft, port int) {
	a := &d.App
	pid := listener(port)
	if pid == 0 {
		d.Open = append(d.Open, "which program listens cannot be seen from here: write command")
		a.Command = []string{"./" + "server"}
		return
	}
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	words := strings.Split(strings.TrimRight(string(line), "\x00"), "\x00")
	if err != nil || len(words) == 0 || words[0] == "" {
		d.Open = append(d.Open, "which program listens cannot be seen from here: write command")
		a.Command = []string{"./" + "server"}
		return
	}
	if exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid)); err == nil && !strings.ContainsRune(words[0], '/') {
		words[0] = exe
	}
	fixed := false
	for i, w := range words[1:] {
		if next := strings.ReplaceAll(w, strconv.Itoa(port), "{port}"); next != w {
			words[i+1], fixed = next, true
		}
	}
	a.Command = words
	if dir, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid)); err == nil {
		if here, err := os.Getwd(); err != nil || here != dir {
			a.Dir = dir
		}
	}
	a.Name = toName(filepath.Base(words[0]))
	if !fixed {
		d.Open = append(d.Open, fmt.Sprintf("each process gets a port of its own in PORT, and this one was not told %d by its command: see that it takes PORT, or write {port} where it reads it", port))
	}
	d.Open = append(d.Open, fmt.Sprintf("port %d is taken as long as process %d runs: stop it before gapless up", port, pid))
	d.Because["command"] = fmt.Sprintf("As process %d was started.", pid)
}
