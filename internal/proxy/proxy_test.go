package proxy

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gapless.dev/gapless/internal/app"
	"gapless.dev/gapless/internal/rollout"
)

// world is a proxy before real servers.
type world struct {
	t    *testing.T
	p    *Proxy
	a    *App
	base string
	http *http.Client
}

// serve serves until the test ends.
func serve(t *testing.T, p *Proxy) {
	p.Serve()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = p.Close(ctx)
	})
}

func newWorld(t *testing.T, a app.App) *world {
	t.Helper()
	if a.Name == "" {
		a.Name = "demo"
	}
	a.Ports = []app.Port{{Name: "http"}}
	p, err := New("", []app.App{a})
	if err != nil {
		t.Fatal(err)
	}
	serve(t, p)
	return &world{t: t, p: p, a: p.App(a.Name), base: "http://" + p.Ports()[0].Address, http: &http.Client{Transport: &http.Transport{}}}
}

// add starts a server of a version and puts it into rotation.
func (w *world) add(version rollout.Version, h http.HandlerFunc) (*Instance, *httptest.Server) {
	w.t.Helper()
	if h == nil {
		h = func(rw http.ResponseWriter, r *http.Request) { fmt.Fprint(rw, version) }
	}
	s := httptest.NewServer(h)
	w.t.Cleanup(s.Close)
	return w.a.Add(version, s.URL, map[string]string{"http": s.Listener.Addr().String()}), s
}

func (w *world) route(weights rollout.Weights) { w.a.SetRoute(rollout.Route{Weights: weights}) }

func (w *world) do(method, path string, change func(*http.Request)) (*http.Response, string) {
	w.t.Helper()
	req, err := http.NewRequest(method, w.base+path, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	if change != nil {
		change(req)
	}
	res, err := w.http.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return res, string(b)
}

func (w *world) get() string {
	w.t.Helper()
	res, body := w.do("GET", "/", nil)
	if res.StatusCode != 200 {
		w.t.Fatalf("%s: %s", res.Status, body)
	}
	return body
}

func TestWeights_AreExactInEveryRound(t *testing.T) {
	w := newWorld(t, app.App{})
	w.add("1", nil)
	w.add("1", nil)
	w.add("2", nil)
	for _, share := range []int{0, 1, 5, 25, 50, 99, 100} {
		w.route(rollout.Weights{"1": 100 - share, "2": share})
		got := 0
		for range 200 {
			if w.get() == "2" {
				got++
			}
		}
		if got != 2*share {
			t.Errorf("at %d %%: %d of 200", share, got)
		}
	}
}

func TestWeights_FallToWhoeverHasWeightWhenAVersionHasNobody(t *testing.T) {
	w := newWorld(t, app.App{})
	w.add("1", nil)
	two, _ := w.add("2", nil)
	w.route(rollout.Weights{"1": 75, "2": 25})
	two.Forget()
	for range 20 {
		if got := w.get(); got != "1" {
			t.Fatalf("answered by %s", got)
		}
	}
}

func TestLeast_PrefersTheInstanceWithTheFewestRequests(t *testing.T) {
	w := newWorld(t, app.App{})
	release, held := make(chan struct{}), make(chan struct{}, 1)
	var busy, free atomic.Int32
	slow := func(n *atomic.Int32) http.HandlerFunc {
		return func(rw http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/hold" {
				held <- struct{}{}
				<-release
				return
			}
			n.Add(1)
		}
	}
	b, _ := w.add("1", slow(&busy))
	w.route(rollout.Weights{"1": 100})
	go func() {
		if res, err := w.http.Get(w.base + "/hold"); err == nil {
			res.Body.Close()
		}
	}()
	<-held
	w.add("1", slow(&free))
	for range 10 {
		w.do("GET", "/", nil)
	}
	if busy.Load() != 0 || free.Load() != 10 {
		t.Errorf("busy got %d, free got %d", busy.Load(), free.Load())
	}
	if b.InFlight() != 1 {
		t.Errorf("in flight %d", b.InFlight())
	}
	close(release)
}

