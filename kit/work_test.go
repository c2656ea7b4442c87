package kit

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestGo_WorkersStopFetchingAtTheDrainAndFinishTheirItem(t *testing.T) {
	var items atomic.Int32
	finished := false
	svc := start(t, func(s *Service) {
		s.Go("consumer", func(ctx context.Context) error {
			for ctx.Err() == nil {
				items.Add(1)
				time.Sleep(10 * time.Millisecond)
			}
			time.Sleep(1500 * time.Millisecond) // the current item takes longer than the drain
			finished = true
			return ctx.Err()
		})
	}, WithBudget(roomy)).waitReady()
	for items.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	code, report := svc.stopAndWait()
	if code != exitClean || !finished || len(report.Cut.Tasks) != 0 {
		t.Errorf("exit %d, finished %v, cut %+v", code, finished, report.Cut)
	}
}

func TestGo_AFailureStopsTheServiceWithOne(t *testing.T) {
	svc := start(t, func(s *Service) {
		s.Go("consumer", func(context.Context) error { return fmt.Errorf("queue is gone") })
	})
	code, report := svc.wait()
	if code != exitFailed || !strings.Contains(report.Failure, "worker consumer: queue is gone") {
		t.Errorf("exit %d, failure %q", code, report.Failure)
	}
}

func TestOnStop_AHookThatHangsLeavesTimeForTheOthers(t *testing.T) {
	closed := false
	release := make(chan struct{})
	defer close(release)
	svc := start(t, func(s *Service) {
		s.OnStop("db", func() error { closed = true; return nil })
		s.OnStop("hangs", func() error { <-release; return nil })
	})
	code, report := svc.waitReady().stopAndWait()
	if !closed || len(report.Closed) != 2 || !strings.Contains(report.Closed[0].Error, "no answer in time") {
		t.Errorf("exit %d, closed %v, %+v", code, closed, report.Closed)
	}
}

func TestTrack_HijackedWorkIsWaitedForAndHearsTheDrain(t *testing.T) {
	svc := start(t, api(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, buf, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		ctx, done := Track(r.Context())
		go func() {
			defer done()
			defer c.Close()
			fmt.Fprint(buf, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: talk\r\n\r\n")
			buf.Flush()
			<-Draining(ctx)
			if deadline, ok := Deadline(ctx); !ok || time.Until(deadline) > roomy.Grace {
				t.Errorf("deadline %v %v", deadline, ok)
			}
			time.Sleep(1500 * time.Millisecond) // past the drain
			fmt.Fprint(buf, "goodbye\n")
			buf.Flush()
		}()
	})), WithBudget(roomy)).waitReady()

	c, err := net.Dial("tcp", svc.Addrs()["api"].String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: talk\r\n\r\n")
	from := bufio.NewReader(c)
	if _, err := http.ReadResponse(from, nil); err != nil {
		t.Fatal(err)
	}
	svc.cancel()
	word, err := from.ReadString('\n')
	if word != "goodbye\n" {
		t.Errorf("got %q, %v", word, err)
	}
	if code, report := svc.wait(); code != exitClean || report.Cut.any() {
		t.Errorf("exit %d, cut %+v", code, report.Cut)
	}
}
