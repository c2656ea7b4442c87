package local

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"gapless.dev/gapless/internal/app"
	"gapless.dev/gapless/internal/gate"
	"gapless.dev/gapless/internal/gate/all"
	"gapless.dev/gapless/internal/notify"
	"gapless.dev/gapless/internal/proxy"
	"gapless.dev/gapless/internal/report"
	"gapless.dev/gapless/internal/rollout"
)

// A service is one app on this machine. It is the platform that the app's loop drives.
type service struct {
	app   app.App
	home  string // folder that relative paths of the app file are seen from
	dir   string // where its state lives
	mark  string // see strays
	data  *proxy.App
	ports *ports
	logs  *logs
	print func(format string, args ...any)
	wake  chan struct{} // of the loop

	gates gate.Panel
	tools all.Tools // of gates
	notes notify.Sender
	entry string // the address that clients use

	ctx   context.Context // of the instances' goroutines; when it ends nobody looks after them, and they go on
	wg    sync.WaitGroup
	saved []byte // what instances.json holds

	mu       sync.Mutex
	book     book
	state    rollout.State
	sets     map[rollout.Version]*set
	rep      report.Report
	tally    tally
	underWay int                                // requests through the proxy, as it was written down last
	kept     map[rollout.Version]*report.Counts // what was written down last of what is counted
	answers  map[int64]rollout.Answer
	looks    int // settled looks of the loop
	// asked counts what people changed, observed is asked as it was at the last look, and answered as it was at the last settled one.
	// A look that was under way when somebody asked does not count: it has not seen it.
	asked, observed, answered int
	changed                   chan struct{} // closed and replaced whenever anything above changes
	ended                     bool          // services are stopped for good: nothing is started any more
}

// A book is what people want of an app. It is the user's template here.
type book struct {
	Wanted   rollout.Version `json:"wanted"`
	WantedBy string          `json:"wantedBy,omitempty"`
	Replicas int             `json:"replicas"`
	// What the file said when it was read last: only a change of the file is a word of its author.
	FileVersion  rollout.Version              `json:"fileVersion"`
	FileReplicas int                          `json:"fileReplicas"`
	FilePorts    []app.Port                   `json:"filePorts,omitempty"`
	Orders       []rollout.Order              `json:"orders,omitempty"`
	LastOrder    int64                        `json:"lastOrder"`
	Templates    map[rollout.Version]template `json:"templates"`
}

// A set holds the instances of a version.
type set struct {
	asked int
	all   []*instance
}

func (s *service) logFile(name string) string { return filepath.Join(s.dir, "logs", name+".log") }
func (s *service) file(name string) string    { return filepath.Join(s.dir, name) }

func (s *service) say(format string, args ...any) {
	s.print("%s", fmt.Sprintf("%-12s ", s.app.Name)+fmt.Sprintf(format, args...))
}

// mostNotes bounds the notes of a report.
const mostNotes = 50

// note puts a fact into the report of the revision that is under way.
func (s *service) note(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.rep.Notes) < mostNotes {
		s.rep.Notes = append(s.rep.Notes, fmt.Sprintf(format, args...))
	}
}

// set changes something about the instances: it is written down before anybody can act on it, and everybody is told.
func (s *service) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
	s.saveInstances()
	s.tell()
}

