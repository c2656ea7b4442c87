// Package load sends requests to a service on a fixed schedule and says of each what became of it.
//
// The load is open: a request starts when it is due, whatever earlier answers do. A service
// that stalls for a second at 500 requests/s is therefore seen to fail or delay 500 of them,
// where a closed loop would have sent only one.
//
// A request is attempted once. Nothing is retried, redirected or sent through a proxy of the
// environment. A kept-alive connection that the server closed while it was idle, before
// anything was written on it, is replaced by a new one, as any client does; once a byte was
// written the attempt counts.
package load

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// ErrOptions is what every [OptionError] is.
var ErrOptions = errors.New("wrong load option")

// An OptionError names the field of [Options] that is wrong, its value, and what to give instead.
type OptionError struct {
	Field string
	Value any
	Fix   string
}

func (e *OptionError) Error() string {
	if s, ok := e.Value.(string); ok {
		return fmt.Sprintf("%s is %q: %s", e.Field, s, e.Fix)
	}
	return fmt.Sprintf("%s is %v: %s", e.Field, e.Value, e.Fix)
}

// Is makes errors.Is(err, ErrOptions) hold.
func (e *OptionError) Is(target error) bool { return target == ErrOptions }

// Options say what to send where. Only URL and Rate are needed.
type Options struct {
	// URL is asked for by every request; http or https. Names that end in .localhost
	// are this machine, whatever the resolver says.
	URL string
	// ConnectTo is dialled instead of the URL's host and port. Default: the URL's.
	ConnectTo string
	// Rate is requests per second, above 0.
	Rate float64
	// For is how long requests are due. 0 means until the context ends.
	For time.Duration
	// New is the share (0 to 1) of requests on a new connection each. On HTTP/1 these
	// also say Connection: close. The rest reuse connections.
	New float64
	// Post is the share (0 to 1) of POST requests; their body is the request's id.
	Post float64
	// Body is what a POST request carries instead; with it goes the Content-Type of Header.
	Body func(id string) []byte
	// H2 is the share (0 to 1) of requests over HTTP/2: by ALPN on https, with prior
	// knowledge on http.
	H2 float64
	// Conns is how many reused connections are opened for HTTP/1, and as many for HTTP/2;
	// they take turns. Default 8. When all are busy, more are opened, and on HTTP/1 kept.
	Conns int
	// Timeout bounds one request from its start, connecting included. Default 5 s.
	Timeout time.Duration
	// MaxOutstanding bounds the requests under way. One that is due beyond it is not
	// sent and counted as [Overload]. Default 8192.
	MaxOutstanding int
	// Header is sent with every request. Host is taken as the request's host.
	Header http.Header
	// Check judges a complete answer; its error makes the request a [WrongBody]. Default: none.
	Check func(Answer) error
	// Version names the version that answered. Default [HeaderVersion].
	Version func(Answer) string
	// TLS is used for https. Default: the system's roots.
	TLS *tls.Config
}

// Run sends the schedule and calls each, never twice at once, for every request that was
// due. It returns when all are over.
//
// When ctx ends no further request is due; those under way are waited for, which takes
// Timeout at most, and Run returns nil: the results so far are complete. An error is only
// returned for wrong Options, before anything is sent.
func Run(ctx context.Context, opts Options, each func(Result)) error {
	return RunFrom(ctx, time.Now(), opts, each)
}

// RunFrom is [Run] with the start of the schedule given, so that a caller can set other
// events in relation to it. A start in the past makes the first requests late, not fewer.
func RunFrom(ctx context.Context, start time.Time, opts Options, each func(Result)) error {
	if err := opts.Validate(); err != nil {
		return err
	}
	opts = opts.withDefaults()
	client, err := newClient(opts)
	if err != nil {
		return err
	}
	r := &run{
		opts:   opts,
		start:  start,
		client: client,
		prefix: newPrefix(),
		sink:   newSink(each),
	}
	r.dispatch(ctx)
	r.wg.Wait()
	r.sink.close()
	client.close()
	return nil
}

