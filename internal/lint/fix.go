package lint

import (
	"bytes"
	"slices"

	"gapless.dev/gapless/internal/lint/manifest"
)

// A Fixed is what Fix made of a file.
type Fixed struct {
	Name          string
	Before, After []byte
}

// Changed reports whether there is anything to write.
func (f Fixed) Changed() bool { return !bytes.Equal(f.Before, f.After) }

// rounds bounds how often one fix may make room for another, such as a longer grace period after a new preStop.
const rounds = 5

// Fix mends what can be mended without guessing, and returns the files' new text and the changes that have to be made by hand. A
// second Fix of its result changes nothing.
func Fix(rules []Rule, files []*manifest.File, answers Answers, checked *CheckReport) (fixed []Fixed, refused []error) {
	files = slices.Clone(files)
	for _, f := range files {
		fixed = append(fixed, Fixed{Name: f.Name, Before: f.Text(), After: f.Text()})
	}
	for range rounds {
		edits := map[string][]manifest.Edit{}
		for _, finding := range Run(rules, NewWorld(files, answers, checked)) {
			if finding.Ignored == "" {
				for _, e := range finding.Edits {
					edits[e.File] = append(edits[e.File], e)
				}
			}
		}
		refused = nil
		changed := false
		for i, f := range files {
			text, errs := f.Apply(edits[f.Name])
			refused = append(refused, errs...)
			if !bytes.Equal(text, fixed[i].After) {
				changed = true
				fixed[i].After = text
				files[i], _ = manifest.Parse(f.Name, text)
			}
		}
		if !changed {
			break
		}
	}
	return fixed, refused
}
