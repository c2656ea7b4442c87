package report

import "strings"

// A Source is where a version comes from.
type Source struct {
	// Repository of the code, without credentials.
	Repository string `json:"repository,omitempty"`
	Tag        string `json:"tag,omitempty"`
	Commit     string `json:"commit,omitempty"`
	// Digest of the image that is run.
	Digest string `json:"digest,omitempty"`
	// SignedBy is the key whose signature the tag carries; empty where none is asked for.
	SignedBy string `json:"signedBy,omitempty"`
}

// String says it on one line.
func (s *Source) String() string {
	if s == nil || s.Tag == "" {
		return ""
	}
	words := []string{"from tag " + s.Tag}
	if s.Commit != "" {
		words = append(words, "("+s.Commit[:min(12, len(s.Commit))]+")")
	}
	if s.Repository != "" {
		words = append(words, "of "+s.Repository)
	}
	text := strings.Join(words, " ")
	if s.Digest != "" {
		text += ", image " + s.Digest[:min(len("sha256:")+12, len(s.Digest))]
	}
	if s.SignedBy != "" {
		text += ", signed by " + s.SignedBy
	}
	return text
}