// Schedule is the schedule that the options describe.
func (o Options) Schedule() Schedule {
	return Schedule{Rate: o.Rate, For: o.For, New: o.New, Post: o.Post, H2: o.H2}
}

// Validate returns the [OptionError] that [Run] would return, or nil.
func (o Options) Validate() error {
	o = o.withDefaults()
	if err := o.validate(); err != nil {
		return err
	}
	_, err := newClient(o)
	return err
}

func (o Options) withDefaults() Options {
	if o.Conns == 0 {
		o.Conns = 8
	}
	if o.Timeout == 0 {
		o.Timeout = 5 * time.Second
	}
	if o.MaxOutstanding == 0 {
		o.MaxOutstanding = 8192
	}
	if o.Version == nil {
		o.Version = HeaderVersion
	}
	return o
}

func (o Options) validate() error {
	wrong := func(field string, value any, fix string) error {
		return &OptionError{field, value, fix}
	}
	// The negations also catch NaN.
	if !(o.Rate > 0 && o.Rate <= 1e6) {
		return wrong("Rate", o.Rate, "give requests per second, above 0 and at most 1000000")
	}
	for _, s := range []struct {
		field string
		value float64
	}{{"New", o.New}, {"Post", o.Post}, {"H2", o.H2}} {
		if !(s.value >= 0 && s.value <= 1) {
			return wrong(s.field, s.value, "give a share from 0 to 1")
		}
	}
	switch {
	case o.For < 0:
		return wrong("For", o.For, "give a duration, or 0 for no end")
	case o.Timeout < 0:
		return wrong("Timeout", o.Timeout, "give a duration above 0")
	case o.Conns < 0:
		return wrong("Conns", o.Conns, "give a number above 0")
	case o.MaxOutstanding < 0:
		return wrong("MaxOutstanding", o.MaxOutstanding, "give a number above 0")
	}
	return nil
}

type run struct {
	opts        Options
	start       time.Time
	client      *client
	prefix      string
	sink        *sink
	outstanding atomic.Int64
	wg          sync.WaitGroup
}

// dispatch starts each request at its time. It waits for the clock and for nothing else.
func (r *run) dispatch(ctx context.Context) {
	schedule := r.opts.Schedule()
	count := schedule.Count()
	timer := time.NewTimer(0)
	defer timer.Stop()
	<-timer.C

	for seq := 0; count < 0 || seq < count; seq++ {
		shot := schedule.Shot(seq)
		due := r.start.Add(shot.At)
		if wait := time.Until(due); wait > 0 {
			timer.Reset(wait)
			select {
			case <-timer.C:
			case <-ctx.Done():
				return
			}
		}
		if ctx.Err() != nil {
			return
		}
		r.launch(shot, due)
	}
}

func (r *run) launch(shot Shot, due time.Time) {
	if r.outstanding.Load() >= int64(r.opts.MaxOutstanding) {
		now := time.Now()
		res := r.result(shot, due, now)
		res.Ended = now
		res.Class = Overload
		res.Err = fmt.Sprintf("not sent: %d requests outstanding", r.opts.MaxOutstanding)
		r.sink.put(res)
		return
	}
	r.outstanding.Add(1)
	r.wg.Go(func() {
		res := r.result(shot, due, time.Now())
		r.client.do(shot, &res)
		res.Ended = time.Now()
		r.outstanding.Add(-1)
		r.sink.put(res)
	})
}

func (r *run) result(shot Shot, due, started time.Time) Result {
	proto := "HTTP/1.1"
	if shot.HTTP2 {
		proto = "HTTP/2.0"
	}
	return Result{
		Seq:       shot.Seq,
		ID:        r.prefix + strconv.Itoa(shot.Seq),
		Method:    shot.Method,
		Proto:     proto,
		Scheduled: due,
		Started:   started,
	}
}

// newPrefix makes ids differ between runs, so that a service can tell them apart.
func newPrefix() string {
	var b [5]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:]) + "-"
}
