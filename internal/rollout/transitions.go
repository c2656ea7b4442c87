package rollout

// An Edge is one legal way from a phase to another.
type Edge struct {
	From, To Phase
	// Means says when the edge is taken, in words.
	Means string
}

// Unseen is the phase of the zero State: an app that the engine has never looked at.
const Unseen Phase = ""

// Edges holds every legal way from phase to phase, in the order of a passage. Decide lets no other through.
var Edges = []Edge{
	{Unseen, Idle, "something stands already and is adopted as it is"},
	{Unseen, Preparing, "nothing stands: the first version comes up"},

	{Idle, Preparing, "the template asks for another version, or an undo or retry was ordered"},
	{Idle, Held, "the template asks for the refused version again"},
	{Held, Preparing, "the template asks for yet another version, or a retry was ordered"},
	{Held, Idle, "the template asks for stable again"},

	{Preparing, Shifting, "the candidate carries its first share"},
	{Preparing, Promoting, "the whole candidate serves and may have all traffic at once"},
	{Shifting, Promoting, "the last step is over"},
	{Promoting, Finishing, "the candidate serves with all instances and all traffic has converged on it"},
	{Finishing, Idle, "the old version is gone: the candidate is stable now"},

	{Preparing, Aborting, "ordered, out of time, a gate failed, or the template changed"},
	{Shifting, Aborting, "ordered, out of time, a gate failed, the candidate was lost, or the template changed"},
	{Promoting, Aborting, "ordered, out of time, the candidate was lost, or the template changed"},
	{Finishing, Aborting, "ordered, a gate failed, the candidate was lost while the old version still serves, or the template asks for that again"},

	{Aborting, Idle, "stable has its capacity, its traffic and its template, and nothing else stands"},
	{Aborting, Held, "the same, except that the template still or again asks for the refused version"},
	{Aborting, Preparing, "the same, and the template asks for another version"},
}

// legal tells whether the table holds the edge. Staying is no edge and always legal.
func legal(from, to Phase) bool {
	if from == to {
		return true
	}
	for _, e := range Edges {
		if e.From == from && e.To == to {
			return true
		}
	}
	return false
}
