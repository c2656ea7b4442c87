package proxy

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"gapless.dev/gapless/internal/app"
	"gapless.dev/gapless/internal/rollout"
)

// An App is the data plane of one app: its route and its instances. Reads never wait for writes.
type App struct {
	name    string
	sticky  string
	timeout time.Duration // to the first byte of an answer, and to the next one of a body
	bodyMax int64         // 0: no limit
	busyMax int64

	busy    atomic.Int64  // requests of the whole app, but for those whose small body still comes
	turn    atomic.Uint64 // place in the order of the versions
	shift   atomic.Uint64 // where the search for the least busy instance starts
	shadow  atomic.Uint64
	user    atomic.Uint64 // place in the order of new users
	shadows chan struct{} // a place for each mirrored request
	now     atomic.Pointer[routing]

	mu        sync.Mutex
	route     rollout.Route
	shown     rollout.Version
	instances []*Instance
	counts    map[rollout.Version]*counts
	whenQuiet []chan struct{}
}

// A routing is what one request sees. It is never changed, only replaced.
type routing struct {
	route  rollout.Route
	pools  []pool
	order  []uint8        // of pools, see spread
	mirror []uint8        // 1 where a request is mirrored
	to     *pool          // of route.To; nil if it has no instance
	shown  *pool          // of the version that previews lead to; nil if there is none
	sticky map[string]int // index in pools, by token
	// users are the versions that a user may stay on, by what their cookie says, and share 1 where a new one goes to route.To.
	users map[string]rollout.Version
	share []uint8
}

// A pool holds the instances of a version that are in rotation.
type pool struct {
	version rollout.Version
	weight  int
	in      []*Instance
}

func newApp(a app.App) *App {
	p := &App{
		name:    a.Name,
		sticky:  a.Route.Sticky,
		timeout: a.Limits.Timeout,
		bodyMax: a.Limits.BodyBytes,
		busyMax: int64(a.Limits.InFlight),
		counts:  map[rollout.Version]*counts{},
		shadows: make(chan struct{}, 64),
	}
	if p.timeout == 0 {
		p.timeout = time.Minute
	}
	if p.busyMax == 0 {
		p.busyMax = 10_000
	}
	p.now.Store(&routing{})
	return p
}

// Add puts an instance into rotation. Addrs holds its host:port by name of the port. Traffic comes once its version has weight.
func (a *App) Add(version rollout.Version, id string, addrs map[string]string) *Instance {
	a.mu.Lock()
	if a.counts[version] == nil {
		a.counts[version] = &counts{}
	}
	i := newInstance(a, version, id, addrs, a.counts[version])
	a.instances = append(a.instances, i)
	a.mu.Unlock()
	a.rebuild()
	return i
}

// SetRoute makes route the one that new requests follow. When it returns, no later request follows the old one.
func (a *App) SetRoute(route rollout.Route) {
	a.mu.Lock()
	a.route = route
	a.mu.Unlock()
	a.rebuild()
}

// Show makes previews lead to a version, whatever its weight. Empty: to none.
func (a *App) Show(v rollout.Version) {
	a.mu.Lock()
	a.shown = v
	a.mu.Unlock()
	a.rebuild()
}

// Route is the one that requests follow now, read back from where they read it.
func (a *App) Route() rollout.Route { return a.now.Load().route }

// InFlight counts the requests of one version on all its instances.
func (a *App) InFlight(version rollout.Version) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := 0
	for _, i := range a.instances {
		if i.version == version {
			n += i.InFlight()
		}
	}
	return n
}

// Busy counts the requests of the app that are on their way, upgraded connections too.
func (a *App) Busy() int { return int(a.busy.Load()) }

func (a *App) forget(i *Instance) {
	a.mu.Lock()
	a.instances = slices.DeleteFunc(a.instances, func(o *Instance) bool { return o == i })
	a.mu.Unlock()
	a.rebuild()
}

func (a *App) rebuild() {
	a.mu.Lock()
	defer a.mu.Unlock()
	r := &routing{route: a.route, sticky: map[string]int{}}
	versions := slices.Sorted(maps.Keys(a.route.Weights))
	if to := a.route.To; to != "" && !slices.Contains(versions, to) {
		versions = append(versions, to)
	}
	weights := make([]int, len(versions))
	for n, v := range versions {
		weights[n] = a.route.Weights[v]
		p := pool{version: v, weight: weights[n], in: a.inRotation(v)}
		for _, i := range p.in {
			r.sticky[i.token] = n
		}
		r.pools = append(r.pools, p)
	}
	if a.shown != "" {
		r.shown = &pool{version: a.shown, in: a.inRotation(a.shown)}
	}
	for n := range r.pools {
		if r.pools[n].version == a.route.To && len(r.pools[n].in) > 0 {
			r.to = &r.pools[n]
		}
	}
	r.order = spread(weights)
	if m := a.route.Match; m != nil && m.Users > 0 {
		r.share = spread([]int{100 - min(m.Users, 100), min(m.Users, 100)})
		r.users = map[string]rollout.Version{}
		for _, v := range versions {
			r.users[userOf(v)] = v
		}
	}
	if a.route.Mirror > 0 && r.to != nil {
		r.mirror = spread([]int{100 - min(a.route.Mirror, 100), min(a.route.Mirror, 100)})
	}
	a.now.Store(r)
}

// inRotation are the instances of a version that get requests. The lock is held.
func (a *App) inRotation(v rollout.Version) []*Instance {
	var in []*Instance
	for _, i := range a.instances {
		if i.version == v && !i.Out() {
			in = append(in, i)
		}
	}
	return in
}

// quiet is closed once no request of the app is on its way.
func (a *App) quiet() <-chan struct{} {
	done := make(chan struct{})
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.busy.Load() == 0 {
		close(done)
		return done
	}
	a.whenQuiet = append(a.whenQuiet, done)
	return done
}

func (a *App) enter() bool { return a.busy.Add(1) <= a.busyMax }

func (a *App) leave() {
	if a.busy.Add(-1) > 0 {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, done := range a.whenQuiet {
		close(done)
	}
	a.whenQuiet = nil
}

func (a *App) close() {
	a.mu.Lock()
	all := slices.Clone(a.instances)
	a.mu.Unlock()
	for _, i := range all {
		i.Forget()
	}
}
