//go:build linux

package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// hostSpec is handed to a host's PID 1 as its second argument.
type hostSpec struct {
	Name   string // control, node-1, ...
	Folder string // its state: socket, log/, data/
	Cgroup string // its own in every hierarchy, removed at the end
	Node   bool   // runs pods
}

// component is a process of a host.
type component struct {
	Name string
	Args []string // Args[0] is an absolute path
	Env  []string
}

// componentStatus tells how a component is. Exit is set once it is not running: "exit status 1", "signal: killed".
type componentStatus struct {
	component
	PID     int
	Running bool
	Exit    string
}

// initHost is PID 1 of a host. It starts components as it is told over a socket, reaps what they orphan, and ends when it
// is terminated, or when its lifeline (standard input) closes before a byte was read from it: then its starter has died.
type initHost struct {
	spec    hostSpec
	cgroups []hierarchy

	mu         sync.Mutex
	components map[string]*componentStatus
	pids       map[int]*componentStatus
	changed    chan struct{} // closed and replaced at each exit
}

func runInit(argument string) error {
	h := &initHost{components: map[string]*componentStatus{}, pids: map[int]*componentStatus{}, changed: make(chan struct{})}
	if err := json.Unmarshal([]byte(argument), &h.spec); err != nil {
		return err
	}
	if os.Getpid() != 1 {
		return errors.New("a host is started by up, not by hand")
	}
	if os.Getenv(bornVariable) == "" {
		return bornInCgroup(h.spec.Cgroup)
	}
	os.Unsetenv(bornVariable) //nolint:errcheck // it is there
	children := make(chan os.Signal, 1)
	signal.Notify(children, unix.SIGCHLD)
	end := make(chan os.Signal, 1)
	signal.Notify(end, unix.SIGTERM, unix.SIGINT)
	signal.Ignore(unix.SIGHUP, unix.SIGPIPE)

	lost := make(chan struct{})
	go func() {
		if n, _ := os.Stdin.Read(make([]byte, 1)); n == 0 {
			close(lost)
		}
	}()
	if err := prepareHost(h.spec); err != nil {
		return fmt.Errorf("prepare host %s: %w", h.spec.Name, err)
	}
	var err error
	if h.cgroups, err = narrowCgroups(); err != nil {
		return fmt.Errorf("cgroups of host %s: %w", h.spec.Name, err)
	}
	listener, err := net.Listen("unix", filepath.Join(h.spec.Folder, "init.sock"))
	if err != nil {
		return err
	}
	go http.Serve(listener, h.routes()) //nolint:errcheck // ends with the process
	for {
		select {
		case <-children:
			h.reap()
		case <-end:
			log.Print("told to end")
			return h.finish()
		case <-lost:
			log.Print("the starter is gone")
			return h.finish()
		}
	}
}

func (h *initHost) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /components", func(w http.ResponseWriter, _ *http.Request) {
		h.mu.Lock()
		defer h.mu.Unlock()
		json.NewEncoder(w).Encode(h.components) //nolint:errcheck // the client sees the cut
	})
	mux.HandleFunc("POST /start", func(w http.ResponseWriter, r *http.Request) {
		var c component
		err := json.NewDecoder(r.Body).Decode(&c)
		if err == nil {
			err = h.start(c)
		}
		answer(w, err)
	})
	mux.HandleFunc("POST /stop/{name}", func(w http.ResponseWriter, r *http.Request) {
		grace, err := time.ParseDuration(r.FormValue("grace"))
		if err == nil {
			err = h.stop(r.PathValue("name"), grace)
		}
		answer(w, err)
	})
	return mux
}

func answer(w http.ResponseWriter, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusConflict)
	}
}

