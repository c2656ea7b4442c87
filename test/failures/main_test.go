package main

import (
	"strings"
	"testing"
)

// What Go printed of two tests told side by side; one of them fails in a part.
const told = `=== RUN   TestA
=== PAUSE TestA
=== RUN   TestB
=== PAUSE TestB
=== CONT  TestA
    a_test.go:3: 0 of 700 lost
=== RUN   TestA/canary
=== CONT  TestB
    b_test.go:9: all is well
=== NAME  TestA/canary
    msg="a log of the controller"
    a_test.go:4: 2 of 900 lost
    a_test.go:5: asked for 3, ready 2
    world.go:98: what stands after the failure:
    world.go:99: status: {
--- PASS: TestB (0.10s)
--- FAIL: TestA (0.20s)
    --- FAIL: TestA/canary (0.10s)
FAIL
`

func TestCollect(t *testing.T) {
	var out, failed strings.Builder
	if err := collect(strings.NewReader(told), &out, &failed); err != nil {
		t.Fatal(err)
	}
	if out.String() != told {
		t.Errorf("passed on:\n%s", out.String())
	}
	want := "TestA/canary\n\ta_test.go:4: 2 of 900 lost\n\ta_test.go:5: asked for 3, ready 2\n"
	if failed.String() != want {
		t.Errorf("got\n%s\nwant\n%s", failed.String(), want)
	}
}

// A panic ends a test before Go can say that it failed.
func TestCollect_Panic(t *testing.T) {
	var out, failed strings.Builder
	if err := collect(strings.NewReader("=== RUN   TestA\npanic: nil map\n\ngoroutine 1:\n"), &out, &failed); err != nil {
		t.Fatal(err)
	}
	if want := "TestA\n\tpanic: nil map\n"; failed.String() != want {
		t.Errorf("got %q, want %q", failed.String(), want)
	}
}
