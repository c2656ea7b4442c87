package kittest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"
)

// answer is what one health check, or other single question, got.
type answer struct {
	at     time.Time // when it was asked
	took   time.Duration
	status int
	err    error
}

func (a answer) ok() bool { return a.err == nil && a.status >= 200 && a.status < 300 }

// unready is what a kubelet takes for it: an error, or outside 200 to 399.
func (a answer) unready() bool { return a.err != nil || a.status < 200 || a.status > 399 }

func (a answer) String() string {
	if a.err != nil {
		return cause(a.err)
	}
	return fmt.Sprint(a.status)
}

// cause is an error without the request that it came of, which the reader knows.
func cause(err error) string {
	var number syscall.Errno
	if errors.As(err, &number) {
		return number.Error()
	}
	for next := errors.Unwrap(err); next != nil; next = errors.Unwrap(err) {
		err = next
	}
	return err.Error()
}

// kubelet is how a health check introduces itself; a drain would take it for a
// customer otherwise.
const kubelet = "kube-probe/1.37"

// patience is how long a health check may take: a kubelet's default.
const patience = time.Second

// once is a client that never reuses, retries, redirects or takes a proxy.
// What has a body that cannot be sent twice is not retried by net/http on a
// connection that is new.
func once(timeout time.Duration) *http.Client {
	return &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       timeout,
	}
}

// health asks one health endpoint: a path, or TCP, or GRPC.
func health(ctx context.Context, addr, path string) answer {
	switch path {
	case TCP:
		a := answer{at: time.Now(), status: http.StatusOK}
		c, err := (&net.Dialer{Timeout: 3 * patience}).DialContext(ctx, "tcp", addr)
		if a.err = err; err == nil {
			c.Close()
		}
		a.took = time.Since(a.at)
		return a
	case GRPC:
		return askGRPC(ctx, addr)
	}
	return ask(ctx, "http://"+addr+path)
}

// ask asks once, on a new connection, as a kubelet does. It waits a little
// longer: what was too late is for the rule to say.
func ask(ctx context.Context, url string) answer {
	a := answer{at: time.Now()}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		a.err = err
		return a
	}
	req.Header.Set("User-Agent", kubelet)
	resp, err := once(3 * patience).Do(req)
	a.took = time.Since(a.at)
	if err != nil {
		a.err = err
		return a
	}
	defer resp.Body.Close()
	_, a.err = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20))
	a.status = resp.StatusCode
	return a
}

// ready asks an instance's readiness once.
func (s *Session) ready(ctx context.Context, in Instance) answer {
	return health(ctx, in.HealthAddr(), s.Spec.ReadyPath)
}

// open asks on the service's own port whether anybody listens.
func (s *Session) open(ctx context.Context, in Instance) answer {
	switch s.Spec.ReadyPath {
	case TCP:
		return health(ctx, in.Addr(), TCP)
	case GRPC:
		return askGRPC(ctx, grpcAddr(in))
	}
	if s.Spec.onlyGRPC() {
		return askGRPC(ctx, in.Addr())
	}
	return ask(ctx, "http://"+in.Addr()+s.Spec.ReadyPath)
}

// request asks what the load asks for, once.
func (s *Session) request(ctx context.Context, in Instance) answer {
	if s.Spec.onlyGRPC() {
		return askGRPC(ctx, in.Addr())
	}
	return ask(ctx, "http://"+in.Addr()+s.Spec.Path)
}

// asked is the question in words.
func (s *Session) asked(in Instance, path string) string {
	switch path {
	case TCP:
		return "connect to " + in.HealthAddr()
	case GRPC:
		return "gRPC health at " + in.HealthAddr()
	}
	return "GET http://" + in.HealthAddr() + path
}

// poll asks again and again until the context ends, and then gives all answers.
func poll(ctx context.Context, every time.Duration, one func(context.Context) answer) func() []answer {
	var answers []answer
	var polling sync.WaitGroup
	polling.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for ctx.Err() == nil {
			answers = append(answers, one(context.WithoutCancel(ctx)))
			select {
			case <-ctx.Done():
			case <-tick.C:
			}
		}
	})
	return func() []answer {
		polling.Wait()
		return answers
	}
}

// An Answered is what a single question got, for whoever looks around before
// a target is judged.
type Answered struct {
	Reached  bool   // a whole answer came, whatever it says
	TimedOut bool   // nothing came in time
	Status   int    // of HTTP; 200 or 503 for what gRPC health says
	Body     string // its beginning
}

// Asks puts one question, as a health check does: a path, or TCP, or GRPC.
func Asks(ctx context.Context, addr, path string) Answered {
	if path == TCP || path == GRPC {
		a := health(ctx, addr, path)
		return Answered{Reached: a.err == nil, TimedOut: timedOut(a.err), Status: a.status}
	}
	return get(ctx, once(3*patience), "http://"+addr+path)
}

// AsksHTTP2 reports whether a path is answered over HTTP/2 without TLS.
func AsksHTTP2(ctx context.Context, addr, path string) bool {
	return get(ctx, overHTTP2(3*patience), "http://"+addr+path).Reached
}

func timedOut(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

// HealthMethod is a gRPC method that every service with health has.
const HealthMethod = healthCheck

func get(ctx context.Context, client *http.Client, url string) (a Answered) {
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return a
	}
	req.Header.Set("User-Agent", kubelet)
	resp, err := client.Do(req)
	if err != nil {
		return Answered{TimedOut: timedOut(err)}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 4096))
	return Answered{Reached: err == nil, Status: resp.StatusCode, Body: string(body)}
}
