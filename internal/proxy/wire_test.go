package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"gapless.dev/gapless/internal/app"
	"gapless.dev/gapless/internal/rollout"
)

// rawServer answers each connection as a script says, byte by byte, and counts the connections.
func (w *world) rawServer(script func(n int32, conn net.Conn, in *bufio.Reader)) *atomic.Int32 {
	w.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { l.Close() })
	var conns atomic.Int32
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			n := conns.Add(1)
			go func() {
				defer conn.Close()
				script(n, conn, bufio.NewReader(conn))
			}()
		}
	}()
	w.a.Add("1", l.Addr().String(), map[string]string{"http": l.Addr().String()})
	w.route(rollout.Weights{"1": 100})
	return &conns
}

// take reads one request, body and all.
func take(in *bufio.Reader) (*http.Request, bool) {
	r, err := http.ReadRequest(in)
	if err != nil {
		return nil, false
	}
	_, _ = io.Copy(io.Discard, r.Body)
	return r, true
}

const fine = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

func TestWire_IsUsedAgainAfterAWholeAnswer(t *testing.T) {
	w := newWorld(t, app.App{})
	conns := w.rawServer(func(_ int32, conn net.Conn, in *bufio.Reader) {
		answers := []string{
			fine, "HTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
			"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n" + fine, "HTTP/1.1 500 Oops\r\nContent-Length: 2\r\n\r\nno",
		}
		for n := 0; ; n++ {
			if _, ok := take(in); !ok {
				return
			}
			fmt.Fprint(conn, answers[n%len(answers)])
		}
	})
	for _, want := range []string{"200 ok", "204 ", "200 ok", "200 ok", "500 no", "200 ok"} {
		res, body := w.do("GET", "/", nil)
		if got := fmt.Sprintf("%d %s", res.StatusCode, body); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if conns.Load() != 1 {
		t.Errorf("%d connections", conns.Load())
	}
}

func TestWire_EndsWhereTheServiceSaysSo(t *testing.T) {
	w := newWorld(t, app.App{})
	conns := w.rawServer(func(n int32, conn net.Conn, in *bufio.Reader) {
		take(in)
		switch n {
		case 1:
			fmt.Fprint(conn, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
		case 2:
			fmt.Fprint(conn, "HTTP/1.1 200 OK\r\n\r\nok") // to the end of the connection
		default:
			fmt.Fprint(conn, "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
	})
	for range 3 {
		if got := w.get(); got != "ok" {
			t.Errorf("answer %q", got)
		}
	}
	if conns.Load() != 3 {
		t.Errorf("%d connections", conns.Load())
	}
}

func TestWire_AKeptConnectionThatDiesOnTheRequest(t *testing.T) {
	for _, c := range []struct {
		method string
		status int
		came   int32
	}{
		{"GET", 200, 3},  // repeated: the first answer warmed the connection up, the second request died on it
		{"POST", 502, 2}, // it may have been carried out
	} {
		t.Run(c.method, func(t *testing.T) {
			w := newWorld(t, app.App{})
			var came atomic.Int32
			w.rawServer(func(n int32, conn net.Conn, in *bufio.Reader) {
				for {
					if _, ok := take(in); !ok {
						return
					}
					if came.Add(1) == 2 {
						return
					}
					fmt.Fprint(conn, fine)
				}
			})
			w.get()
			res, _ := w.do(c.method, "/", func(r *http.Request) {
				if c.method == "POST" {
					r.Body, r.ContentLength = io.NopCloser(strings.NewReader("pay")), 3
				}
			})
			if res.StatusCode != c.status || came.Load() != c.came {
				t.Errorf("%s, %d requests came", res.Status, came.Load())
			}
		})
	}
}

func TestWire_AnAnswerThatBreaksOffIsNotPassedOnAsWhole(t *testing.T) {
	for _, answer := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
	} {
		w := newWorld(t, app.App{})
		w.rawServer(func(_ int32, conn net.Conn, in *bufio.Reader) {
			take(in)
			fmt.Fprint(conn, answer)
		})
		res, err := w.http.Get(w.base)
		if err == nil {
			_, err = io.ReadAll(res.Body)
			res.Body.Close()
		}
		if err == nil {
			t.Error("the client took it for whole")
		}
		w.settle(func() bool { return w.a.Counts()["1"].Errors == 1 })
	}
}

func TestWire_AClientThatLeavesFreesTheInstance(t *testing.T) {
	w := newWorld(t, app.App{})
	came, left := make(chan struct{}), make(chan struct{})
	w.rawServer(func(_ int32, conn net.Conn, in *bufio.Reader) {
		take(in)
		close(came)
		_, _ = in.ReadByte() // until the proxy closes it
		close(left)
	})
	conn, err := net.Dial("tcp", strings.TrimPrefix(w.base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: demo.localhost\r\n\r\n")
	<-came
	conn.Close()
	<-left
	w.settle(func() bool { c := w.a.Counts()["1"]; return c.InFlight == 0 && c.Gone == 1 && c.Errors == 0 })
}
