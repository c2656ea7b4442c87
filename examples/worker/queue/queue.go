// Package queue is a queue of files in a folder. An item is in new/, then in work/ of whoever has taken it, then in done/. Taking and
// finishing are renames, so each happens once.
package queue

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// A Queue is a folder.
type Queue struct{ Dir string }

// Open makes the folders that are missing.
func Open(dir string) (Queue, error) {
	q := Queue{dir}
	var errs []error
	for _, name := range []string{"new", "work", "done"} {
		errs = append(errs, os.MkdirAll(filepath.Join(dir, name), 0o755))
	}
	return q, errors.Join(errs...)
}

// Put adds an item.
func (q Queue) Put(name, text string) error {
	draft := filepath.Join(q.Dir, "."+name)
	if err := os.WriteFile(draft, []byte(text), 0o644); err != nil {
		return err
	}
	return os.Rename(draft, filepath.Join(q.Dir, "new", name))
}

// Consume takes one item after the other and does it, until ctx ends. The item at hand is done before it returns.
func (q Queue) Consume(ctx context.Context, do func(text string) error) error {
	for ctx.Err() == nil {
		did, err := q.one(do)
		if err != nil {
			return err
		}
		if !did {
			rest(ctx, 50*time.Millisecond)
		}
	}
	return ctx.Err()
}

// rest waits, at most until ctx ends.
func rest(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// one does an item, if there is one that nobody else takes.
func (q Queue) one(do func(string) error) (did bool, err error) {
	items, err := os.ReadDir(filepath.Join(q.Dir, "new"))
	if err != nil || len(items) == 0 {
		return false, err
	}
	name := items[0].Name()
	at := filepath.Join(q.Dir, "work", name)
	if err := os.Rename(filepath.Join(q.Dir, "new", name), at); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return true, nil // somebody else has it
		}
		return false, err
	}
	text, err := os.ReadFile(at)
	if err != nil {
		return false, err
	}
	if err := do(string(text)); err != nil {
		return false, errors.Join(err, os.Rename(at, filepath.Join(q.Dir, "new", name))) // back, for another try
	}
	return true, os.Rename(at, filepath.Join(q.Dir, "done", name))
}
