package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"gapless.dev/gapless/internal/app"
	"gapless.dev/gapless/internal/rollout"
)

// raw sends the head of a request on a connection of its own.
func (w *world) raw(head string) (net.Conn, *bufio.Reader) {
	w.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(w.base, "http://"))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { conn.Close() })
	fmt.Fprintf(conn, "%s HTTP/1.1\r\nHost: x\r\n\r\n", head)
	return conn, bufio.NewReader(conn)
}

func answerOf(t *testing.T, in *bufio.Reader) (*http.Response, string) {
	t.Helper()
	res, err := http.ReadResponse(in, nil)
	for err == nil && res.StatusCode == http.StatusContinue {
		res, err = http.ReadResponse(in, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	return res, bodyOf(t, res)
}

func bodyOf(t *testing.T, res *http.Response) string {
	t.Helper()
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestPatience_ClientsWhoseBodyStillComesTakeNoPlaceInFlight(t *testing.T) {
	w := newWorld(t, app.App{Limits: app.Limits{InFlight: 2}})
	w.add("1", echo)
	w.route(rollout.Weights{"1": 100})
	type client struct {
		net.Conn
		in *bufio.Reader
	}
	var slow []client
	for range 4 {
		conn, in := w.raw("POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 4\r\nX:")
		if line, err := in.ReadString('\n'); err != nil || !strings.Contains(line, "100 Continue") {
			t.Fatalf("%q %v", line, err)
		}
		if _, err := in.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		slow = append(slow, client{conn, in}) // it is waited for its body now
	}
	w.get()
	for _, c := range slow {
		fmt.Fprint(c, "body")
		if res, got := answerOf(t, c.in); res.StatusCode != 200 || got != "body" {
			t.Errorf("%s: %q", res.Status, got)
		}
	}
	if n := w.a.Busy(); n != 0 {
		t.Errorf("%d are on their way still", n)
	}
}

func TestPatience_ABodyThatStopsIsGivenUpAndItsPlaceIsFree(t *testing.T) {
	for _, head := range []string{
		"Content-Length: 4",
		fmt.Sprintf("Content-Length: %d", 2*smallBody),
		"Transfer-Encoding: chunked",
	} {
		t.Run(head, func(t *testing.T) {
			w := newWorld(t, app.App{Limits: app.Limits{InFlight: 1}})
			w.add("1", echo)
			w.route(rollout.Weights{"1": 100})
			w.a.timeout = 50 * time.Millisecond // of bodies only: the instance has the one of before
			_, in := w.raw("POST / HTTP/1.1\r\n" + head + "\r\nX:")
			res, got := answerOf(t, in)
			if res.StatusCode != http.StatusRequestTimeout || !strings.Contains(got, "limits.timeout") || !res.Close {
				t.Errorf("%s: %q", res.Status, got)
			}
			if _, err := in.ReadByte(); err != io.EOF {
				t.Errorf("the connection goes on: %v", err)
			}
			w.get()
			if c := w.a.Counts()["1"]; c.Errors != 0 {
				t.Errorf("a client's fault was counted as the service's: %+v", c)
			}
		})
	}
}

func TestPatience_OnceItIsAnsweredAClientMayBeSilent(t *testing.T) {
	w := newWorld(t, app.App{})
	w.add("1", func(rw http.ResponseWriter, r *http.Request) {
		c := http.NewResponseController(rw)
		_ = c.EnableFullDuplex()
		if r.URL.Path == "/stream" {
			fmt.Fprint(rw, "one")
			_ = c.Flush()
		}
		_, _ = io.Copy(rw, r.Body)
	})
	w.route(rollout.Weights{"1": 100})
	w.a.timeout = 2 * time.Second
	body, in := io.Pipe()
	res, err := w.http.Post(w.base+"/stream", "text/plain", body)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if _, err := io.ReadFull(res.Body, make([]byte, 3)); err != nil {
		t.Fatal(err)
	}
	// Another is given up for its silence, and so this one is silent for longer.
	_, other := w.raw("POST / HTTP/1.1\r\nContent-Length: 4\r\nX:")
	answerOf(t, other)
	fmt.Fprint(in, "two")
	in.Close()
	if rest, err := io.ReadAll(res.Body); err != nil || string(rest) != "two" {
		t.Errorf("%q %v", rest, err)
	}
}

func TestPatience_BeginsAnewWithEachByte(t *testing.T) {
	var set []time.Time
	p := &patience{
		ReadCloser: io.NopCloser(iotest.OneByteReader(strings.NewReader("abc"))), limit: time.Hour,
		until: func(at time.Time) error { set = append(set, at); return nil },
	}
	if b, err := io.ReadAll(p); string(b) != "abc" || err != nil {
		t.Fatalf("%q %v", b, err)
	}
	p.lift()
	p.leave()
	if len(set) != 8 { // for each byte and for the end
		t.Fatalf("%d deadlines", len(set))
	}
	for n, at := range set {
		if n%2 == 1 && !at.IsZero() || n%2 == 0 && (at.IsZero() || n > 0 && at.Before(set[n-2])) {
			t.Errorf("deadline %d is %v of %v", n, at, set)
		}
	}
	if p.isSpent() {
		t.Error("it is given up")
	}
}

func TestPatience_LiftsWhatIsWaitedFor(t *testing.T) {
	var last time.Time
	started, proceed := make(chan struct{}), make(chan struct{})
	p := &patience{
		ReadCloser: io.NopCloser(readerFunc(func([]byte) (int, error) {
			close(started)
			<-proceed
			return 0, os.ErrDeadlineExceeded
		})),
		limit: time.Hour, until: func(at time.Time) error { last = at; return nil },
	}
	done := make(chan struct{})
	go func() {
		_, _ = p.Read(nil)
		close(done)
	}()
	<-started
	p.lift()
	if !last.IsZero() {
		t.Errorf("the deadline is %v", last)
	}
	close(proceed)
	<-done
	if !last.IsZero() || !p.isSpent() {
		t.Errorf("the deadline is %v", last)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }
