package rollout

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// instances counts them in words.
func instances(n int) string {
	if n == 1 {
		return "1 instance"
	}
	return fmt.Sprintf("%d instances", n)
}

// why adds what is seen to be wrong to a sentence.
func why(s Standing) string {
	if s.Failure == "" {
		return ""
	}
	return ": " + s.Failure
}

// String is the route for people, versions in the order of their names: "1.0.0 75 %, 2.0.0 25 %".
func (r Route) String() string {
	var parts []string
	for _, v := range slices.Sorted(maps.Keys(r.Weights)) {
		if w := r.Weights[v]; w > 0 {
			parts = append(parts, fmt.Sprintf("%s %d %%", v, w))
		}
	}
	if len(parts) == 0 {
		parts = []string{"nothing"}
	}
	if r.Open {
		parts = append(parts, "by share of instances")
	}
	if r.Match != nil {
		parts = append(parts, fmt.Sprintf("%s to %s", r.Match, r.To))
	}
	if r.Mirror > 0 {
		writes := ""
		if r.MirrorWrites {
			writes = ", writes too,"
		}
		parts = append(parts, fmt.Sprintf("%d %%%s mirrored to %s", r.Mirror, writes, r.To))
	}
	return strings.Join(parts, ", ")
}

// gives is what a step gives the candidate, for people: "25 %", or "20 % of the users".
func (s Step) gives() string {
	var parts []string
	if s.Weight > 0 || s.Match == nil && s.Mirror == 0 {
		parts = append(parts, fmt.Sprintf("%d %%", s.Weight))
	}
	if s.Match != nil {
		parts = append(parts, s.Match.String())
	}
	if s.Mirror > 0 {
		parts = append(parts, fmt.Sprintf("%d %% mirrored", s.Mirror))
	}
	return strings.Join(parts, ", ")
}

// String is the match for people: "header x-beta=1", or "20 % of the users".
func (m *Match) String() string {
	if m.Users > 0 {
		return fmt.Sprintf("%d %% of the users", m.Users)
	}
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(m.Header)) {
		parts = append(parts, fmt.Sprintf("header %s=%s", k, m.Header[k]))
	}
	for _, k := range slices.Sorted(maps.Keys(m.Cookie)) {
		parts = append(parts, fmt.Sprintf("cookie %s=%s", k, m.Cookie[k]))
	}
	return strings.Join(parts, " and ")
}
