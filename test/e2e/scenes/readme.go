// Package scenes types along what the READMEs of examples/kubernetes say, on a cluster into which Gapless was installed as they say.
package scenes

import (
	"os"
	"regexp"
	"strings"
)

// A block is what a README has its reader type, under a heading.
type block struct{ heading, text string }

var fences = regexp.MustCompile("(?ms)^## ([^\n]*)$|^```sh\n(.*?)^```$")

// blocksOf are the blocks of a README in their order. What stands before the first heading has none.
func blocksOf(file string) ([]block, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var all []block
	heading := ""
	for _, m := range fences.FindAllStringSubmatch(string(text), -1) {
		if m[1] != "" {
			heading = m[1]
			continue
		}
		all = append(all, block{heading, m[2]})
	}
	return all, nil
}

// probes tells whether a block is for the second terminal.
func (b block) probes() bool { return strings.HasPrefix(b.text, "gapless probe ") }
