package rollout

import (
	"fmt"
	"strings"
)

// Phases holds every phase with its meaning, in the order of a passage.
var Phases = []struct {
	Phase Phase
	Means string
	Ends  string
}{
	{Unseen, "the engine has never looked at the app", "with the first look that finds something standing, or a version asked for"},
	{Idle, "at rest: one version serves, and everything is as its user wrote it", "when the template asks for another version, or somebody orders an undo or retry"},
	{Preparing, "the candidate grows and gets no traffic; a preview waits here for a promote", "when the candidate carries its first share"},
	{Shifting, "traffic moves to the candidate, step by step or in lockstep with its instances", "after the last step"},
	{Promoting, "the candidate gets all instances, then all traffic", "when all traffic is seen to have arrived"},
	{Finishing, "the old version is held back, drains and goes", "when nothing of it runs any more"},
	{Aborting, "stable's capacity, then its traffic, then its template come back, and the candidate goes", "when stable serves all and the template is no longer the candidate's"},
	{Held, "at rest: stable serves, the template asks for the refused version, and nothing of that starts", "when the template asks for another version, or somebody orders a retry"},
}

// Diagram is the table of transitions for a page: a picture in Mermaid, the phases, and the edges.
func Diagram() string {
	var b strings.Builder
	b.WriteString("```mermaid\nstateDiagram-v2\n")
	for _, e := range Edges {
		from := string(e.From)
		if e.From == Unseen {
			from = "[*]"
		}
		fmt.Fprintf(&b, "    %s --> %s\n", from, e.To)
	}
	b.WriteString("```\n\n| phase | meaning | what ends it |\n|---|---|---|\n")
	for _, p := range Phases {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", name(p.Phase), p.Means, p.Ends)
	}
	b.WriteString("\n| from | to | when |\n|---|---|---|\n")
	for _, e := range Edges {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", name(e.From), name(e.To), e.Means)
	}
	return b.String()
}

func name(p Phase) string {
	if p == Unseen {
		return "(unseen)"
	}
	return string(p)
}
