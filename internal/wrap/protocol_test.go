package wrap_test

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestHTTP_TheCommandSeesWhatTheClientWrote(t *testing.T) {
	t.Parallel()
	w := start(t, setup{command: service("plain")}).ready()
	req, _ := http.NewRequest(http.MethodGet, w.url("/request?a=1;b=%zz&c"), nil)
	req.URL.RawQuery = "a=1;b=%zz&c"
	req.Host = "shop.example.com"
	req.Header.Set("X-Forwarded-For", "192.0.2.7")
	req.Header.Set("X-Forwarded-Proto", "https")
	req.Header.Set("X-Forwarded-Host", "shop.example.com")
	req.Header.Set("Forwarded", "for=192.0.2.7")
	req.Header.Set("Cookie", "a=b")
	res, body := w.do(req)
	var got struct {
		URI, Host, Proto string
		Header           http.Header
	}
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	if got.URI != "/request?a=1;b=%zz&c" || got.Host != "shop.example.com" || got.Proto != "HTTP/1.1" {
		t.Errorf("%+v", got)
	}
	for name, want := range map[string]string{
		"X-Forwarded-For": "192.0.2.7, 127.0.0.1", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "shop.example.com",
		"Forwarded": "for=192.0.2.7", "Cookie": "a=b",
	} {
		if is := strings.Join(got.Header[name], "|"); is != want {
			t.Errorf("%s: %q, want %q", name, is, want)
		}
	}
	if v := res.Header["Gapless-Version"]; len(v) != 1 || v[0] != "1.2.3" {
		t.Errorf("version %q", v)
	}
	if res, _ := w.get("/version"); fmt.Sprint(res.Header["Gapless-Version"]) != "[my own]" {
		t.Errorf("the command's own version became %q", res.Header["Gapless-Version"])
	}
	if _, env := w.get("/environment"); strings.Contains(env, "GAPLESS_HEALTH") || !strings.Contains(env, "GAPLESS_DRAIN=0s") || !strings.Contains(env, "GAPLESS_VERSION=1.2.3") {
		t.Errorf("environment:\n%s", env)
	}
}

// Bodies of any size go both ways at the same time, over HTTP/1 and HTTP/2, with trailers.
func TestHTTP_BodiesAndTrailersPassWhole(t *testing.T) {
	t.Parallel()
	w := start(t, setup{command: service("plain")}).ready()
	large := bytes.Repeat([]byte("0123456789abcdef"), 1<<20) // 16 MiB
	h2 := &http.Transport{Protocols: new(http.Protocols)}
	h2.Protocols.SetUnencryptedHTTP2(true)
	for name, client := range map[string]*http.Client{"HTTP/1": one, "HTTP/2": {Transport: h2}} {
		for _, path := range []string{"/echo", "/trailer"} {
			// No length, so chunks; and a trailer.
			req, _ := http.NewRequest(http.MethodPost, w.url(path), io.NopCloser(bytes.NewReader(large)))
			req.Trailer = http.Header{"Sum": nil}
			req.Trailer.Set("Sum", fmt.Sprintf("%x", sha256.Sum256(large)))
			if path == "/trailer" {
				req.Body = io.NopCloser(strings.NewReader("short"))
			}
			res, err := client.Do(req)
			if err != nil {
				t.Fatalf("%s %s: %v", name, path, err)
			}
			got, err := io.ReadAll(res.Body)
			res.Body.Close()
			switch {
			case err != nil:
				t.Errorf("%s %s: %v", name, path, err)
			case path == "/echo" && !bytes.Equal(got, large):
				t.Errorf("%s: %d of %d bytes came back", name, len(got), len(large))
			case path == "/trailer" && res.Trailer.Get("Sum") != req.Trailer.Get("Sum"):
				t.Errorf("%s: trailer %q, body %q", name, res.Trailer.Get("Sum"), got)
			}
		}
	}
	// A client that waits to be told to go on.
	req, _ := http.NewRequest(http.MethodPut, w.url("/echo"), strings.NewReader("please"))
	req.Header.Set("Expect", "100-continue")
	if _, body := w.do(req); body != "please" {
		t.Errorf("after 100 Continue: %q", body)
	}
}

func TestHTTP_ACommandThatSpeaksOnlyHTTP2(t *testing.T) {
	t.Parallel()
	w := start(t, setup{command: service("h2c"), flags: []string{"--h2c", "--ready-path", "/ready"}}).ready()
	if _, body := w.get("/request"); !strings.Contains(body, `"proto":"HTTP/2.0"`) {
		t.Errorf("%s", body)
	}
}

// A command that serves one connection at a time must not wait for one that wrap keeps for later.
func TestHTTP_ACommandThatServesOneConnectionAtATime(t *testing.T) {
	t.Parallel()
	for name, flags := range map[string][]string{"kept for a while": nil, "fresh": {"--fresh"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := start(t, setup{command: service("single"), flags: flags}).ready()
			if body := w.body("/"); body != "hello\n" {
				t.Errorf("%q", body)
			}
			began := time.Now()
			req, _ := http.NewRequest(http.MethodPost, w.url("/"), strings.NewReader("a"))
			if _, body := w.do(req); body != "hello\n" {
				t.Errorf("%q", body)
			}
			if took := time.Since(began); flags != nil && took > 3*time.Second {
				t.Errorf("it waited %v for a connection that nobody used", took)
			}
		})
	}
}

