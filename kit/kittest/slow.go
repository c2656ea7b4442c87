package kittest

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// slowRequest is one that takes long: by the service where it has a path for
// that, else by an upload whose body comes slowly.
type slowRequest struct {
	began, ended time.Time
	lasts        time.Duration
	status       int
	err          error // also when the answer was not whole
}

// wasSlow reports whether it lasted about as long as it should. A service that
// answers without reading the body cannot be asked slowly by an upload.
func (r slowRequest) wasSlow() bool { return r.ended.Sub(r.began) > r.lasts*3/4 }

// notSlow is why what needs a slow request was not judged.
const notSlow = "no request is known to take long here; name a path that takes long (Spec.SlowPath, check --slow)"

func (r slowRequest) String() string {
	if r.err != nil {
		return fmt.Sprintf("of %v: %s after %v", r.lasts, cause(r.err), r.ended.Sub(r.began).Round(time.Millisecond))
	}
	return fmt.Sprintf("of %v: status %d after %v", r.lasts, r.status, r.ended.Sub(r.began).Round(time.Millisecond))
}

// askSlowly starts a request that lasts so long; its result comes on the channel.
func (s *Session) askSlowly(ctx context.Context, addr string, lasts time.Duration) <-chan slowRequest {
	return s.askSlowlyAt(ctx, addr, s.Spec.SlowPath, lasts)
}

// askSlowlyAt asks a path that takes long; without one it uploads slowly.
func (s *Session) askSlowlyAt(ctx context.Context, addr, path string, lasts time.Duration) <-chan slowRequest {
	result := make(chan slowRequest, 1)
	go func() {
		r := slowRequest{began: time.Now(), lasts: lasts}
		r.status, r.err = s.slow(ctx, addr, path, lasts)
		r.ended = time.Now()
		result <- r
	}()
	return result
}

func (s *Session) slow(ctx context.Context, addr, path string, lasts time.Duration) (int, error) {
	method, url, body := http.MethodPost, "http://"+addr+s.Spec.Path, io.Reader(nil)
	if path != "" {
		fill := strings.NewReplacer("{duration}", lasts.String(), "{ms}", strconv.FormatInt(lasts.Milliseconds(), 10))
		method, url = http.MethodGet, "http://"+addr+fill.Replace(path)
	} else if s.Spec.onlyGRPC() || s.Spec.ReadOnly || s.refusesPost() {
		return http.StatusOK, nil // an empty message cannot be sent slowly, nor can a GET
	} else {
		body = trickle(ctx, lasts)
	}
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return 0, err
	}
	resp, err := once(lasts + time.Minute).Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}

// post sends one short POST.
func (s *Session) post(ctx context.Context, addr string) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+addr+s.Spec.Path, strings.NewReader("kittest"))
	if err != nil {
		return 0, err
	}
	resp, err := once(3 * patience).Do(req)
	if err != nil {
		return 0, err
	}
	resp.Body.Close()
	return resp.StatusCode, nil
}

// trickle is a body of twenty pieces that takes the whole time to come.
func trickle(ctx context.Context, lasts time.Duration) io.Reader {
	const pieces = 20
	r, w := io.Pipe()
	go func() {
		for range pieces {
			if _, err := io.WriteString(w, "x"); err != nil {
				return
			}
			select {
			case <-ctx.Done():
			case <-time.After(lasts / pieces):
			}
		}
		w.Close()
	}()
	return r
}
