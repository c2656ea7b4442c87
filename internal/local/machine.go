package local

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"gapless.dev/gapless/internal/app"
	"gapless.dev/gapless/internal/controller"
	"gapless.dev/gapless/internal/gate/all"
	"gapless.dev/gapless/internal/gate/job"
	"gapless.dev/gapless/internal/proxy"
)

// A machine is all that one Up serves.
type machine struct {
	o     Options
	home  string // the app file's folder
	state string // absolute
	since time.Time

	lock     *os.File // of the state directory; its time says when a Gapless was here last
	proxy    *proxy.Proxy
	services []*service
	ports    ports
	logs     logs

	instances context.Context
	letGo     context.CancelFunc

	mu sync.Mutex // of Log
}

// removedGrace is the stop budget of an app whose own is no more in the file. It is that of an unset pod.
const removedGrace = 30 * time.Second

func (m *machine) print(format string, args ...any) {
	if m.o.Log == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	fmt.Fprintf(m.o.Log, format+"\n", args...)
}

// open takes the state directory, checks the file against the machine, opens the ports and finds what runs. When it fails
// nothing was started, and what ran before goes on.
func (m *machine) open() (closeAll func(), err error) {
	lock, last, err := lockDir(m.state)
	if err != nil {
		return nil, err
	}
	m.lock = lock
	defer func() {
		if err != nil {
			m.letGo()
			lock.Close()
		}
	}()
	for _, a := range m.o.File.Apps {
		s, err := m.load(a)
		if err != nil {
			return nil, err
		}
		m.services = append(m.services, s)
	}
	m.proxy, err = proxy.New(m.o.File.Bind, m.o.File.Apps)
	if err != nil {
		return nil, errorf(Refused, "%v", err)
	}
	found, away := strays(m.state), time.Duration(0)
	if !last.IsZero() {
		away = max(0, time.Since(last))
	}
	for _, s := range m.services {
		s.data = m.proxy.App(s.app.Name)
		s.entry, s.gates.Wake = m.entry(s.app), s.stir
		s.notes.Keys, s.notes.Trouble = s.key, func(err error) { s.say("%v", err) }
		s.tools = all.Tools{Keys: m.o.Keys, Jobs: &job.Processes{Dir: s.home}}
		if err := s.saveBook(); err != nil {
			return nil, err
		}
		if err := s.adopt(found, away); err != nil {
			return nil, err
		}
	}
	return func() { lock.Close() }, nil
}

// entry is the address that clients use of an app.
func (m *machine) entry(a app.App) string {
	for _, p := range m.proxy.Ports() {
		if p.App == a.Name && p.Name == a.Ports[0].Name {
			if p.TLS {
				return "https://" + p.Address
			}
			return "http://" + p.Address
		}
	}
	return ""
}

// clearRemoved stops the apps that are no more in the file, all at once. It runs beside the serving of those that are. What it has not
// stopped when ctx ends stays in the book of its app, for the next Up.
func (m *machine) clearRemoved(ctx context.Context) {
	var wg sync.WaitGroup
	dirs, _ := filepath.Glob(filepath.Join(m.state, "apps", "*"))
	for _, dir := range dirs {
		if name := filepath.Base(dir); m.service(name) == nil {
			wg.Go(func() {
				if err := m.removed(ctx, name); err != nil {
					m.print("%s is no more in the file and is not stopped yet: %v", name, err)
				}
			})
		}
	}
	wg.Wait()
}

func (m *machine) service(name string) *service {
	for _, s := range m.services {
		if s.app.Name == name {
			return s
		}
	}
	return nil
}

// drive runs the loops of all apps until ctx ends.
func (m *machine) drive(ctx context.Context) *sync.WaitGroup {
	var wg sync.WaitGroup
	for _, s := range m.services {
		loop := &controller.Loop{
			Platform: s, Wake: s.wake, Say: s.told,
			Trouble: func(err error, again time.Duration) { s.say("%v; tried again in %v", err, again) },
			Settled: s.settled,
		}
		wg.Go(func() {
			defer s.notes.Wait()
			defer s.gates.Close()
			_ = loop.Run(ctx)
		})
	}
	return &wg
}

// settled notes that the loop has looked as long as there was something new.
func (s *service) settled() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.looks++
	s.answered = s.observed
	close(s.changed)
	s.changed = make(chan struct{})
}

// await waits until a condition holds that is true of the service, or ctx ends.
func (s *service) await(ctx context.Context, holds func() bool) bool {
	for {
		s.mu.Lock()
		ok, changed := holds(), s.changed
		s.mu.Unlock()
		if ok {
			return true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

// heartbeat is how often the lock's time is set, and so how exactly the next Gapless can tell for how long none was here. What only we
// know is written down as often.
const heartbeat = time.Second

// beat keeps the lock's time and the counts until ctx ends.
func (m *machine) beat(ctx context.Context) {
	for timer := time.NewTimer(0); ; timer.Reset(heartbeat) {
		select {
		case <-timer.C:
			_ = os.Chtimes(m.lock.Name(), time.Time{}, time.Now())
			for _, s := range m.services {
				s.keepCounts()
				s.keepUnderWay()
			}
		case <-ctx.Done():
			return
		}
	}
}

// lockDir makes the state directory ours for as long as the file is open: two that drive the same processes would fight. It tells when
// a Gapless was here last; zero if none ever was.
func lockDir(dir string) (f *os.File, last time.Time, err error) {
	none := time.Time{}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, none, errorf(Refused, "state directory: %v", err)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return nil, none, errorf(Refused, "state directory: %v", err)
	}
	name := filepath.Join(dir, "lock")
	if info, err := os.Stat(name); err == nil {
		last = info.ModTime()
	}
	f, err = os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, none, errorf(Refused, "state directory: %v", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		pid, _ := io.ReadAll(io.LimitReader(f, 20))
		f.Close()
		return nil, none, errorf(Refused, "another gapless (pid %s) serves the state directory %s: give it orders with gapless deploy, or stop it first", pid, dir)
	}
	if err := f.Truncate(0); err == nil {
		_, _ = fmt.Fprint(f, os.Getpid())
	}
	return f, last, nil
}

// checkNames refuses what the state directory cannot hold.
func checkNames(f app.File) error {
	if len(f.Apps) == 0 {
		return errorf(Bad, "the file has no app: write name, command, version and ports")
	}
	seen := map[string]bool{}
	for _, a := range f.Apps {
		if a.Name == "" || a.Name != fileName(a.Name) || a.Name[0] == '.' {
			return errorf(Bad, "name: %q is no name for an app: use letters, digits and dashes", a.Name)
		}
		if seen[a.Name] {
			return errorf(Bad, "apps: %s is there twice: names must differ", a.Name)
		}
		seen[a.Name] = true
	}
	return nil
}
