package kittest_test

import (
	"testing"
	"time"

	"gapless.dev/kit/kittest"
)

func ExampleConform() {
	// In a test of the service:
	_ = func(t *testing.T) {
		kittest.Conform(t, &kittest.Command{
			Path:     "./server",
			Args:     []string{"-listen", ":{port}"},
			Declared: kittest.Spec{Grace: 12 * time.Second, Drain: 2 * time.Second},
		})
	}
}
