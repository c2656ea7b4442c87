package main

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPage_IsTheOneInTheDocs(t *testing.T) {
	want, err := os.ReadFile("../../docs/reference/rollout.md")
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	if err := Page(&got); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got.String()); d != "" {
		t.Errorf("print it again: go run ./install/reference > docs/reference/rollout.md\n%s", d)
	}
}
