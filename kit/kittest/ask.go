package kittest

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// answer is what one health check, or other single question, got.
type answer struct {
	at      time.Time // when it was asked
	took    time.Duration
	status  int
	version string
	err     error
}

func (a answer) ok() bool { return a.err == nil && a.status >= 200 && a.status < 300 }

// unready is what a kubelet takes for it: an error, or outside 200 to 399.
func (a answer) unready() bool { return a.err != nil || a.status < 200 || a.status > 399 }

func (a answer) String() string {
	if a.err != nil {
		return a.err.Error()
	}
	return fmt.Sprint(a.status)
}

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

// ask asks once, on a new connection, as a kubelet does.
func ask(ctx context.Context, url string) answer {
	a := answer{at: time.Now()}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		a.err = err
		return a
	}
	req.Header.Set("User-Agent", "kube-probe/1.37") // or a drain would take it for a customer
	resp, err := once(patience).Do(req)
	a.took = time.Since(a.at)
	if err != nil {
		a.err = err
		return a
	}
	defer resp.Body.Close()
	_, a.err = io.Copy(io.Discard, resp.Body)
	a.status, a.version = resp.StatusCode, resp.Header.Get("Gapless-Version")
	return a
}

// poll asks again and again until the context ends, and then gives all answers.
func poll(ctx context.Context, every time.Duration, url string) func() []answer {
	var answers []answer
	var polling sync.WaitGroup
	polling.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			a := ask(context.WithoutCancel(ctx), url)
			answers = append(answers, a)
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	})
	return func() []answer {
		polling.Wait()
		return answers
	}
}
