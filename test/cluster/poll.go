//go:build linux

package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// final is an error that waiting longer cannot mend.
type final struct{ error }

func (f final) Unwrap() error { return f.error }

func stop(err error) error { return final{err} }

// poll asks until it is told nil, a final error, or the context ends; then it says what was still missing.
func poll(ctx context.Context, ask func() error) error {
	const every = 50 * time.Millisecond
	again := time.NewTimer(every)
	defer again.Stop()
	for {
		err := ask()
		var f final
		if err == nil || errors.As(err, &f) {
			return err
		}
		again.Reset(every)
		select {
		case <-ctx.Done():
			return fmt.Errorf("not ready in time: %w (%w)", err, context.Cause(ctx))
		case <-again.C:
		}
	}
}
