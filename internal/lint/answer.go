package lint

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"gapless.dev/gapless/internal/lint/manifest"
)

// Answers are values for rules that ask, by key: K3.start, or for one object alone: Deployment/api:K3.start.
type Answers map[string]string

// ParseAnswer reads KEY=VALUE and checks that a rule asks for the key.
func ParseAnswer(rules []Rule, text string) (key, value string, err error) {
	key, value, ok := strings.Cut(text, "=")
	if !ok || key == "" || value == "" {
		return "", "", fmt.Errorf("--set %s: write KEY=VALUE, such as --set K3.start=40s", text)
	}
	name := key[strings.LastIndexByte(key, ':')+1:]
	var known []string
	for _, rule := range rules {
		for _, ask := range rule.Asks {
			if ask.Key == name {
				if err := ask.Check(value); err != nil {
					return "", "", fmt.Errorf("--set %s: %w", text, err)
				}
				return key, value, nil
			}
			known = append(known, ask.Key)
		}
	}
	slices.Sort(known)
	return "", "", fmt.Errorf("--set %s: no rule asks for %s; the keys are %s", text, name, strings.Join(slices.Compact(known), ", "))
}

// IsDuration takes times of at least a second.
func IsDuration(answer string) error {
	if d, ok := Duration(answer); !ok || d < time.Second {
		return fmt.Errorf("%q is no time of at least 1s: write 40s, 2m or 40", answer)
	}
	return nil
}

// IsEndpoint takes a path, with or without a port.
func IsEndpoint(answer string) error {
	path, port, _ := strings.Cut(answer, ":")
	if !strings.HasPrefix(path, "/") || strings.ContainsAny(path+port, " \t\n#\"'{}[]:,&*!|>%@`") {
		return fmt.Errorf("%q is no path: write /ready or /ready:8081", answer)
	}
	return nil
}

// OneOf takes some words and no others.
func OneOf(words ...string) func(string) error {
	return func(answer string) error {
		if !slices.Contains(words, answer) {
			return fmt.Errorf("%q is not an answer: write %s", answer, strings.Join(words, " or "))
		}
		return nil
	}
}

// Of is the answer for an object: its own, else the one for all.
func (a Answers) Of(o *manifest.Object, key string) string {
	if own, ok := a[o.ID()+":"+key]; ok {
		return own
	}
	return a[key]
}

// Duration is an answer that is a time; false when it was not given, or is none.
func (a Answers) Duration(o *manifest.Object, key string) (time.Duration, bool) {
	text := a.Of(o, key)
	if text == "" {
		return 0, false
	}
	return Duration(text)
}

// A CheckReport is what lint takes from the JSON report of a live test.
type CheckReport struct {
	// StartMs is the time from the start of the process to the first readiness, in milliseconds; 0 if it was not measured.
	StartMs float64 `json:"startMs"`
	// Service is how the service was asked.
	Service struct {
		// Ready is the path of its readiness, on HealthPort if that is not the service's own.
		Ready      string `json:"ready"`
		HealthPort int    `json:"healthPort"`
		// Readiness is what it was declared to do on SIGTERM.
		Readiness string `json:"readiness"`
	} `json:"service"`
	Rules []struct {
		ID     string `json:"id"`
		Result string `json:"result"`
	} `json:"rules"`
}

// ReadCheckReport reads the report in a file, if one is named.
func ReadCheckReport(readFile func(string) ([]byte, error), name string) (*CheckReport, error) {
	if name == "" {
		return nil, nil
	}
	data, err := readFile(name)
	if err != nil {
		return nil, fmt.Errorf("--check: %w", err)
	}
	return ParseCheckReport(name, data)
}

// ParseCheckReport reads a report; the name is for messages.
func ParseCheckReport(name string, data []byte) (*CheckReport, error) {
	var r CheckReport
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, fmt.Errorf("%s is no report of gapless check -o json: %w", name, err)
	}
	if r.StartMs < 0 || r.StartMs > float64((24*time.Hour).Milliseconds()) {
		return nil, fmt.Errorf("%s: startMs: %v is no time that a service starts in", name, r.StartMs)
	}
	if p := r.Service.HealthPort; p < 0 || p > 65535 {
		return nil, fmt.Errorf("%s: service.healthPort: %d is no port", name, p)
	}
	if len(r.Rules) == 0 && r.StartMs == 0 {
		return nil, fmt.Errorf("%s is no report of gapless check -o json: it has neither rules nor startMs", name)
	}
	return &r, nil
}

// Passed reports whether the live test has seen a Z rule hold. False for no report.
func (r *CheckReport) Passed(id string) bool { return r.result(id) == "pass" }

// Failed reports whether the live test has seen a Z rule broken. False for no report.
func (r *CheckReport) Failed(id string) bool { return r.result(id) == "fail" }

func (r *CheckReport) result(id string) string {
	if r == nil {
		return ""
	}
	for _, one := range r.Rules {
		if one.ID == id {
			return one.Result
		}
	}
	return ""
}

// Given is the answer to a question: what somebody said, else what a live test has seen to hold; empty if nobody knows.
func (w *World) Given(o *manifest.Object, key string) string {
	if said := w.Answers.Of(o, key); said != "" || w.Checked == nil {
		return said
	}
	switch s := w.Checked.Service; {
	case key == "K1.ready" && w.Checked.Passed("Z3") && strings.HasPrefix(s.Ready, "/"):
		answer := s.Ready
		if s.HealthPort > 0 {
			answer += ":" + strconv.Itoa(s.HealthPort)
		}
		if IsEndpoint(answer) == nil {
			return answer
		}
	case key == "K10.readiness" && w.Checked.Passed("Z4"):
		if OneOf("ServeTerminating", "Flip")(s.Readiness) == nil {
			return s.Readiness
		}
	}
	return ""
}

// Start is how long the service takes to start, by a flag or by a report; false if nobody knows.
func (w *World) Start(o *manifest.Object) (time.Duration, string, bool) {
	if d, ok := w.Answers.Duration(o, "K3.start"); ok {
		return d, "given", true
	}
	if w.Checked != nil && w.Checked.StartMs > 0 {
		return time.Duration(w.Checked.StartMs * float64(time.Millisecond)), "measured", true
	}
	return 0, "", false
}
