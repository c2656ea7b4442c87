package choose

import (
	"errors"
	"fmt"
)

// A Reason is one word for what following stands at: of a Choice, or of what keeps it from being made or carried out.
type Reason string

// Reasons of a choice.
const (
	UpToDate  Reason = "UpToDate"
	Start     Reason = "Starting"
	NoTag     Reason = "NoTag"
	Moved     Reason = "TagMoved"
	Downgrade Reason = "Downgrade"
	Ambiguous Reason = "AmbiguousTag"
	BadRule   Reason = "BadRule"
)

// Reasons why a choice cannot be made or carried out.
const (
	// Unreachable: nobody answers, too slowly, or with an error of the server's own. It is tried again.
	Unreachable Reason = "Unreachable"
	// Denied: the credentials are wrong, or there is no such thing; hosts do not tell the two apart.
	Denied Reason = "Denied"
	// Refused: the answer is not one that is taken: too large, led to another host, of another kind.
	Refused Reason = "AnswerRefused"
	// Unverified: a tag has no signature by one of the keys.
	Unverified Reason = "TagUnverified"
	// NoImage: the image of the chosen tag does not exist yet.
	NoImage Reason = "WaitingForImage"
	// BuildFailed: the command that makes a tag's tree into a program failed.
	BuildFailed Reason = "BuildFailed"
	// Failed: something of our own went wrong. It is tried again.
	Failed Reason = "Failed"
)

// A Problem is why a choice cannot be made or carried out, in words for people. It carries no credential.
type Problem struct {
	Reason  Reason
	Message string
}

func (p *Problem) Error() string { return p.Message }

// Wrong makes a problem.
func Wrong(reason Reason, format string, args ...any) error {
	return &Problem{Reason: reason, Message: fmt.Sprintf(format, args...)}
}

// ReasonOf is the reason of an error; Failed for one that is no problem of ours.
func ReasonOf(err error) Reason {
	var p *Problem
	if errors.As(err, &p) {
		return p.Reason
	}
	return Failed
}
