// Package typed types along what a page says, as its reader would.
package typed

import (
	"os"
	"regexp"
	"strings"
)

// A Block is what a page has its reader type, under a heading.
type Block struct{ Heading, Text string }

var fences = regexp.MustCompile("(?ms)^##+ ([^\n]*)$|^```sh\n(.*?)^```$")

// Blocks are those of a page in their order. What stands before the first heading below the title has none.
func Blocks(file string) ([]Block, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var all []Block
	heading := ""
	for _, m := range fences.FindAllStringSubmatch(string(text), -1) {
		if m[1] != "" {
			heading = m[1]
			continue
		}
		all = append(all, Block{heading, m[2]})
	}
	return all, nil
}

// Begins tells whether a block begins with a command line such as gapless probe.
func (b Block) Begins(command string) bool { return strings.HasPrefix(b.Text, command+" ") }
