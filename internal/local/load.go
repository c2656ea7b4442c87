package local

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"gapless.dev/gapless/internal/app"
	"gapless.dev/gapless/internal/report"
	"gapless.dev/gapless/internal/rollout"
)

// load makes the service of an app from its file and from what an earlier Gapless wrote down. It starts nothing.
func (m *machine) load(a app.App) (*service, error) {
	s := &service{
		app: a, home: m.home, dir: filepath.Join(m.state, "apps", a.Name), mark: m.state,
		ports: &m.ports, logs: &m.logs, print: m.print, wake: make(chan struct{}, 1),
		ctx: m.instances, sets: map[rollout.Version]*set{}, changed: make(chan struct{}),
	}
	for _, sub := range []string{"logs", "revisions"} {
		if err := os.MkdirAll(filepath.Join(s.dir, sub), 0o700); err != nil {
			return nil, err
		}
	}
	if err := read(s.file("app.json"), &s.book); err != nil {
		return nil, err
	}
	if err := read(s.file("state.json"), &s.state); err != nil {
		return nil, err
	}
	if err := read(s.file("underway.json"), &s.underWay); err != nil {
		return nil, err
	}
	if problem := s.readFile(); problem != "" {
		return nil, errorf(Refused, "%s", problem)
	}
	if err := noRoom(a.Stop.Grace); err != nil {
		s.say("stop.grace is %v: a service with kit is not told, assumes its own, and is killed before it has ended by itself (%v)", a.Stop.Grace, err)
	}
	if files := s.reportFiles(); len(files) > 0 {
		if err := read(files[len(files)-1], &s.rep); err != nil {
			return nil, err
		}
		if s.rep.Over() && s.rep.Revision == s.state.Revision { // it was written when it ended; what is held since then is in the state
			s.rep.Phase, s.rep.Reason, s.rep.Message = string(s.state.Phase), s.state.Reason, s.state.Message
		}
		s.tally.earned = map[rollout.Version]report.Counts{}
		for _, v := range s.rep.Versions {
			if v.Counts != nil {
				s.tally.earned[rollout.Version(v.Name)] = *v.Counts
			}
		}
	}
	return s, nil
}

// readFile takes from the app file what its author has changed since it was read last: a version is a deploy, replicas are a
// scale. What people ordered meanwhile stays. It returns why the file cannot be served; "" if it can.
func (s *service) readFile() string {
	b, a := &s.book, s.app
	fresh := b.FileVersion == ""
	if b.Templates == nil {
		b.Templates = map[rollout.Version]template{}
	}
	deployed := b.FileVersion != a.Version
	if deployed && b.Wanted != a.Version {
		if problem := s.missing(templateOf(a), a.Version); problem != "" {
			return problem
		}
		if !fresh {
			s.say("the file's version is %s now, was %s: that is a deploy", a.Version, b.FileVersion)
		}
		b.Wanted, b.WantedBy = a.Version, ""
	}
	if b.FileReplicas != a.Replicas {
		if !fresh && b.Replicas != a.Replicas {
			s.say("the file's replicas are %d now, were %d: that is a scale", a.Replicas, b.FileReplicas)
		}
		b.Replicas = a.Replicas
	}
	s.comparePorts(fresh)
	old, known := b.Templates[a.Version]
	switch {
	case !known || deployed:
		b.Templates[a.Version] = templateOf(a)
	case old.Source == nil && !old.equal(templateOf(a)):
		s.say("the file's command, dir, env, config or helpers changed, but its version is still %s: processes that are started from now on get them. Give it a new version to roll it", a.Version)
		b.Templates[a.Version] = templateOf(a)
	}
	b.FileVersion, b.FileReplicas, b.FilePorts = a.Version, a.Replicas, a.Ports
	return ""
}

func (s *service) comparePorts(fresh bool) {
	if fresh {
		return
	}
	for _, p := range s.app.Ports {
		n := slices.IndexFunc(s.book.FilePorts, func(o app.Port) bool { return o.Name == p.Name })
		switch {
		case n < 0:
			s.say("port %s is new: the processes that run do not know it, so requests to it get 503 until a version is deployed", p.Name)
		case s.book.FilePorts[n].Public != p.Public:
			s.say("port %s is open at %d now, was %d; no process is restarted for it", p.Name, p.Public, s.book.FilePorts[n].Public)
		}
	}
}

