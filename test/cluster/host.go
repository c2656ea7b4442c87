//go:build linux

package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// host is a host as seen from outside: its record and the way to its PID 1.
type host struct {
	hostRecord
	folder   string
	lifeline *os.File // nil once kept, or when the host was opened by its record
	client   *http.Client
}

func newHost(folder string, r hostRecord) *host {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(folder, "init.sock"))
	}
	return &host{hostRecord: r, folder: folder, client: &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}}
}

// startHost makes a host in a folder of the cluster's and waits until it takes orders.
func startHost(ctx context.Context, tool, folder string, spec hostSpec) (*host, error) {
	for _, sub := range []string{"log", "data"} {
		if err := os.MkdirAll(filepath.Join(folder, sub), 0o755); err != nil {
			return nil, err
		}
	}
	argument, err := json.Marshal(spec)
	if err != nil {
		return nil, err
	}
	out, err := os.Create(filepath.Join(folder, "log", "init.log"))
	if err != nil {
		return nil, err
	}
	defer out.Close()
	lifeline, hold, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer lifeline.Close()
	init := exec.Command(tool, hookInit, string(argument))
	init.Stdin, init.Stdout, init.Stderr = lifeline, out, out
	init.Dir = "/"
	init.SysProcAttr = &unix.SysProcAttr{
		Setsid:     true,
		Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC,
	}
	if err := init.Start(); err != nil {
		hold.Close()
		return nil, fmt.Errorf("start host %s (root is needed): %w", spec.Name, err)
	}
	go init.Wait() //nolint:errcheck // no zombie while we live; its state is asked for elsewhere
	h := newHost(folder, hostRecord{Name: spec.Name, PID: init.Process.Pid})
	h.lifeline = hold
	if h.Started, err = startOf(h.PID); err != nil {
		return h, h.explain("init", err)
	}
	if h.Netns, err = namespaceOf(h.PID); err != nil {
		return h, h.explain("init", err)
	}
	err = poll(ctx, func() error {
		if !h.alive() {
			return stop(errors.New("it ended"))
		}
		_, err := h.components(ctx)
		return err
	})
	if err != nil {
		return h, h.explain("init", err)
	}
	return h, nil
}

// keep lets the host outlive its starter.
func (h *host) keep() error {
	if h.lifeline == nil {
		return nil
	}
	if _, err := h.lifeline.Write([]byte{'k'}); err != nil {
		return fmt.Errorf("keep host %s: %w", h.Name, err)
	}
	err := h.lifeline.Close()
	h.lifeline = nil
	return err
}

// end ends a host with all that is in it. It is no error if it has ended before.
func (h *host) end() error {
	if h.alive() {
		unix.Kill(h.PID, unix.SIGTERM) //nolint:errcheck // the wait below tells
		if !h.goneWithin(20 * time.Second) {
			unix.Kill(h.PID, unix.SIGKILL) //nolint:errcheck // as above
			if !h.goneWithin(10 * time.Second) {
				return fmt.Errorf("host %s (process %d) does not end", h.Name, h.PID)
			}
		}
	}
	if h.lifeline != nil {
		h.lifeline.Close()
		h.lifeline = nil
	}
	return nil
}

func (h *host) goneWithin(d time.Duration) bool {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	return poll(ctx, func() error {
		if h.alive() {
			return errors.New("alive")
		}
		return nil
	}) == nil
}

// alive tells whether the PID 1 of this host still is the process that was started.
func (h *host) alive() bool {
	started, err := startOf(h.PID)
	return err == nil && started == h.Started
}

// startOf is when a process was started, in clock ticks since boot; an error if there is none or if it is a zombie.
func startOf(pid int) (uint64, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:])) // from field 3, the state
	if len(fields) < 20 || fields[0] == "Z" || fields[0] == "X" {
		return 0, fmt.Errorf("process %d has ended", pid)
	}
	return strconv.ParseUint(fields[19], 10, 64)
}

func (h *host) start(ctx context.Context, c component) error {
	body, err := json.Marshal(c)
	if err != nil {
		return err
	}
	return h.post(ctx, "/start", body)
}

func (h *host) stop(ctx context.Context, name string, grace time.Duration) error {
	return h.post(ctx, "/stop/"+url.PathEscape(name)+"?grace="+grace.String(), nil)
}

func (h *host) post(ctx context.Context, path string, body []byte) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://host"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	response, err := h.client.Do(request)
	if err != nil {
		return fmt.Errorf("host %s: %w", h.Name, err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		why, _ := io.ReadAll(io.LimitReader(response.Body, 4096))
		return fmt.Errorf("host %s: %s", h.Name, strings.TrimSpace(string(why)))
	}
	return nil
}

func (h *host) components(ctx context.Context) (map[string]componentStatus, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://host/components", nil)
	if err != nil {
		return nil, err
	}
	response, err := h.client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("host %s: %w", h.Name, err)
	}
	defer response.Body.Close()
	all := map[string]componentStatus{}
	if err := json.NewDecoder(response.Body).Decode(&all); err != nil {
		return nil, fmt.Errorf("host %s: %w", h.Name, err)
	}
	return all, nil
}

// ready waits until a component answers a probe.
func (h *host) ready(ctx context.Context, name string, probe func() error) error {
	if err := poll(ctx, probe); err != nil {
		return h.explain(name, err)
	}
	return nil
}

// ended is the first component found that runs no more, explained; nil when there is none, or when the host does not answer.
func (h *host) ended(ctx context.Context) error {
	all, err := h.components(ctx)
	if err != nil {
		return nil
	}
	for name, status := range all {
		if !status.Running {
			return h.explain(name, errors.New("it ended with "+status.Exit))
		}
	}
	return nil
}

// explain adds what a component said last.
func (h *host) explain(name string, err error) error {
	path := filepath.Join(h.folder, "log", name+".log")
	return fmt.Errorf("%s on %s: %w\nthe end of %s:\n%s", name, h.Name, err, path, tail(path, 12))
}

func tail(path string, lines int) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return "\t(" + err.Error() + ")"
	}
	all := strings.Split(strings.TrimSpace(string(data)), "\n")
	var out strings.Builder
	for _, line := range all[max(0, len(all)-lines):] {
		if len(line) > 400 {
			line = line[:400] + "..."
		}
		out.WriteString("\t" + line + "\n")
	}
	return out.String()
}
