// Package metrics is what the controller tells a Prometheus of itself and of the rollouts that it drives.
package metrics

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gapless.dev/gapless/internal/rollout"
)

// A Definition is one metric.
type Definition struct {
	Name string
	// Kind is gauge, counter or histogram.
	Kind   string
	Labels []string
	Help   string
}

// All of them, in the order of the page.
var All = []Definition{
	{"gapless_build_info", "gauge", []string{"version"}, "1, with the version of the controller."},
	{"gapless_leader", "gauge", nil, "1 in the controller that drives, 0 in those that stand by."},
	{"gapless_rollouts", "gauge", nil, "Rollouts that this controller drives."},
	{"gapless_rollout_info", "gauge", []string{"namespace", "rollout", "strategy", "stable", "candidate"}, "1, with the versions; candidate is empty at rest."},
	{"gapless_rollout_phase", "gauge", []string{"namespace", "rollout", "phase"}, "1 for the phase in which the rollout is."},
	{"gapless_rollout_revision", "gauge", []string{"namespace", "rollout"}, "The number of the present revision."},
	{"gapless_rollout_weight_ratio", "gauge", []string{"namespace", "rollout"}, "The candidate's share of the traffic, 0 to 1, as it was last told."},
	{"gapless_rollout_waiting", "gauge", []string{"namespace", "rollout"}, "1 while a person has to decide."},
	{"gapless_rollout_paused", "gauge", []string{"namespace", "rollout"}, "1 while somebody holds the rollout paused."},
	{"gapless_rollout_phase_timestamp_seconds", "gauge", []string{"namespace", "rollout"}, "When the present phase began, in seconds since 1970."},
	{"gapless_revisions_total", "counter", []string{"namespace", "rollout", "strategy", "outcome", "reason"}, "Revisions that are over; outcome is promoted, aborted or superseded."},
	{"gapless_revision_duration_seconds", "histogram", []string{"strategy", "outcome"}, "How long revisions took from begin to end."},
	{"gapless_gate_answers_total", "counter", []string{"namespace", "rollout", "gate", "at", "outcome"}, "Answers of gates that differ from the one before; outcome is pass, fail, wait or inconclusive."},
	{"gapless_errors_total", "counter", []string{"namespace", "rollout"}, "Looks that ended with an error and are made again, conflicts aside."},
	{"gapless_notifications_failed_total", "counter", []string{"namespace", "rollout"}, "Messages that could not be sent."},
}

// buckets of durations reach from a quick switch to a canary of a day.
var buckets = []float64{5, 15, 30, 60, 120, 300, 600, 1800, 3600, 3 * 3600, 12 * 3600, 24 * 3600}

// A Set is all metrics of one controller.
type Set struct {
	gauges     map[string]*prometheus.GaugeVec
	counters   map[string]*prometheus.CounterVec
	histograms map[string]*prometheus.HistogramVec

	mu    sync.Mutex
	begun map[string]time.Time // when the revisions that are under way began, as far as this controller saw it
}

// New makes them and has a registry show them.
func New(r prometheus.Registerer, version string) *Set {
	s := &Set{gauges: map[string]*prometheus.GaugeVec{}, counters: map[string]*prometheus.CounterVec{}, histograms: map[string]*prometheus.HistogramVec{}, begun: map[string]time.Time{}}
	for _, d := range All {
		switch d.Kind {
		case "gauge":
			s.gauges[d.Name] = prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: d.Name, Help: d.Help}, d.Labels)
			r.MustRegister(s.gauges[d.Name])
		case "counter":
			s.counters[d.Name] = prometheus.NewCounterVec(prometheus.CounterOpts{Name: d.Name, Help: d.Help}, d.Labels)
			r.MustRegister(s.counters[d.Name])
		case "histogram":
			s.histograms[d.Name] = prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: d.Name, Help: d.Help, Buckets: buckets}, d.Labels)
			r.MustRegister(s.histograms[d.Name])
		}
	}
	s.gauges["gapless_build_info"].WithLabelValues(version).Set(1)
	s.Leads(false)
	s.gauges["gapless_rollouts"].WithLabelValues().Set(0)
	return s
}

// Leads tells whether this controller drives.
func (s *Set) Leads(yes bool) { s.gauges["gapless_leader"].WithLabelValues().Set(number(yes)) }