func TestHTTP_EndsTLSAndTellsTheCommand(t *testing.T) {
	t.Parallel()
	cert, key, client := certificate(t)
	w := start(t, setup{command: service("plain"), flags: []string{"--cert", cert, "--key", key}}).ready()
	for _, http2 := range []bool{false, true} {
		tr := &http.Transport{TLSClientConfig: client, ForceAttemptHTTP2: http2}
		res, err := (&http.Client{Transport: tr}).Get("https://" + w.addr + "/request")
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		tr.CloseIdleConnections()
		if !strings.Contains(string(body), `"X-Forwarded-Proto":["https"]`) || (res.ProtoMajor == 2) != http2 {
			t.Errorf("%s %s", res.Proto, body)
		}
	}
}

// Streams end by the rules of their protocol: between two events, by a close frame between two frames, by a status.
func TestStreams_AreSaidGoodbyeTo(t *testing.T) {
	t.Parallel()
	w := start(t, setup{command: service("plain")}).ready()
	res, err := http.Get(w.url("/events"))
	if err != nil {
		t.Fatal(err)
	}
	type end struct {
		text string
		err  error
	}
	events := make(chan end, 1)
	go func() {
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		events <- end{string(text), err}
	}()
	sockets := make(chan end, 2)
	for _, path := range []string{"/socket", "/socket?quiet=1"} {
		c := w.openSocket(path)
		go func() {
			defer c.Close()
			code, err := closeCode(bufio.NewReader(c))
			// The answer of a client is masked.
			_, _ = c.Write([]byte{0x88, 0x82, 1, 2, 3, 4, 0x03 ^ 1, 0xe9 ^ 2})
			_, last := io.Copy(io.Discard, c)
			sockets <- end{fmt.Sprint(code, last), err}
		}()
	}
	calls := make(chan *http.Response, 2)
	h2 := &http.Transport{Protocols: new(http.Protocols)}
	h2.Protocols.SetUnencryptedHTTP2(true)
	for _, query := range []string{"", "?declares=1"} {
		req, _ := http.NewRequest(http.MethodPost, w.url("/grpc"+query), nil)
		req.Header.Set("Content-Type", "application/grpc")
		res, err := h2.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			if body, err := io.ReadAll(res.Body); err != nil || string(body) != "message" {
				t.Errorf("gRPC stream: %q, %v", body, err)
			}
			calls <- res
		}()
	}
	code, report := w.stop()
	if e := <-events; e.err != nil || !strings.HasSuffix(e.text, "data: tick\n\n") {
		t.Errorf("the event stream ended with %v after %q", e.err, e.text[max(0, len(e.text)-40):])
	}
	for range 2 {
		if s := <-sockets; s.err != nil || s.text != "1001 <nil>" {
			t.Errorf("the WebSocket ended with %s, %v; want close frame 1001", s.text, s.err)
		}
	}
	for range 2 {
		if got := (<-calls).Trailer.Get("Grpc-Status"); got != "14" {
			t.Errorf("the gRPC stream ended with status %q", got)
		}
	}
	if got := strings.Count(w.log(), "the client closed with 1001"); got != 2 {
		t.Errorf("%d of 2 commands were told by a close frame", got)
	}
	if code != 0 || report.Cut.Requests != 0 || report.Cut.Hijacked != 0 {
		t.Errorf("exit %d, cut %+v", code, report.Cut)
	}
}

func (w *wrapped) openSocket(path string) net.Conn {
	w.t.Helper()
	c, err := net.Dial("tcp", w.addr)
	if err != nil {
		w.t.Fatal(err)
	}
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", path)
	// No further than the empty line: what follows are frames.
	for head := ""; !strings.HasSuffix(head, "\r\n\r\n"); {
		var b [1]byte
		if _, err := io.ReadFull(c, b[:]); err != nil {
			w.t.Fatal(err)
		}
		if head += string(b[:]); len(head) == 12 && !strings.HasSuffix(head, " 101") {
			w.t.Fatalf("%s: %s", path, head)
		}
	}
	return c
}

func TestDrain_IsAnnouncedOnEveryAnswerFromItsMiddleOn(t *testing.T) {
	t.Parallel()
	w := start(t, setup{command: service("plain"), budget: patient}).ready()
	if res, _ := w.get("/"); res.Close != true { // asked for by our own client
		t.Error("no Connection: close for a client that asks for it")
	}
	w.signal(syscall.SIGTERM)
	w.until("draining", func() bool { return w.code(w.health, "/readyz") == http.StatusServiceUnavailable })
	stopped := time.Now() // at the latest
	kept := &http.Client{Transport: &http.Transport{}}
	for told := 0; told < 5; {
		before := time.Now()
		res, err := kept.Get(w.url("/"))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		res.Body.Close()
		if res.Close {
			told++
		} else if before.Sub(stopped) > patient.Drain/2 {
			t.Errorf("%v after the signal an answer does not announce the end", before.Sub(stopped))
		}
	}
	time.Sleep(time.Until(stopped.Add(patient.Drain / 2)))
	res, err := kept.Get(w.url("/hints")) // an informational answer comes first
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if !res.Close || res.Header.Get("Gapless-Version") != "1.2.3" || res.Header.Get("Link") == "" {
		t.Errorf("after a hint: close %v, %v", res.Close, res.Header)
	}
	if code := w.code(w.health, "/readyz"); code != http.StatusServiceUnavailable {
		t.Errorf("readiness in the drain: %d", code)
	}
	if code := w.code(w.health, "/livez"); code != http.StatusOK {
		t.Errorf("liveness in the drain: %d", code)
	}
	w.wait()
}
