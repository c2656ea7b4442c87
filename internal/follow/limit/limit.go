// Package limit bounds what is read of an answer.
package limit

import (
	"errors"
	"io"
	"net/http"
)

// ErrTooLarge is what a reader ends with when there is more than was to be read. io.LimitReader would only end: half an answer must not be
// taken for a whole one.
var ErrTooLarge = errors.New("the answer is larger than what is read")

// Reader reads at most so many bytes.
func Reader(from io.Reader, most int64) io.Reader { return &reader{from, most} }

type reader struct {
	from io.Reader
	left int64
}

func (l *reader) Read(p []byte) (int, error) {
	if l.left <= 0 {
		return 0, ErrTooLarge
	}
	n, err := l.from.Read(p[:min(int64(len(p)), l.left)])
	l.left -= int64(n)
	return n, err
}

// Transport reads at most so many bytes of each answer's body.
func Transport(next http.RoundTripper, most int64) http.RoundTripper { return &transport{next, most} }

type transport struct {
	next http.RoundTripper
	most int64
}

func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := t.next.RoundTrip(r)
	if err == nil {
		res.Body = struct {
			io.Reader
			io.Closer
		}{Reader(res.Body, t.most), res.Body}
	}
	return res, err
}
