package app

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// A Problem is one thing in the file that cannot be meant, with the way to put it right.
type Problem struct {
	Line int `json:"line"`
	// Field is the path of the field, such as apps[1].strategy.canary.steps[2].weight; empty for the file as a whole.
	Field string `json:"field,omitempty"`
	// Value is what stands there, shortened; empty where nothing does.
	Value string `json:"value,omitempty"`
	What  string `json:"what"`
	Fix   string `json:"fix"`
}

// Problems is everything that is wrong with a file, in the order of its lines. As an error it prints all of it.
type Problems struct {
	File string    `json:"file"`
	List []Problem `json:"problems"`
}

func (p *Problems) Error() string {
	var b strings.Builder
	for i, one := range p.List {
		if i > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "%s:%d: ", p.File, one.Line)
		if one.Field != "" {
			b.WriteString(one.Field + ": ")
		}
		if one.Value != "" {
			fmt.Fprintf(&b, "%q: ", one.Value)
		}
		fmt.Fprintf(&b, "%s\n    fix: %s", one.What, one.Fix)
	}
	return b.String()
}

// ErrorOrNil is nil when nothing is wrong, so that a nil *Problems never hides in an error.
func (p *Problems) ErrorOrNil() error {
	if len(p.List) == 0 {
		return nil
	}
	slices.SortFunc(p.List, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Field, b.Field), cmp.Compare(a.What, b.What), cmp.Compare(a.Fix, b.Fix))
	})
	p.List = slices.Compact(p.List)
	if more := len(p.List) - maxShown; more > 0 {
		p.List = append(p.List[:maxShown:maxShown], Problem{Line: p.List[maxShown].Line, What: fmt.Sprintf("%d more problems from here on", more), Fix: "put the ones above right first"})
	}
	return p
}

// maxShown is more than anybody reads.
const maxShown = 50

// Add notes something wrong with a field that was found after the file was read, such as a command that is not there.
func (p *Problems) Add(lines map[string]int, field, value, what, fix string) {
	p.List = append(p.List, Problem{Line: max(1, lines[field]), Field: field, Value: value, What: what, Fix: fix})
}
