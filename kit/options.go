package kit

import (
	"log/slog"
	"time"
)

// Option changes how a [Service] is set up. What the environment says wins
// over an option: the platform knows the grace period, the code guesses it.
type Option func(*Service)

// WithBudget sets the time budget. Default [DefaultBudget].
func WithBudget(b Budget) Option { return func(s *Service) { s.budget = b } }

// WithVersion sets what the header Gapless-Version says. Default none.
func WithVersion(version string) Option { return func(s *Service) { s.version = version } }

// WithLogger sets where the service logs its few lines. Default slog.Default().
func WithLogger(log *slog.Logger) Option { return func(s *Service) { s.log = log } }

// WithReadiness declares what readiness says while the service drains.
// Default [Flip].
func WithReadiness(mode Readiness) Option { return func(s *Service) { s.readiness = mode } }

// WithReport sets the file that the drain report is written to. Default
// /dev/termination-log where that can be written, else one log line.
func WithReport(path string) Option { return func(s *Service) { s.reportPath = path } }

// WithDrainEndpoint adds /drain to the health listener: a GET or POST there
// starts the drain as SIGTERM does, and with ?wait answers when nothing is in
// flight any more. For a preStop httpGet hook. Without this option no request
// can stop the service.
func WithDrainEndpoint() Option { return func(s *Service) { s.drainEndpoint = true } }

// Readiness says what a draining service answers on /readyz.
type Readiness string

const (
	// Flip answers 503 as soon as the drain starts: takes the service out of
	// rotation also where nobody else announces its end (a node shutdown, a
	// restart in place).
	Flip Readiness = "Flip"
	// ServeTerminating answers 200 until nothing new is accepted any more:
	// for a single replica or externalTrafficPolicy Local, where being
	// "serving while terminating" is what keeps traffic coming here.
	ServeTerminating Readiness = "ServeTerminating"
)

// DependencyOption changes how a dependency is watched.
type DependencyOption func(*dependency)

// Every sets the time between two checks. Default 10 s.
func Every(d time.Duration) DependencyOption { return func(dep *dependency) { dep.every = d } }

// Timeout sets how long a check may take before it counts as failed. Default 1 s.
func Timeout(d time.Duration) DependencyOption { return func(dep *dependency) { dep.timeout = d } }

// FailAfter sets how many checks in a row must fail for the dependency to be
// down. Default 3. Two in a row must pass for it to be up again.
func FailAfter(n int) DependencyOption { return func(dep *dependency) { dep.failAfter = n } }

// Required makes the service unready while the dependency is down, and until
// it was up once. Without it the service is degraded, says so, and stays
// ready: a database that is away must not take every replica out of rotation.
func Required() DependencyOption { return func(dep *dependency) { dep.required = true } }
