package routers_test

import (
	"bufio"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/internal/probe"
	"gapless.dev/gapless/internal/rollout"
)

// streams are long answers that were opened at some moment, and how they ended.
type streams struct {
	e    *edge
	wg   sync.WaitGroup
	mu   sync.Mutex
	ends []string // what of them did not end well
	good int
}

// open opens one of each kind.
func (s *streams) open(when string) {
	for name, run := range map[string]func(*edge) error{"download": download, "events": events, "socket": socket} {
		s.wg.Go(func() {
			err := run(s.e)
			s.mu.Lock()
			defer s.mu.Unlock()
			if err != nil {
				s.ends = append(s.ends, fmt.Sprintf("%s that was opened before %s: %v", name, when, err))
				return
			}
			s.good++
		})
	}
}

// judge is a client that neither retries nor follows anything.
func judge() *http.Client {
	return &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// download ends with its last line.
func download(e *edge) error {
	answer, err := judge().Get(e.url + "download")
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return fmt.Errorf("after %d bytes: %w", len(text), err)
	}
	if !strings.HasSuffix(string(text), "line 199\nEND\n") {
		return fmt.Errorf("it ends after %d bytes with %q", len(text), text[max(0, len(text)-20):])
	}
	return nil
}

// events end with a goodbye, when the version that they are on goes.
func events(e *edge) error {
	ctx, stop := context.WithTimeout(e.Context(), 10*time.Minute)
	defer stop()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, e.url+"events", nil)
	if err != nil {
		return err
	}
	answer, err := judge().Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	last := ""
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		if text := lines.Text(); text != "" {
			last = text
		}
		if last == "data: reconnect" {
			return nil
		}
	}
	return fmt.Errorf("the stream ends without a goodbye, after %q", last)
}

// socket ends with a close frame of 1001.
func socket(e *edge) error {
	conn, err := net.Dial("tcp", strings.TrimSuffix(strings.TrimPrefix(e.url, "http://"), "/"))
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Minute))
	fmt.Fprintf(conn, "GET /socket HTTP/1.1\r\nHost: demo\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n\r\n",
		base64.StdEncoding.EncodeToString([]byte("0123456789abcdef")))
	in := bufio.NewReader(conn)
	answer, err := http.ReadResponse(in, nil)
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusSwitchingProtocols {
		return fmt.Errorf("the upgrade was answered %s", answer.Status)
	}
	for {
		head := make([]byte, 2)
		if _, err := io.ReadFull(in, head); err != nil {
			return fmt.Errorf("it broke off without a close frame: %w", err)
		}
		payload := make([]byte, head[1]&0x7f)
		if _, err := io.ReadFull(in, payload); err != nil {
			return err
		}
		if head[0]&0x0f == 8 {
			if code := int(payload[0])<<8 | int(payload[1]); code != 1001 {
				return fmt.Errorf("closed with %d", code)
			}
			return nil
		}
	}
}

func TestStreams_FinishOrSayGoodbye(t *testing.T) {
	t.Parallel()
	ways := []way{ingressRoute}
	if soak {
		ways = []way{ingressRoute, traefikService, httpRoute}
	}
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			e := newEdge(t, false)
			e.DeployOf("streams:e2e")
			e.routed(way, canary("manual", 50, 100))
			s := &streams{e: e}
			o := e.light(0.3)
			o.H2 = 0.3 // clients that keep their connections, over both protocols
			counted := e.Watching(o, func(*probe.Probe) {
				s.open("the first step")
				time.Sleep(time.Second)
				e.Set("2.0.0")
				e.at("1/2")
				s.open("the second step")
				time.Sleep(time.Second)
				e.Order(rollout.Promote)
				e.at("2/2")
				s.open("the end")
				e.Order(rollout.Promote)
				e.Rests("2.0.0 is stable", isStable(2))
				// Those that are on 2.0.0 end when it goes in its turn.
				e.Set("3.0.0")
				e.Until("3.0.0 stands", func(r *v1alpha1.Rollout) bool { return awaits(r) && r.Status.Revision == 3 })
				e.Order(rollout.PromoteFull)
				e.Rests("3.0.0 is stable", isStable(3))
				s.wg.Wait()
			})
			e.NothingLost(counted)
			failed := e.logFailures()
			t.Logf("%d long answers ended well; protocols %v, connections %v", s.good, counted.Protocols, counted.Connections)
			for _, end := range s.ends {
				t.Error(end)
			}
			if s.good+len(s.ends) != 9 {
				t.Errorf("%d ended", s.good+len(s.ends))
			}
			e.row("canary", "prepared", way, "downloads of 20 s, event streams and WebSockets over three switches", counted,
				append(failed, fmt.Sprintf("%d of 9 long answers ended well", s.good))...)
		})
	}
}
