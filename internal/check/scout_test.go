package check

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"gapless.dev/kit/kittest"
	"gapless.dev/kit/kittest/faulty"
)

// The test binary is also the services that are looked at.
const serveEnv = "CHECK_SERVE"

var services = map[string]func(port string){
	"told": func(port string) {
		mux := http.NewServeMux()
		mux.HandleFunc("/health/ready", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ready") })
		mux.HandleFunc("/health", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "alive") })
		mux.HandleFunc("/{$}", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "hello") })
		http.ListenAndServe("127.0.0.1:"+port, mux)
	},
	// Has nothing at /, and its readiness says 503 in a drain.
	"rootless": func(port string) {
		mux := http.NewServeMux()
		mux.HandleFunc("/readyz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ready") })
		mux.HandleFunc("/livez", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "alive") })
		http.ListenAndServe("127.0.0.1:"+port, mux)
	},
	// Lets nobody in.
	"closed": func(port string) {
		http.ListenAndServe("127.0.0.1:"+port, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "who are you?", http.StatusUnauthorized) }))
	},
	"tls": func(port string) {
		srv := httptest.NewUnstartedServer(http.NotFoundHandler())
		srv.Listener.Close()
		srv.Listener, _ = net.Listen("tcp", "127.0.0.1:"+port)
		srv.StartTLS()
		select {}
	},
	// Says the same to every question: it has no endpoint for health.
	"parrot": func(port string) {
		http.ListenAndServe("127.0.0.1:"+port, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "you asked for", r.URL.Path) }))
	},
	// Cannot be told where to listen, and has its health elsewhere.
	"stubborn": func(string) {
		health := http.NewServeMux()
		health.HandleFunc("/healthz", func(http.ResponseWriter, *http.Request) {})
		go http.ListenAndServe(os.Getenv("OWN_HEALTH"), health)
		mux := http.NewServeMux()
		mux.HandleFunc("/shop", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "hello") })
		http.ListenAndServe(os.Getenv("OWN"), mux)
	},
	"good":  func(string) { serve("good") },
	"mute":  func(string) { time.Sleep(time.Hour) },
	"dying": func(string) { fmt.Println("no database"); os.Exit(9) },
}

func serve(name string) {
	fault, _ := faulty.Find(name)
	os.Exit(fault.Serve())
}

func TestMain(m *testing.M) {
	if serve, ok := services[os.Getenv(serveEnv)]; ok {
		serve(os.Getenv("PORT"))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func scouted(t *testing.T, name string, asked Asked, env ...string) (Found, error) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if asked.Startup == 0 {
		asked.Startup = time.Minute
	}
	c := kittest.Command{Path: self, Env: append(env, serveEnv+"="+name)}
	return Scout(t.Context(), c, asked, func(string) {})
}

func TestScout_FindsWhatIsThere(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("where a process listens is only known on Linux")
	}
	own, health := freeAddr(t), freeAddr(t)
	for _, test := range []struct {
		name  string
		asked Asked
		env   []string
		want  Found
	}{
		{"told", Asked{}, nil, Found{SamePort: true, Ready: "/health/ready", Live: "/health", Path: "/"}},
		{"told", Asked{Ready: "/health", Live: kittest.None, Port: portOfAddr(own)}, nil, Found{SamePort: true, Ready: "/health", Live: kittest.None, Path: "/"}},
		{"rootless", Asked{}, nil, Found{SamePort: true, Ready: "/readyz", Live: "/livez", Path: "/livez"}},
		{"rootless", Asked{Path: "/"}, nil, Found{SamePort: true, Ready: "/readyz", Live: "/livez", Path: "/"}},
		{"parrot", Asked{}, nil, Found{SamePort: true, Ready: kittest.TCP, Live: kittest.None, Path: "/"}},
		{"good", Asked{}, nil, Found{Ready: "/readyz", Live: "/livez", HTTP2: true, GRPC: true, Path: "/"}},
		{"stubborn", Asked{Path: "/shop"}, []string{"OWN=" + own, "OWN_HEALTH=" + health}, Found{
			Port: portOfAddr(own), HealthPort: portOfAddr(health), Ready: "/healthz", Live: "/healthz", Path: "/shop",
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := scouted(t, test.name, test.asked, test.env...)
			if err != nil {
				t.Fatal(err)
			}
			t.Log(strings.Join(got.Facts, "\n"))
			got.Facts = nil
			if fmt.Sprint(got) != fmt.Sprint(test.want) {
				t.Errorf("got  %+v\nwant %+v", got, test.want)
			}
		})
	}
}

// What only a person can say is a usage error, and no judgement of the service.
func TestScout_SaysWhatOnlyAPersonCanSay(t *testing.T) {
	for name, says := range map[string]string{"closed": "/ answers 401 on port", "tls": "speaks TLS"} {
		_, err := scouted(t, name, Asked{})
		var unsaid *UnsaidError
		if !errors.As(err, &unsaid) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q", name, err, says)
		}
	}
}

func TestScout_SaysWhyNothingWasFound(t *testing.T) {
	taken := freeAddr(t)
	srv := &http.Server{Addr: taken}
	go srv.ListenAndServe()
	defer srv.Close()
	for !dials(t.Context(), portOfAddr(taken)) {
		time.Sleep(time.Millisecond)
	}
	for _, test := range []struct {
		name  string
		asked Asked
		says  string
	}{
		{"mute", Asked{Startup: 200 * time.Millisecond}, "it does not listen on any port after 200ms"},
		{"mute", Asked{Startup: 200 * time.Millisecond, Port: 1}, "it does not listen on port 1 after"},
		{"dying", Asked{}, "exited with 9 before it listened; it said:\n  no database"},
		{"told", Asked{Port: portOfAddr(taken)}, "is taken already"},
	} {
		if _, err := scouted(t, test.name, test.asked); err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v, want %q", test.name, err, test.says)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Scout(ctx, kittest.Command{Path: "sleep", Args: []string{"60"}}, Asked{Startup: time.Minute}, func(string) {}); err == nil {
		t.Error("cancelled, and went on")
	}
}

func freeAddr(t *testing.T) string {
	t.Helper()
	port, release, err := kittest.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(release)
	return loopback(port)
}