func TestMatch_SendsOnlyWhatAgreesWithAllOfIt(t *testing.T) {
	w := newWorld(t, app.App{})
	w.add("1", nil)
	w.add("2", nil)
	w.a.SetRoute(rollout.Route{
		Weights: rollout.Weights{"1": 100}, To: "2",
		Match: &rollout.Match{Header: map[string]string{"X-Team": "beta"}, Cookie: map[string]string{"ring": "0"}},
	})
	cookie := &http.Cookie{Name: "ring", Value: "0"}
	for _, c := range []struct {
		name, want string
		change     func(*http.Request)
	}{
		{"neither", "1", nil},
		{"header only", "1", func(r *http.Request) { r.Header.Set("X-Team", "beta") }},
		{"cookie only", "1", func(r *http.Request) { r.AddCookie(cookie) }},
		{"other value", "1", func(r *http.Request) { r.Header.Set("X-Team", "alpha"); r.AddCookie(cookie) }},
		{"both", "2", func(r *http.Request) { r.Header.Set("X-Team", "beta"); r.AddCookie(cookie) }},
	} {
		if _, got := w.do("GET", "/", c.change); got != c.want {
			t.Errorf("%s: version %s, want %s", c.name, got, c.want)
		}
	}
}

func TestSticky_KeepsAClientOnOneInstanceWhileItServes(t *testing.T) {
	w := newWorld(t, app.App{Route: app.Route{Sticky: "seat"}})
	instances := map[string]*Instance{}
	for n := range 3 {
		name := fmt.Sprint(n)
		instances[name], _ = w.add("1", func(rw http.ResponseWriter, r *http.Request) { fmt.Fprint(rw, name) })
	}
	w.route(rollout.Weights{"1": 100})
	res, first := w.do("GET", "/", nil)
	cookies := res.Cookies()
	if len(cookies) != 1 || cookies[0].Name != "seat" || !cookies[0].HttpOnly {
		t.Fatalf("cookies %v", cookies)
	}
	sit := func(r *http.Request) { r.AddCookie(cookies[0]) }
	for range 10 {
		res, got := w.do("GET", "/", sit)
		if got != first || len(res.Cookies()) != 0 {
			t.Fatalf("on %s, was on %s; cookies %v", got, first, res.Cookies())
		}
	}
	instances[first].TakeOut()
	res, second := w.do("GET", "/", sit)
	if second == first || len(res.Cookies()) != 1 {
		t.Errorf("on %s after it was taken out; cookies %v", second, res.Cookies())
	}
	w.add("2", func(rw http.ResponseWriter, r *http.Request) { fmt.Fprint(rw, "new") })
	w.route(rollout.Weights{"1": 0, "2": 100})
	if _, got := w.do("GET", "/", func(r *http.Request) { r.AddCookie(res.Cookies()[0]) }); got != "new" {
		t.Errorf("on %s of a version without weight", got)
	}
}

func TestMirror_CopiesItsShareAndDropsTheAnswers(t *testing.T) {
	w := newWorld(t, app.App{})
	var real, copies, posts atomic.Int32
	w.add("1", func(rw http.ResponseWriter, r *http.Request) { real.Add(1); fmt.Fprint(rw, "real") })
	w.add("2", func(rw http.ResponseWriter, r *http.Request) {
		if r.Method == "POST" {
			posts.Add(1)
		}
		if r.Header.Get("Gapless-Mirror") == "true" {
			copies.Add(1)
		}
		rw.WriteHeader(500)
	})
	w.a.SetRoute(rollout.Route{Weights: rollout.Weights{"1": 100}, To: "2", Mirror: 50})
	for range 40 {
		if got := w.get(); got != "real" {
			t.Fatalf("answer %q", got)
		}
		w.do("POST", "/", func(r *http.Request) { r.Body, r.ContentLength = io.NopCloser(strings.NewReader("x")), 1 })
	}
	w.settle(func() bool { return w.a.InFlight("2") == 0 && w.a.Counts()["2"].Mirror.Sent == 20 })
	m := w.a.Counts()["2"].Mirror
	if copies.Load() != 20 || posts.Load() != 0 || m.Differ != 20 || m.Status5xx != 20 {
		t.Errorf("%d copies, %d POSTs, counts %+v", copies.Load(), posts.Load(), m)
	}
	if c := w.a.Counts()["1"]; c.Requests != 80 || c.Status5xx != 0 {
		t.Errorf("counts of the real one %+v", c)
	}
}