// Drives tells how many Rollouts.
func (s *Set) Drives(n int) { s.gauges["gapless_rollouts"].WithLabelValues().Set(float64(n)) }

// Erred counts a look that ended with an error.
func (s *Set) Erred(namespace, name string) {
	s.counters["gapless_errors_total"].WithLabelValues(namespace, name).Inc()
}

// Unsent counts a message that could not be sent.
func (s *Set) Unsent(namespace, name string) {
	s.counters["gapless_notifications_failed_total"].WithLabelValues(namespace, name).Inc()
}

// Phases that a rollout can be in.
var phases = []rollout.Phase{
	rollout.Idle, rollout.Held, rollout.Preparing, rollout.Shifting, rollout.Promoting, rollout.Finishing, rollout.Aborting,
}

// Decided shows a decision: the strategy and the state before it, the decision, when, and what people call the versions.
func (s *Set) Decided(namespace, name string, plan rollout.Plan, before rollout.State, d rollout.Decision, at time.Time, called map[string]string) {
	now := d.State
	set := func(metric string, v float64) { s.gauges[metric].WithLabelValues(namespace, name).Set(v) }
	s.gauges["gapless_rollout_info"].DeletePartialMatch(prometheus.Labels{"namespace": namespace, "rollout": name})
	s.gauges["gapless_rollout_info"].WithLabelValues(namespace, name, string(plan.Strategy), word(called, now.Stable), word(called, now.Candidate)).Set(1)
	for _, p := range phases {
		s.gauges["gapless_rollout_phase"].WithLabelValues(namespace, name, string(p)).Set(number(p == now.Phase))
	}
	set("gapless_rollout_revision", float64(now.Revision))
	set("gapless_rollout_weight_ratio", float64(now.Weight())/100)
	set("gapless_rollout_waiting", number(d.Reason == rollout.ReasonAwaitingPromote))
	set("gapless_rollout_paused", number(now.Paused != nil))
	if !now.PhaseAt.IsZero() {
		set("gapless_rollout_phase_timestamp_seconds", float64(now.PhaseAt.UnixMilli())/1000)
	}
	for gate, v := range now.Gates {
		if was := before.Gates[gate]; (was.Of != v.Of || was.Outcome != v.Outcome) && now.Asked != nil {
			s.counters["gapless_gate_answers_total"].WithLabelValues(namespace, name, gate, string(now.Asked.Moment), string(v.Outcome)).Inc()
		}
	}
	s.ended(namespace, name, plan, before, d, at)
}

// ended counts a revision that is over. How long it took is only known of those that this controller saw begin.
func (s *Set) ended(namespace, name string, plan rollout.Plan, before rollout.State, d rollout.Decision, at time.Time) {
	key := namespace + "/" + name
	s.mu.Lock()
	begun, seen := s.begun[key]
	next := d.State.Revision > before.Revision
	over := rollout.Active(before.Phase) && (!rollout.Active(d.State.Phase) || next)
	if over {
		delete(s.begun, key)
	}
	if next && rollout.Active(d.State.Phase) {
		s.begun[key] = at
	}
	s.mu.Unlock()
	if !over {
		return
	}
	outcome, reason := "promoted", "Promoted"
	back := d.State.Aborted
	if back == nil {
		back = before.Aborted
	}
	if back != nil && d.State.Stable == before.Stable {
		outcome, reason = "aborted", back.Reason
		if reason == rollout.ReasonSuperseded {
			outcome = "superseded"
		}
	}
	s.counters["gapless_revisions_total"].WithLabelValues(namespace, name, string(plan.Strategy), outcome, reason).Inc()
	if seen {
		s.histograms["gapless_revision_duration_seconds"].WithLabelValues(string(plan.Strategy), outcome).Observe(at.Sub(begun).Seconds())
	}
}

// Forget takes a Rollout that is gone off the gauges.
func (s *Set) Forget(namespace, name string) {
	for _, d := range All {
		if g, ok := s.gauges[d.Name]; ok && len(d.Labels) > 1 && d.Labels[1] == "rollout" {
			g.DeletePartialMatch(prometheus.Labels{"namespace": namespace, "rollout": name})
		}
	}
}

func word(called map[string]string, v rollout.Version) string {
	if name, ok := called[string(v)]; ok {
		return name
	}
	return string(v)
}

func number(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