// start runs c with its output in log/NAME.log. A component that ran before may be started again.
func (h *initHost) start(c component) error {
	h.mu.Lock() // held over the fork, so that an exit finds its entry
	defer h.mu.Unlock()
	if before := h.components[c.Name]; before != nil && before.Running {
		return fmt.Errorf("%s runs already, as %d", c.Name, before.PID)
	}
	out, err := os.OpenFile(filepath.Join(h.spec.Folder, "log", c.Name+".log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer out.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	defer null.Close()
	process, err := os.StartProcess(c.Args[0], c.Args, &os.ProcAttr{
		Dir:   h.spec.Folder,
		Env:   append(os.Environ(), c.Env...),
		Files: []*os.File{null, out, out},
	})
	if err != nil {
		return fmt.Errorf("start %s: %w", c.Name, err)
	}
	status := &componentStatus{component: c, PID: process.Pid, Running: true}
	h.components[c.Name], h.pids[process.Pid] = status, status
	return process.Release() // reap waits for all
}

// stop ends a component by SIGTERM, and by SIGKILL after grace.
func (h *initHost) stop(name string, grace time.Duration) error {
	kill := time.NewTimer(grace)
	defer kill.Stop()
	if err := h.signal(name, unix.SIGTERM); err != nil {
		return err
	}
	for {
		h.mu.Lock()
		running, changed := h.components[name].Running, h.changed
		h.mu.Unlock()
		if !running {
			return nil
		}
		select {
		case <-changed:
		case <-kill.C:
			if err := h.signal(name, unix.SIGKILL); err != nil {
				return err
			}
		}
	}
}

func (h *initHost) signal(name string, s unix.Signal) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	status := h.components[name]
	if status == nil {
		return fmt.Errorf("%s was never started on %s", name, h.spec.Name)
	}
	if !status.Running {
		return nil
	}
	return unix.Kill(status.PID, s)
}

// reap takes every child that has ended: components, and shims and pods that lost their parents.
func (h *initHost) reap() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		var ws unix.WaitStatus
		pid, err := unix.Wait4(-1, &ws, unix.WNOHANG, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || pid <= 0 {
			return
		}
		status := h.pids[pid]
		if status == nil {
			continue
		}
		delete(h.pids, pid)
		status.Running = false
		status.Exit = fmt.Sprintf("exit status %d", ws.ExitStatus())
		if ws.Signaled() {
			status.Exit = "signal: " + ws.Signal().String()
		}
		log.Printf("%s ended: %s", status.Name, status.Exit)
		close(h.changed)
		h.changed = make(chan struct{})
	}
}

// finish kills all that is left in this host's PID namespace, then removes its cgroups and its data.
// Mounts, links and rules go with the namespaces when this process ends. Logs stay for the reader.
func (h *initHost) finish() error {
	unix.Kill(-1, unix.SIGKILL) //nolint:errcheck // ESRCH: none left
	for {
		if _, err := unix.Wait4(-1, nil, 0, nil); errors.Is(err, unix.ECHILD) {
			break
		}
	}
	cgroups := leaveCgroups(h.cgroups, h.spec.Cgroup)
	if err := unmountBelow(h.spec.Folder); err != nil {
		return errors.Join(cgroups, err) // never remove through a mount: a pod may have mounted the machine's own files
	}
	return errors.Join(cgroups, os.RemoveAll(filepath.Join(h.spec.Folder, "data")))
}

// unmountBelow detaches what pods had mounted in a folder, so that the folder can be removed.
func unmountBelow(folder string) error {
	mounts, err := os.Open("/proc/self/mounts")
	if err != nil {
		return err
	}
	defer mounts.Close()
	table, err := io.ReadAll(mounts)
	if err != nil {
		return err
	}
	lines := strings.Split(string(table), "\n")
	for i := len(lines) - 1; i >= 0; i-- { // the newest first
		fields := strings.Fields(lines[i])
		if len(fields) < 2 || !strings.HasPrefix(fields[1], folder+"/") {
			continue
		}
		if err := unix.Unmount(fields[1], unix.MNT_DETACH); err != nil {
			return fmt.Errorf("unmount %s: %w", fields[1], err)
		}
	}
	return nil
}
