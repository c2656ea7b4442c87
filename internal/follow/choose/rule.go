// Package choose tells which tag of a repository is to be live. It is pure: tags and what is remembered come in, a choice and what is to
// be remembered go out. Nothing that a repository says can make it go back, or take a tag that has moved, without a person's yes.
package choose

import (
	"fmt"
	"strings"

	"github.com/Masterminds/semver/v3"
)

// A Rule says which tags are followed.
type Rule struct {
	// Tags is a pattern with one *, which stands for the version: v*, or api-v*. Default v*, which takes tags without the v, too.
	Tags string
	// Versions is a range such as ~2.1 or >=1.2 <3. Default: every release. Pre-releases are only taken by a range that names one, such as >=2.0.0-0.
	Versions string
}

// Check tells what is wrong with a rule, and how to write it.
func (r Rule) Check() error {
	if r.Tags != "" && strings.Count(r.Tags, "*") != 1 {
		return fmt.Errorf("tags %q: write one *, which stands for the version, such as v*", r.Tags)
	}
	if strings.ContainsAny(r.Tags, " \t\n~^:?[\\") || len(r.Tags) > 100 {
		return fmt.Errorf("tags %q: no tag can be called that; write letters, digits and one *, such as api-v*", r.Tags)
	}
	if r.Versions == "" {
		return nil
	}
	if len(r.Versions) > 200 {
		return fmt.Errorf("versions: %d letters are more than the 200 that are read; write a range such as ~2.1", len(r.Versions))
	}
	if _, err := semver.NewConstraint(r.Versions); err != nil {
		return fmt.Errorf("versions %q: %w; write a range such as ~2.1 or >=1.2 <3", r.Versions, err)
	}
	return nil
}

// version is what a tag's name says, or why it says nothing that is followed.
func (r Rule) version(tag string) (*semver.Version, kind) {
	text, ok := r.part(tag)
	if !ok || len(text) > 63 {
		return nil, otherName
	}
	v, err := semver.StrictNewVersion(text)
	if err != nil {
		return nil, noVersion
	}
	if v.Metadata() != "" {
		return nil, metadata
	}
	if r.Versions == "" {
		if v.Prerelease() != "" {
			return nil, prerelease
		}
		return v, followed
	}
	c, err := semver.NewConstraint(r.Versions)
	if err != nil {
		return nil, outOfRange
	}
	if !c.Check(v) {
		if v.Prerelease() != "" {
			return nil, prerelease
		}
		return nil, outOfRange
	}
	return v, followed
}

// part is what stands in the place of the *.
func (r Rule) part(tag string) (string, bool) {
	if r.Tags == "" {
		return strings.TrimPrefix(tag, "v"), true
	}
	before, after, _ := strings.Cut(r.Tags, "*")
	rest, ok := strings.CutPrefix(tag, before)
	if !ok {
		return "", false
	}
	return strings.CutSuffix(rest, after)
}

// A kind sorts tags by whether they are followed.
type kind int

const (
	followed   kind = iota
	otherName       // the pattern does not match
	noVersion       // what stands for the * is no version of three numbers
	metadata        // it has a +, which the tag of an image cannot
	prerelease      // and no range asks for it
	outOfRange
	kinds
)

var kindWords = [kinds]string{
	"", "named otherwise", "without a version of three numbers", "with a +, which the tag of an image cannot hold",
	"pre-releases", "outside of the range",
}
