// Package cluster_test measures on a real cluster: what is lost, how much of the API server a rollout takes, and how hundreds of Deployments
// fare that are changed at once. `make bench-cluster` runs it; it asserts nothing.
package cluster_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// A table is printed row by row, and written at the end as Markdown to the file that GAPLESS_TABLE names.
type table struct {
	t    *testing.T
	text strings.Builder
}

func newTable(t *testing.T, title string, columns ...string) *table {
	t.Helper()
	if os.Getenv("GAPLESS_E2E") == "" {
		t.Skip("needs a cluster: make bench-cluster")
	}
	o := &table{t: t}
	fmt.Fprintf(&o.text, "\n## %s\n\n", title)
	o.row(columns...)
	o.row(strings.Split(strings.Repeat("--- ", len(columns)), " ")[:len(columns)]...)
	t.Cleanup(func() {
		text := o.text.String()
		fmt.Print(text)
		path := os.Getenv("GAPLESS_TABLE")
		if path == "" {
			return
		}
		f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err != nil {
			t.Error(err)
			return
		}
		defer f.Close()
		if _, err := f.WriteString(text); err != nil {
			t.Error(err)
		}
	})
	return o
}

func (o *table) row(cells ...string) {
	line := "| " + strings.Join(cells, " | ") + " |"
	o.t.Log(line)
	o.text.WriteString(line + "\n")
}

func (o *table) say(format string, args ...any) {
	fmt.Fprintf(&o.text, "\n"+format+"\n", args...)
}
