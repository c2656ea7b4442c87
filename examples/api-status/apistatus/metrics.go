package apistatus

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// metrics are what /metrics tells a Prometheus: requests by method and code, and how long they took.
type metrics struct {
	mu       sync.Mutex
	requests map[[2]string]int
	buckets  []int // by the bounds, not summed up
	count    int
	sum      time.Duration
}

// bounds of the buckets.
var bounds = []time.Duration{
	time.Millisecond, 5 * time.Millisecond, 10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond, time.Second,
}

// watch counts what passes.
func (m *metrics) watch(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c, began := &coded{ResponseWriter: w, code: http.StatusOK}, time.Now()
		next(c, r)
		m.add(r.Method, c.code, time.Since(began))
	}
}

// coded remembers the status.
type coded struct {
	http.ResponseWriter
	code int
}

func (c *coded) WriteHeader(code int) {
	c.code = code
	c.ResponseWriter.WriteHeader(code)
}

func (m *metrics) add(method string, code int, took time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.requests == nil {
		m.requests, m.buckets = map[[2]string]int{}, make([]int, len(bounds))
	}
	m.requests[[2]string{method, strconv.Itoa(code)}]++
	m.count++
	m.sum += took
	if i := slices.IndexFunc(bounds, func(b time.Duration) bool { return took <= b }); i >= 0 {
		m.buckets[i]++
	}
}

// ServeHTTP writes them in the text format.
func (m *metrics) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out strings.Builder
	out.WriteString("# TYPE http_requests_total counter\n")
	keys := slices.SortedFunc(maps.Keys(m.requests), func(a, b [2]string) int { return strings.Compare(a[0]+a[1], b[0]+b[1]) })
	for _, k := range keys {
		fmt.Fprintf(&out, "http_requests_total{method=%q,code=%q} %d\n", k[0], k[1], m.requests[k])
	}
	out.WriteString("# TYPE http_request_duration_seconds histogram\n")
	sum := 0
	for i, n := range m.buckets {
		sum += n
		fmt.Fprintf(&out, "http_request_duration_seconds_bucket{le=\"%g\"} %d\n", bounds[i].Seconds(), sum)
	}
	fmt.Fprintf(&out, "http_request_duration_seconds_bucket{le=\"+Inf\"} %d\nhttp_request_duration_seconds_sum %g\nhttp_request_duration_seconds_count %d\n", m.count, m.sum.Seconds(), m.count)
	w.Header().Set("Content-Type", "text/plain; version=0.0.4")
	_, _ = w.Write([]byte(out.String()))
}
