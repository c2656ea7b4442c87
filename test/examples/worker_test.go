package examples

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"gapless.dev/gapless/examples/worker/queue"
)

// Workers are replaced again and again while there is work: with kit each item is done, once; without, some are in nobody's hands.
func TestWorker_IsReplacedBetweenTwoItems(t *testing.T) {
	t.Parallel()
	for name, keeps := range map[string]bool{"worker": true, "worker/bare": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			q, err := queue.Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			const items = 24 // a worker that is not stopped in time on a busy machine does some more
			for i := range items {
				if err := q.Put(fmt.Sprintf("%03d", i), fmt.Sprint("item ", i)); err != nil {
					t.Fatal(err)
				}
			}
			for range 3 {
				done, left := count(dir, "done"), count(dir, "work")
				w := startWorker(t, name, dir)
				until(t, "it has an item in its hands, and has done another", func() bool { return count(dir, "done") > done && count(dir, "work") > left })
				w.stop(t, keeps)
			}
			last := startWorker(t, name, dir)
			until(t, "nothing is left to take", func() bool { return count(dir, "new")+count(dir, "work") == lost(dir, keeps) })
			last.stop(t, keeps)
			if done, left := count(dir, "done"), count(dir, "work"); keeps && (done != items || left != 0) || !keeps && left == 0 {
				t.Errorf("%d of %d done, %d in nobody's hands", done, items, left)
			}
		})
	}
}

// lost is what stays in nobody's hands.
func lost(dir string, keeps bool) int {
	if keeps {
		return 0
	}
	return count(dir, "work")
}

func count(dir, state string) int {
	entries, _ := os.ReadDir(filepath.Join(dir, state))
	return len(entries)
}

func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within 30s: %s", what)
		}
	}
}

type worker struct {
	*exec.Cmd
	ready string // file
}

var workers atomic.Int32

func startWorker(t *testing.T, name, dir string) worker {
	t.Helper()
	ready := filepath.Join(t.TempDir(), fmt.Sprint("ready-", workers.Add(1)))
	w := worker{exec.Command(built(name)), ready}
	w.Env = append(os.Environ(), "QUEUE="+dir, "GAPLESS_HEALTH=127.0.0.1:0", "GAPLESS_DRAIN=0s", "GAPLESS_REPORT="+os.DevNull, "GAPLESS_READY_FILE="+ready)
	w.Stdout, w.Stderr = t.Output(), t.Output()
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Process.Kill() })
	return w
}

// stop stops it, and checks that the exec probe of the manifest tells the truth.
func (w worker) stop(t *testing.T, prepared bool) {
	t.Helper()
	probe := func() error {
		cmd := exec.Command(w.Path, "ready")
		cmd.Env = w.Env
		return cmd.Run()
	}
	if prepared {
		if err := probe(); err != nil {
			t.Errorf("the exec probe of a worker that works: %v", err)
		}
	}
	_ = w.Process.Signal(syscall.SIGTERM)
	err := w.Wait()
	if prepared && err != nil {
		t.Errorf("ended with %v", err)
	}
	if prepared && probe() == nil {
		t.Error("the exec probe says ready after the end")
	}
}