// tell wakes the loop and whoever watches. The lock is held.
func (s *service) tell() {
	close(s.changed)
	s.changed = make(chan struct{})
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// scale makes a version have n instances that are not on their way out. The lock is held.
func (s *service) scale(v rollout.Version, n int) {
	if s.ended {
		return
	}
	have := s.sets[v]
	if have == nil {
		if n == 0 {
			return
		}
		have = &set{}
		s.sets[v] = have
	}
	have.asked = n
	staying := slices.DeleteFunc(slices.Clone(have.all), func(i *instance) bool { return i.leaving })
	for len(staying) < n {
		i := s.newInstance(v, have)
		have.all = append(have.all, i)
		staying = append(staying, i)
		s.launch(i, false)
	}
	// Who does not serve goes first, then who came last.
	slices.SortStableFunc(staying, func(a, b *instance) int {
		return cmp.Compare(serves(b), serves(a))
	})
	for _, i := range staying[min(n, len(staying)):] {
		i.leaving = true
		close(i.leave)
	}
	s.clear(v)
}

// clear forgets a version of which nothing stands and nothing is asked for. The lock is held.
func (s *service) clear(v rollout.Version) {
	if in := s.sets[v]; in != nil && in.asked == 0 && len(in.all) == 0 {
		delete(s.sets, v)
	}
}

func serves(i *instance) int {
	if i.stage == ready {
		return 1
	}
	return 0
}

func (s *service) newInstance(v rollout.Version, in *set) *instance {
	taken := map[string]bool{}
	for _, i := range in.all {
		taken[i.id] = true
	}
	id := ""
	for n := 1; id == "" || taken[id]; n++ {
		id = fmt.Sprintf("%s-%s-%d", s.app.Name, fileName(string(v)), n)
	}
	plate := s.book.Templates[v]
	i := &instance{
		svc: s, id: id, version: v, plate: plate, stage: starting, helpers: make([]*process, len(plate.Helpers)),
		leave: make(chan struct{}), gone: make(chan struct{}),
	}
	// The log of an earlier one of that name would be taken for its own.
	_ = os.Rename(i.logFile(), i.logFile()+".1")
	for _, h := range plate.Helpers {
		_ = os.Rename(i.helperLog(h.Name), i.helperLog(h.Name)+".1")
	}
	return i
}

// launch hands an instance to its goroutine. The lock is held.
func (s *service) launch(i *instance, adopted bool) {
	s.logs.follow(i.logFile(), i.id)
	for _, h := range i.plate.Helpers {
		s.logs.follow(i.helperLog(h.Name), i.id+"."+h.Name)
	}
	s.wg.Go(func() { i.run(s.ctx, adopted) })
}

// drop takes an instance off the books: nothing of it is left.
func (s *service) drop(i *instance) {
	s.set(func() {
		i.givePorts()
		if in := s.sets[i.version]; in != nil {
			in.all = slices.DeleteFunc(in.all, func(o *instance) bool { return o == i })
		}
		s.clear(i.version)
	})
	s.logs.forget(i.logFile())
	for _, h := range i.plate.Helpers {
		s.logs.forget(i.helperLog(h.Name))
	}
}

// stopAll drains and ends everything, and returns when nothing runs any more or ctx ends.
func (s *service) stopAll(ctx context.Context) {
	s.mu.Lock()
	s.ended = true
	var gone []<-chan struct{}
	for _, in := range s.sets {
		in.asked = 0
		for _, i := range in.all {
			if !i.leaving {
				i.leaving = true
				close(i.leave)
			}
			gone = append(gone, i.gone)
		}
	}
	s.mu.Unlock()
	for _, g := range gone {
		select {
		case <-g:
		case <-ctx.Done():
			return
		}
	}
}

// standing sums a version up for the engine. The lock is held.
func (s *service) standing(v rollout.Version, in *set) rollout.Standing {
	st := rollout.Standing{Asked: in.asked, InFlight: s.data.InFlight(v)}
	for _, i := range in.all {
		switch {
		case i.leaving:
			st.Stopping++
			continue
		case i.stage == ready:
			st.Serving++
		}
		st.Running++
		if why := i.failure(); why != "" && st.Failure == "" {
			st.Failure = why
		}
	}
	return st
}

// patience is how long an instance may be not ready before that is called a failure.
const patience = 3 * time.Second

// failure is why an instance does not come up or keeps dying, in words; "" while all is well. The lock is held.
func (i *instance) failure() string {
	if i.trouble == "" || i.stage == ready {
		return ""
	}
	if i.stage == starting && i.restarts == 0 && (i.main == nil || time.Since(i.main.since) < patience) {
		return ""
	}
	if i.restarts > 0 {
		return fmt.Sprintf("%s: %s (started %d times)", i.id, i.trouble, i.restarts+1)
	}
	return fmt.Sprintf("%s is not ready: %s", i.id, i.trouble)
}

// An entry is what instances.json holds of an instance.
type entry struct {
	ID       string          `json:"id"`
	Version  rollout.Version `json:"version"`
	Ports    map[string]int  `json:"ports,omitempty"`
	Main     *running        `json:"main,omitempty"`
	Helpers  []*running      `json:"helpers,omitempty"`
	Plate    template        `json:"template"`
	Restarts int             `json:"restarts,omitempty"`
	Ready    bool            `json:"ready,omitempty"`
	Leaving  bool            `json:"leaving,omitempty"`
}

type running struct {
	identity
	Since time.Time `json:"since"`
}

type roster struct {
	Asked     map[rollout.Version]int `json:"asked"`
	Instances []entry                 `json:"instances"`
}

func runningOf(p *process) *running {
	if p == nil || p.ended() {
		return nil
	}
	return &running{p.identity, p.since}
}

// saveInstances writes down what runs, if that has changed. The lock is held.
func (s *service) saveInstances() {
	r := roster{Asked: map[rollout.Version]int{}}
	for _, v := range slices.Sorted(maps.Keys(s.sets)) {
		in := s.sets[v]
		r.Asked[v] = in.asked
		for _, i := range in.all {
			e := entry{ID: i.id, Version: v, Ports: i.ports, Main: runningOf(i.main), Plate: i.plate, Restarts: i.restarts, Ready: i.stage == ready, Leaving: i.leaving}
			for _, h := range i.helpers {
				e.Helpers = append(e.Helpers, runningOf(h))
			}
			r.Instances = append(r.Instances, e)
		}
	}
	b, err := json.Marshal(r)
	if err != nil || string(b) == string(s.saved) {
		return
	}
	if err := write(s.file("instances.json"), r); err != nil {
		s.say("cannot write down what runs: %v", err)
		return
	}
	s.saved = b
}

// fileName makes a version one that can be part of a file's name.
func fileName(v string) string {
	clean := []byte(v)
	for n, c := range clean {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '-' || c == '_' || c == '+') {
			clean[n] = '_'
		}
	}
	if string(clean) == v {
		return v
	}
	return string(clean) + "-" + hash(v)
}
