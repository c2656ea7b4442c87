package load_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gapless.dev/kit/load"
	"gapless.dev/kit/load/loadtest"
)

// bothProtocols serves HTTP/1.1 and HTTP/2 with prior knowledge on one port.
func bothProtocols(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	srv := httptest.NewUnstartedServer(h)
	srv.Config.Protocols = new(http.Protocols)
	srv.Config.Protocols.SetHTTP1(true)
	srv.Config.Protocols.SetUnencryptedHTTP2(true)
	srv.Start()
	t.Cleanup(srv.Close)
	return srv
}

// A redirect is an answer: whoever asks the service gets it, and nobody has lost anything.
func TestRun_TakesARedirectForTheAnswerAndFollowsNone(t *testing.T) {
	elsewhere := loadtest.Start(false, func(int) loadtest.Fault { return loadtest.None })
	defer elsewhere.Close()
	codes := []int{301, 302, 303, 304, 307, 308}
	var asked atomic.Int32
	srv := bothProtocols(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		id := r.Header.Get(load.IDHeader)
		seq, _ := strconv.Atoi(id[strings.LastIndexByte(id, '-')+1:])
		w.Header().Set(load.VersionHeader, "1.0.0")
		w.Header().Set("Location", elsewhere.URL)
		w.WriteHeader(codes[seq%len(codes)])
	})
	opts := load.Options{URL: srv.URL, Rate: 200, For: 300 * time.Millisecond, New: 0.5, Post: 0.5, H2: 0.5, Timeout: patience}
	protos := map[string]int{}
	err := load.Run(t.Context(), opts, func(r load.Result) {
		protos[r.Proto]++
		if want := codes[r.Seq%len(codes)]; r.Class.Lost() || r.Status != want || r.Version != "1.0.0" {
			t.Errorf("%s %s: class %q (%s), status %d, version %q; want an answer of %d", r.Proto, r.Method, r.Class, r.Err, r.Status, r.Version, want)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if h1, h2 := protos["HTTP/1.1"], protos["HTTP/2.0"]; h1 == 0 || h2 == 0 || h1+h2 != 60 || asked.Load() != 60 {
		t.Errorf("%v were counted and %d arrived, want 60 over both", protos, asked.Load())
	}
	if n := elsewhere.Conns(); n != 0 {
		t.Errorf("%d connections and requests %v reached the place that it redirects to", n, elsewhere.Attempts())
	}
}

// The check sees a redirect as it sees any answer, so that who does not expect one is told.
func TestRun_LetsTheCheckJudgeARedirect(t *testing.T) {
	srv := bothProtocols(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/login", http.StatusFound)
	})
	opts := load.Options{URL: srv.URL, Rate: 100, For: 100 * time.Millisecond, H2: 0.5, Timeout: patience, Check: loadtest.Check}
	n := 0
	err := load.Run(t.Context(), opts, func(r load.Result) {
		n++
		if r.Class != load.WrongBody || r.Status != http.StatusFound {
			t.Errorf("%s: class %q (%s), status %d", r.Proto, r.Class, r.Err, r.Status)
		}
	})
	if err != nil || n != 10 {
		t.Errorf("%d results, error %v", n, err)
	}
}

// net/http reads the environment once in a process, so the test is one of its own.
const proxied = "LOAD_TEST_PROXIED"

func TestRun_TakesNoProxyOfTheEnvironment(t *testing.T) {
	if os.Getenv(proxied) == "" {
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), self, "-test.run=^TestRun_TakesNoProxyOfTheEnvironment$", "-test.count=1")
		cmd.Env = append(os.Environ(), proxied+"=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	proxy := loadtest.Start(false, func(int) loadtest.Fault { return loadtest.None })
	defer proxy.Close()
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"} {
		t.Setenv(name, proxy.URL)
		t.Setenv(strings.ToLower(name), proxy.URL)
	}
	t.Setenv("NO_PROXY", "")
	t.Setenv("no_proxy", "")
	t.Setenv("REQUEST_METHOD", "") // in CGI HTTP_PROXY would be a header of the request

	for _, secure := range []bool{false, true} {
		srv := loadtest.Start(secure, func(int) loadtest.Fault { return loadtest.None })
		defer srv.Close()
		opts := srv.Options()
		// No proxy is ever taken for 127.0.0.1; 0.0.0.0 is this machine too, and is not spared.
		opts.URL = strings.Replace(srv.URL, "127.0.0.1", "0.0.0.0", 1)
		if secure {
			opts.TLS = opts.TLS.Clone()
			opts.TLS.ServerName = "localhost"
		}
		req, err := http.NewRequest(http.MethodGet, opts.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		if u, err := http.ProxyFromEnvironment(req); err != nil || u == nil || u.String() != proxy.URL {
			t.Fatalf("the environment's proxy for %s is %v (%v), so nothing is tested", opts.URL, u, err)
		}
		opts.Rate, opts.For, opts.Timeout = 100, 200*time.Millisecond, patience
		opts.New, opts.Post, opts.H2 = 0.5, 0.5, 0.5
		protos := map[string]int{}
		err = load.Run(t.Context(), opts, func(r load.Result) {
			protos[r.Proto]++
			if r.Class.Lost() {
				t.Errorf("%s to %s: class %q (%s)", r.Proto, opts.URL, r.Class, r.Err)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		if h1, h2 := protos["HTTP/1.1"], protos["HTTP/2.0"]; h1 == 0 || h2 == 0 || h1+h2 != 20 || len(srv.Attempts()) != 20 {
			t.Errorf("%v were counted and %d arrived at %s, want 20 over both", protos, len(srv.Attempts()), opts.URL)
		}
	}
	if n := proxy.Conns(); n != 0 {
		t.Errorf("%d connections and requests %v reached the proxy", n, proxy.Attempts())
	}
}