// adopt finds the instances of an earlier Gapless again. Those that run are served at once and not restarted; those that have ended
// meanwhile are started again as after any crash.
func (s *service) adopt(strays map[string][]identity, away time.Duration) error {
	var r roster
	if err := read(s.file("instances.json"), &r); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.data.SetRoute(s.state.Route)
	s.show()
	for v, n := range r.Asked {
		if n > 0 {
			s.sets[v] = &set{asked: n}
		}
	}
	adopted := 0
	for _, e := range r.Instances {
		in := s.sets[e.Version]
		if in == nil {
			in = &set{}
			s.sets[e.Version] = in
		}
		i := &instance{
			svc: s, id: e.ID, version: e.Version, plate: e.Plate, stage: starting, ports: e.Ports, restarts: e.Restarts,
			helpers: make([]*process, len(e.Plate.Helpers)), leave: make(chan struct{}), gone: make(chan struct{}), leaving: e.Leaving,
		}
		known := map[int]bool{}
		for n, h := range e.Helpers {
			if h != nil && n < len(i.helpers) {
				i.helpers[n], known[h.Pid] = adopt(h.identity, h.Since)
			}
		}
		alive := false
		if e.Main != nil {
			i.main, alive = adopt(e.Main.identity, e.Main.Since)
			known[e.Main.Pid] = alive
		}
		s.clearStrays(e.ID, strays[e.ID], known)
		if i.leaving {
			close(i.leave)
		}
		for _, n := range i.ports {
			s.ports.keep(n)
		}
		in.all = append(in.all, i)
		if alive {
			adopted++
			if e.Ready && !i.leaving {
				i.join()
			}
		}
		s.launch(i, alive)
	}
	for id, left := range strays {
		if !slices.ContainsFunc(r.Instances, func(e entry) bool { return e.ID == id }) && s.owns(id) {
			s.clearStrays(id, left, nil)
		}
	}
	if adopted > 0 {
		cost := fmt.Sprintf("no Gapless was here for %s at most; meanwhile nothing listened on the ports of %s, and its clients were refused; "+
			"at its last heartbeat %d requests were on their way through it, and whatever was when it went got no whole answer", report.Short(away), s.app.Name, s.underWay)
		s.say("%d running processes were found again and go on; %s", adopted, cost)
		if len(s.rep.Notes) < mostNotes {
			s.rep.Notes = append(s.rep.Notes, "At "+now().Format(time.TimeOnly)+" UTC: "+cost+".")
		}
	}
	return nil
}

// owns tells whether a mark names an instance of this app.
func (s *service) owns(id string) bool {
	return len(id) > len(s.app.Name) && id[:len(s.app.Name)+1] == s.app.Name+"-"
}

// clearStrays ends marked processes that belong to nothing that runs: those that were started and never written down, which never
// got a request, and what a process that has ended had forked. Only the mark tells that a process is ours: a number that was
// written down may be somebody else's by now.
func (s *service) clearStrays(id string, left []identity, known map[int]bool) {
	for _, stray := range left {
		session, err := sessionOf(stray.Pid)
		if err != nil || known[session] || !stray.alive() {
			continue
		}
		if session == stray.Pid {
			s.say("%s: process %d was started and never written down; it is ended", id, stray.Pid)
			_ = syscall.Kill(-stray.Pid, syscall.SIGKILL)
			continue
		}
		s.say("%s: process %d was left behind by one that has ended; it is ended", id, stray.Pid)
		_ = syscall.Kill(stray.Pid, syscall.SIGKILL)
	}
}

// removed stops the instances of an app that is in the state directory and no more in the file.
func (m *machine) removed(ctx context.Context, name string) error {
	s := &service{
		app: app.App{Name: name}, dir: filepath.Join(m.state, "apps", name), print: m.print, logs: &m.logs, ports: &m.ports,
	}
	var r roster
	if err := read(s.file("instances.json"), &r); err != nil {
		return err
	}
	var wg sync.WaitGroup
	for _, e := range r.Instances {
		wg.Go(func() {
			// Helpers stop after what they help.
			for _, p := range append([]*running{e.Main}, e.Helpers...) {
				if p == nil || ctx.Err() != nil {
					continue
				}
				if found, ok := adopt(p.identity, p.Since); ok {
					s.say("is no more in the file: %s (pid %d) is stopped", e.ID, p.Pid)
					found.terminate(ctx, removedGrace)
				}
			}
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err := os.RemoveAll(s.file("instances.json")); err != nil {
		return fmt.Errorf("apps.%s: %w", name, err)
	}
	return nil
}
