package faulty

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"gapless.dev/kit"
)

func naive(s *service) int {
	serveHealth(s.health, yes, yes)
	s.named()
	fmt.Println(s.srv.ListenAndServe())
	return 1
}

func liveIsReady(s *service) int {
	s.ownHealth()
	svc := s.build()
	ready := func() bool { return svc.Phase() == kit.PhaseReady }
	serveHealth(s.health, ready, ready)
	return svc.Run(context.Background())
}

func readyTooEarly(s *service) int {
	s.ownHealth()
	serveHealth(s.health, yes, yes)
	svc := s.build()
	svc.ReadyWhen("cold", func(context.Context) error { time.Sleep(time.Second); return nil })
	return svc.Run(context.Background())
}

func alwaysReady(s *service) int {
	s.ownHealth()
	svc := s.build()
	serveHealth(s.health, func() bool { return svc.Phase() != kit.PhaseStarting }, yes)
	return svc.Run(context.Background())
}

// refusesNew has a listener that is closed under the server, which goes on.
func refusesNew(s *service) int {
	inner, err := net.Listen("tcp", s.srv.Addr)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	ln := &stopped{Listener: inner, over: make(chan struct{})}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM)
	go func() {
		<-signals
		ln.stop()
	}()
	s.ln = ln
	return s.run()
}

// stopped is a listener that closes before its server has to know.
type stopped struct {
	net.Listener
	once sync.Once
	over chan struct{}
}

func (l *stopped) stop() { l.once.Do(func() { l.Listener.Close() }) }

func (l *stopped) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.over
	}
	return c, err
}

func (l *stopped) Close() error {
	l.stop()
	select {
	case <-l.over:
	default:
		close(l.over)
	}
	return nil
}

func cutsKept(s *service) int {
	var asked sync.Map // connections that have had an answer
	s.srv.ConnState = func(c net.Conn, state http.ConnState) {
		switch state {
		case http.StateIdle:
			asked.Store(c.RemoteAddr().String(), true)
		case http.StateClosed, http.StateHijacked:
			asked.Delete(c.RemoteAddr().String())
		}
	}
	s.wrap(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if _, kept := asked.Load(r.RemoteAddr); kept && r.ProtoMajor == 1 && closed(kit.Draining(r.Context())) {
			panic(http.ErrAbortHandler)
		}
		next.ServeHTTP(w, r)
	})
	return s.run()
}

func closesIdle(s *service) int {
	svc := s.build()
	svc.OnPhase(func(p kit.Phase) {
		if p == kit.PhaseDraining {
			s.srv.SetKeepAlivesEnabled(false)
		}
	})
	return svc.Run(context.Background())
}

func noGoodbye(s *service) int {
	s.wrap(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		w.Header().Del("Connection")
		next.ServeHTTP(w, r)
	})
	return s.run()
}

func dropsSlow(s *service) int {
	s.wrap(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.URL.Path != "/slow" {
			next.ServeHTTP(w, r)
			return
		}
		select {
		case <-kit.Draining(r.Context()):
			panic(http.ErrAbortHandler)
		case <-time.After(duration(r)):
		}
	})
	return s.run()
}

// edge counts on the drain being over when its time is: requests that come
// later, on connections that were accepted, get nothing.
func edge(s *service) int {
	drain, _ := time.ParseDuration(os.Getenv("GAPLESS_DRAIN"))
	late := make(chan struct{})
	s.wrap(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if closed(late) && !isProbe(r) && r.URL.Path == "/" {
			panic(http.ErrAbortHandler)
		}
		next.ServeHTTP(w, r)
	})
	svc := s.build()
	svc.OnPhase(func(p kit.Phase) {
		if p == kit.PhaseDraining {
			time.AfterFunc(drain+100*time.Millisecond, func() { close(late) })
		}
	})
	return svc.Run(context.Background())
}

func cutsStreams(s *service) int {
	s.wrap(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.URL.Path != "/socket" {
			next.ServeHTTP(w, r)
			return
		}
		if c, err := upgrade(w); err == nil {
			<-kit.Draining(r.Context())
			c.Close()
		}
	})
	return s.run()
}

func servingForEver(s *service) int {
	s.serving = true
	return s.run()
}

func exitCode(s *service) int {
	s.run()
	return 7
}

func lingers(s *service) int {
	svc := s.build()
	svc.OnPhase(func(p kit.Phase) {
		if p == kit.PhaseDone && os.Getenv("SLOW_START") == "" {
			time.Sleep(6 * time.Second) // health is served to the end
		}
	})
	return svc.Run(context.Background())
}

func secondTerm(s *service) int {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM)
	go func() {
		<-signals
		<-signals
		os.Exit(0)
	}()
	return s.run()
}

func deafStart(s *service) int {
	if os.Getenv("SLOW_START") != "" {
		signal.Ignore(syscall.SIGTERM)
		time.Sleep(5 * time.Second)
	}
	return s.run()
}

func worksOn(s *service) int {
	s.worksOn = true
	return s.run()
}

func closesFirst(s *service) int {
	svc := s.build()
	svc.OnPhase(func(p kit.Phase) {
		if p == kit.PhaseDraining {
			s.closed.Store(true)
		}
	})
	return svc.Run(context.Background())
}

func twice(s *service) int {
	s.wrap(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.Method == http.MethodPost && closed(kit.Draining(r.Context())) {
			s.effects.Add(1)
		}
		next.ServeHTTP(w, r)
	})
	return s.run()
}

// orphan leaves a child that has even left its process group.
func orphan(s *service) int {
	code := s.run()
	child := exec.Command("sleep", "20")
	child.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	_ = child.Start()
	return code
}

func nameless(s *service) int {
	os.Unsetenv("GAPLESS_VERSION")
	return s.run()
}

func silent(s *service) int {
	os.Setenv("GAPLESS_REPORT", os.DevNull)
	return s.run()
}
