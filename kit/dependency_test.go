package kit

import (
	"context"
	"errors"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

var errGone = errors.New("connection refused")

func TestDependency_ChangesOnlyAfterSeveralResultsInARow(t *testing.T) {
	tests := map[string]struct {
		reason   string
		start    depState
		results  string // one letter a check: p passes, f fails
		wantDown bool
	}{
		"one failure":             {"may be an accident", depState{}, "ppf", false},
		"three failures":          {"are no accident", depState{}, "ppfff", true},
		"failures with a pass":    {"start again", depState{}, "ffpff", false},
		"one pass while down":     {"may be an accident too", depState{down: true, wasUp: true}, "p", true},
		"two passes while down":   {"are a recovery", depState{down: true, wasUp: true}, "pp", false},
		"passes with a failure":   {"start again", depState{down: true, wasUp: true}, "pfp", true},
		"first pass, required":    {"nothing to recover from yet", depState{down: true}, "p", false},
		"first failure, required": {"was never up", depState{down: true}, "f", true},
	}
	for name, test := range tests {
		st := test.start
		for _, letter := range test.results {
			var err error
			if letter == 'f' {
				err = errGone
			}
			st = st.next(err, time.Time{}, 3)
		}
		if st.down != test.wantDown {
			t.Errorf("%s %s: down %v after %q", name, test.reason, st.down, test.results)
		}
	}
}

func readyAnswer(s *Service) (int, string) {
	w := httptest.NewRecorder()
	s.readyz(w, nil)
	return w.Code, w.Body.String()
}

func TestDependency_DownDegradesAndRequiredUnreadies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var away atomic.Bool
		check := func(context.Context) error {
			if away.Load() {
				return errGone
			}
			return nil
		}
		s := New()
		s.Dependency("cache", check, Every(time.Second))
		s.Dependency("db", check, Every(5*time.Second), FailAfter(2), Required())
		s.phase = PhaseReady
		if code, _ := readyAnswer(s); code != 503 {
			t.Errorf("ready before the required dependency was seen: %d", code)
		}
		watching := s.watchDependencies()
		synctest.Wait()
		if code, body := readyAnswer(s); code != 200 || body != "ok\n" {
			t.Errorf("all up: %d %q", code, body)
		}
		away.Store(true)
		time.Sleep(3500 * time.Millisecond) // three checks of the cache, none of the db
		if code, body := readyAnswer(s); code != 200 || !strings.Contains(body, "degraded: cache") {
			t.Errorf("cache down: %d %q", code, body)
		}
		time.Sleep(7 * time.Second) // two checks of the db
		if code, body := readyAnswer(s); code != 503 || !strings.Contains(body, "db is down") {
			t.Errorf("db down: %d %q", code, body)
		}
		away.Store(false)
		time.Sleep(11 * time.Second)
		if code, body := readyAnswer(s); code != 200 || body != "ok\n" {
			t.Errorf("all back: %d %q", code, body)
		}
		s.cut()
		watching.Wait()
	})
}

// An exec probe that looks for the file is to see what /readyz says.
func TestReadyFile_GoesAndComesBackWithARequiredDependency(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ready")
	t.Setenv("GAPLESS_READY_FILE", file)
	synctest.Test(t, func(t *testing.T) {
		var cache, db atomic.Bool // away
		check := func(away *atomic.Bool) func(context.Context) error {
			return func(context.Context) error {
				if away.Load() {
					return errGone
				}
				return nil
			}
		}
		db.Store(true)
		s := New(WithLogger(slog.New(slog.DiscardHandler)))
		s.Dependency("cache", check(&cache), Every(time.Second), FailAfter(1))
		s.Dependency("db", check(&db), Every(time.Second), FailAfter(2), Required())
		watching := s.watchDependencies()
		looks := func(when string, want bool) {
			t.Helper()
			synctest.Wait()
			_, err := os.Stat(file)
			if code, _ := readyAnswer(s); (err == nil) != want || (code == 200) != want {
				t.Errorf("%s: readyz %d, ready file: %v; want ready %v", when, code, err, want)
			}
		}
		time.Sleep(time.Second / 2) // from here on each second holds one check of each
		s.enter(PhaseReady)
		looks("db away from the start", false)
		db.Store(false)
		time.Sleep(time.Second)
		looks("db seen for the first time", true)
		cache.Store(true)
		time.Sleep(time.Second)
		looks("cache down, which is not required", true)
		db.Store(true)
		time.Sleep(time.Second)
		looks("db failed once", true)
		time.Sleep(time.Second)
		looks("db down", false)
		db.Store(false)
		time.Sleep(time.Second)
		looks("db passed once", false)
		time.Sleep(time.Second)
		looks("db back", true)
		s.enter(PhaseDraining)
		looks("draining", false)
		time.Sleep(2 * time.Second)
		looks("draining, after two more checks", false)
		s.cut()
		watching.Wait()
	})
}

func TestDependency_ACheckThatHangsFailsAndIsNotRunTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var running atomic.Int32
		release := make(chan struct{})
		s := New()
		s.Dependency("db", func(context.Context) error {
			running.Add(1)
			<-release
			return nil
		}, Every(time.Second), Timeout(100*time.Millisecond))
		watching := s.watchDependencies()
		time.Sleep(5 * time.Second)
		if got := running.Load(); got != 1 {
			t.Errorf("%d checks at the same time", got)
		}
		if got := s.degraded(); len(got) != 1 {
			t.Errorf("degraded %v", got)
		}
		if err := s.status().Dependencies[0].Error; err != errStillRunning.Error() {
			t.Errorf("status says %q", err)
		}
		close(release)
		s.cut()
		watching.Wait()
	})
}