func TestMirror_ThatHangsNeitherDelaysNorBreaksTheAnswer(t *testing.T) {
	w := newWorld(t, app.App{})
	w.add("1", nil)
	hang := make(chan struct{})
	two, _ := w.add("2", func(http.ResponseWriter, *http.Request) { <-hang })
	defer close(hang)
	w.a.SetRoute(rollout.Route{Weights: rollout.Weights{"1": 100}, To: "2", Mirror: 100})
	for range 200 {
		if got := w.get(); got != "1" {
			t.Fatalf("answer %q", got)
		}
	}
	m := w.a.Counts()["2"].Mirror
	if m.Sent != 64 || m.Skipped != 136 {
		t.Errorf("sent %d and skipped %d of 200", m.Sent, m.Skipped)
	}
	// Taken out, an instance does not wait for answers that nobody wants.
	<-two.TakeOut()
}

// settle waits for what happens behind the answers.
func (w *world) settle(holds func() bool) {
	w.t.Helper()
	for end := time.Now().Add(10 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			w.t.Fatal("it did not come to pass within 10 s")
		}
	}
}

func TestTakeOut_IsIdleWhenTheLastAnswerHasLeft(t *testing.T) {
	w := newWorld(t, app.App{})
	release, held := make(chan struct{}), make(chan struct{}, 1)
	one, _ := w.add("1", func(rw http.ResponseWriter, r *http.Request) {
		held <- struct{}{}
		<-release
		fmt.Fprint(rw, "late")
	})
	w.route(rollout.Weights{"1": 100})
	answer := make(chan string)
	go func() {
		_, body := w.do("GET", "/", nil)
		answer <- body
	}()
	<-held
	idle := one.TakeOut()
	select {
	case <-idle:
		t.Fatal("idle with a request on it")
	default:
	}
	if res, _ := w.do("GET", "/", nil); res.StatusCode != 503 || res.Header.Get("Retry-After") == "" {
		t.Errorf("%s %v for no instance", res.Status, res.Header)
	}
	close(release)
	if got := <-answer; got != "late" {
		t.Errorf("answer %q", got)
	}
	<-idle
	one.PutIn()
	go func() { <-held }()
	if got := w.get(); got != "late" {
		t.Errorf("answer %q after it was put in again", got)
	}
}

func TestTakeOut_WaitsForUpgradedConnections(t *testing.T) {
	w := newWorld(t, app.App{})
	one, _ := w.add("1", func(rw http.ResponseWriter, r *http.Request) {
		conn, buf, err := http.NewResponseController(rw).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		fmt.Fprint(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		_, _ = io.Copy(conn, buf)
	})
	w.route(rollout.Weights{"1": 100})
	conn, err := net.Dial("tcp", strings.TrimPrefix(w.base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "GET /ws HTTP/1.1\r\nHost: demo.localhost\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	in := bufio.NewReader(conn)
	res, err := http.ReadResponse(in, nil)
	if err != nil || res.StatusCode != 101 {
		t.Fatalf("%v %v", res, err)
	}
	say := func(word string) {
		t.Helper()
		fmt.Fprintln(conn, word)
		if line, err := in.ReadString('\n'); err != nil || line != word+"\n" {
			t.Fatalf("echo %q: %v", line, err)
		}
	}
	say("before")
	idle := one.TakeOut()
	say("after it was taken out")
	select {
	case <-idle:
		t.Fatal("idle with an upgraded connection on it")
	default:
	}
	conn.Close()
	<-idle
}

func TestRetry_OnlyWhenTheConnectionWasNeverMade(t *testing.T) {
	w := newWorld(t, app.App{})
	dead, s := w.add("1", nil)
	w.add("1", func(rw http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		fmt.Fprintf(rw, "%s %d", r.Method, len(b))
	})
	w.route(rollout.Weights{"1": 100})
	s.Close()
	for n, size := range []int{1, smallBody + 1, 1 << 20, 7, 0} {
		_, got := w.do("POST", "/", func(r *http.Request) {
			r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(make([]byte, size))), int64(size)
			if n == 3 {
				r.ContentLength = -1 // chunked
			}
		})
		if got != fmt.Sprintf("POST %d", size) {
			t.Errorf("body of %d: %q", size, got)
		}
	}
	c := w.a.Counts()["1"]
	if c.Requests != 5 || c.Errors != 0 || c.Retried == 0 {
		t.Errorf("counts %+v", c)
	}
	if n := dead.InFlight(); n != 0 {
		t.Errorf("%d left on the dead one", n)
	}
}

func TestRetry_NeverRepeatsAPostThatMayHaveArrived(t *testing.T) {
	w := newWorld(t, app.App{})
	var arrived atomic.Int32
	cut := func(rw http.ResponseWriter, r *http.Request) {
		arrived.Add(1)
		conn, _, _ := http.NewResponseController(rw).Hijack()
		conn.Close()
	}
	w.add("1", cut)
	w.add("1", cut)
	w.route(rollout.Weights{"1": 100})
	for range 10 {
		res, body := w.do("POST", "/", func(r *http.Request) { r.Body, r.ContentLength = io.NopCloser(strings.NewReader("pay")), 3 })
		if res.StatusCode != 502 {
			t.Errorf("%s %s", res.Status, body)
		}
	}
	if arrived.Load() != 10 {
		t.Errorf("10 payments arrived %d times", arrived.Load())
	}
	if c := w.a.Counts()["1"]; c.Requests != 10 || c.Errors != 10 {
		t.Errorf("counts %+v", c)
	}
}

func TestUpstream_ThatDropsItsIdleConnectionsCostsNothing(t *testing.T) {
	w := newWorld(t, app.App{})
	_, s := w.add("1", nil)
	w.route(rollout.Weights{"1": 100})
	for range 100 {
		for _, method := range []string{"GET", "POST"} {
			res, _ := w.do(method, "/", func(r *http.Request) {
				if method == "POST" {
					r.Body, r.ContentLength = io.NopCloser(strings.NewReader("x")), 1
				}
			})
			if res.StatusCode != 200 {
				t.Fatal(res.Status)
			}
		}
		s.CloseClientConnections()
	}
}

func TestForwarded_TellsTheServiceWhoAsked(t *testing.T) {
	w := newWorld(t, app.App{})
	w.add("1", func(rw http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(rw, "%s|%s|%s|%s", r.Host, r.Header.Get("X-Forwarded-For"), r.Header.Get("X-Forwarded-Host"), r.Header.Get("X-Forwarded-Proto"))
	})
	w.route(rollout.Weights{"1": 100})
	_, got := w.do("GET", "/", func(r *http.Request) {
		r.Host = "demo.localhost:80"
		r.Header.Set("X-Forwarded-For", "6.6.6.6") // anybody can write that
	})
	if got != "demo.localhost:80|127.0.0.1|demo.localhost:80|http" {
		t.Error(got)
	}
}

func TestStream_ArrivesAsItIsWritten(t *testing.T) {
	w := newWorld(t, app.App{})
	next := make(chan struct{})
	w.add("1", func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Type", "text/event-stream")
		for range 3 {
			fmt.Fprint(rw, "data: x\n\n")
			_ = http.NewResponseController(rw).Flush()
			<-next
		}
	})
	w.route(rollout.Weights{"1": 100})
	res, err := w.http.Get(w.base + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	in := bufio.NewReader(res.Body)
	for range 3 {
		for range 2 {
			if _, err := in.ReadString('\n'); err != nil {
				t.Fatal(err)
			}
		}
		next <- struct{}{}
	}
}

func TestLimits_AnswerInTheProxysName(t *testing.T) {
	w := newWorld(t, app.App{Limits: app.Limits{BodyBytes: 10, InFlight: 1, Timeout: 50 * time.Millisecond}})
	release := make(chan struct{})
	w.add("1", func(rw http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if r.URL.Path == "/hang" {
			<-release
		}
	})
	defer close(release)
	w.route(rollout.Weights{"1": 100})
	post := func(n, length int) func(*http.Request) {
		return func(r *http.Request) {
			r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(make([]byte, n))), int64(length)
		}
	}
	for _, c := range []struct {
		path   string
		change func(*http.Request)
		want   int
	}{
		{"/", post(10, 10), 200},
		{"/", post(11, 11), 413},
		{"/", post(11, -1), 413},
		{"/hang", nil, 504},
	} {
		if res, body := w.do("POST", c.path, c.change); res.StatusCode != c.want || c.want != 200 && !strings.HasPrefix(body, "gapless: demo ") && !strings.HasPrefix(body, "gapless: the body") {
			t.Errorf("%s: %s %q, want %d", c.path, res.Status, body, c.want)
		}
	}
}

func TestLimits_OfHeaders(t *testing.T) {
	w := newWorld(t, app.App{Limits: app.Limits{HeaderBytes: 8 << 10}})
	w.add("1", nil)
	w.route(rollout.Weights{"1": 100})
	long := func(n int) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("X-Long", strings.Repeat("x", n)) }
	}
	if res, _ := w.do("GET", "/", long(7<<10)); res.StatusCode != 200 {
		t.Errorf("within: %s", res.Status)
	}
	if res, _ := w.do("GET", "/", long(32<<10)); res.StatusCode != http.StatusRequestHeaderFieldsTooLarge { // net/http lets 4 KiB more in
		t.Errorf("beyond: %s", res.Status)
	}
}

func TestLimits_OfRequestsInFlightAnswerWhoeverIsTooMany(t *testing.T) {
	w := newWorld(t, app.App{Limits: app.Limits{InFlight: 2}})
	release, held := make(chan struct{}), make(chan struct{})
	w.add("1", func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hold" {
			held <- struct{}{}
			<-release
		}
	})
	w.route(rollout.Weights{"1": 100})
	ended := make(chan int, 2)
	for range 2 {
		go func() {
			res, err := w.http.Get(w.base + "/hold")
			if err != nil {
				ended <- 0
				return
			}
			res.Body.Close()
			ended <- res.StatusCode
		}()
		<-held
	}
	res, body := w.do("GET", "/", nil)
	if res.StatusCode != 503 || body != "gapless: demo has 2 requests on their way, which is its limit (limits.inFlight)\n" || res.Header.Get("Retry-After") != "1" {
		t.Errorf("%s %v: %q", res.Status, res.Header, body)
	}
	close(release)
	for range 2 {
		if code := <-ended; code != 200 {
			t.Errorf("one within the limit got %d", code)
		}
	}
	w.settle(func() bool { return w.a.Busy() == 0 })
	w.get()
}

func TestRoutes_SwapUnderLoadLosesNothing(t *testing.T) {
	w := newWorld(t, app.App{})
	old, _ := w.add("1", nil)
	w.route(rollout.Weights{"1": 100})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var bad atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			client := &http.Client{Transport: &http.Transport{}}
			for ctx.Err() == nil {
				res, err := client.Get(w.base)
				if err != nil {
					bad.Add(1)
					continue
				}
				if res.StatusCode != 200 {
					bad.Add(1)
				}
				_, _ = io.Copy(io.Discard, res.Body)
				res.Body.Close()
			}
		})
	}
	for n := range 100 {
		v := rollout.Version(fmt.Sprint(n + 2))
		was := rollout.Version(fmt.Sprint(n + 1))
		next, s := w.add(v, nil)
		w.route(rollout.Weights{v: 50, was: 50})
		w.route(rollout.Weights{v: 100})
		<-old.TakeOut()
		old.Forget()
		old = next
		if n > 0 {
			defer s.Close()
		}
	}
	cancel()
	wg.Wait()
	if bad.Load() != 0 {
		t.Errorf("%d lost", bad.Load())
	}
	for v, c := range w.a.Counts() {
		if c.Errors+c.Retried+c.InFlight != 0 {
			t.Errorf("%s: %+v", v, c)
		}
	}
}
