package load

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
)

// A Class says how one request was lost. The empty class means it was answered.
type Class string

// The classes of loss. Each lost request has exactly one: the first thing that went wrong.
const (
	// Answered: the whole response arrived, and status and body were as asked for.
	Answered Class = ""
	// DNS: the name did not resolve.
	DNS Class = "dns"
	// Refused: nothing listened; the connection was refused.
	Refused Class = "refused"
	// ConnectTimeout: the connection was not established in time.
	ConnectTimeout Class = "connect-timeout"
	// TLS: the TLS handshake failed, was cut, or did not end in time.
	TLS Class = "tls"
	// ResetBefore: reset or end of stream before the first byte of the response.
	// The request may or may not have been carried out.
	ResetBefore Class = "reset-before"
	// ResetAfter: reset or end of stream after the first byte and before the last.
	ResetAfter Class = "reset-after"
	// Unprocessed: the server took no notice of the request and said so in the protocol
	// (HTTP/2 GOAWAY or REFUSED_STREAM). Most clients send such a request again on another
	// connection; this one does not, and shows it.
	Unprocessed Class = "unprocessed"
	// Status4xx: an answer of 400 to 499: the route is gone, or the request was not welcome.
	Status4xx Class = "status-4xx"
	// Status5xx: an answer of 500 to 599.
	Status5xx Class = "status-5xx"
	// Timeout: connected, but the whole response did not arrive in time.
	Timeout Class = "timeout"
	// WrongBody: a complete answer whose body failed [Options.Check].
	WrongBody Class = "wrong-body"
	// Overload: ours. The request was due and was not sent, because too many were
	// outstanding already or this machine had no port or file descriptor left.
	Overload Class = "overload"
	// Other: anything else, such as an unreachable host or a malformed response; see [Result.Err].
	Other Class = "other"
)

// Classes lists every class of loss in the order reports show them.
var Classes = []Class{
	DNS, Refused, ConnectTimeout, TLS, ResetBefore, ResetAfter, Unprocessed,
	Status5xx, Status4xx, Timeout, WrongBody, Overload, Other,
}

// Lost reports whether the class is a loss.
func (c Class) Lost() bool { return c != Answered }

// failure is an error whose class is known where it arose.
type failure struct {
	class Class
	err   error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

func fail(class Class, err error) *failure { return &failure{class, err} }

// dialFailure classifies an error of establishing a TCP connection.
func dialFailure(err error) *failure {
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns):
		return fail(DNS, err)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fail(Refused, err)
	case isTimeout(err), errors.Is(err, syscall.ETIMEDOUT):
		return fail(ConnectTimeout, err)
	case isOurs(err):
		return fail(Overload, err)
	case isCut(err):
		return fail(ResetBefore, err)
	}
	return fail(Other, err)
}

// exchangeFailure classifies an error after the connection stood.
// answered says whether the first byte of the response had come.
func exchangeFailure(err error, answered bool) *failure {
	switch {
	case isTimeout(err):
		return fail(Timeout, err)
	case isCut(err) && answered:
		return fail(ResetAfter, err)
	case isCut(err):
		return fail(ResetBefore, err)
	}
	return fail(Other, err)
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.Is(err, os.ErrDeadlineExceeded) ||
		errors.Is(err, context.DeadlineExceeded) ||
		errors.As(err, &ne) && ne.Timeout()
}

// isCut reports whether the other side, or the network, ended the stream.
func isCut(err error) bool {
	var alert tls.AlertError
	return errors.Is(err, io.EOF) ||
		errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, net.ErrClosed) ||
		errors.Is(err, syscall.ECONNRESET) ||
		errors.Is(err, syscall.EPIPE) ||
		errors.Is(err, syscall.ECONNABORTED) ||
		errors.As(err, &alert)
}

// isOurs reports whether this machine, not the service, had no room.
func isOurs(err error) bool {
	return errors.Is(err, syscall.EADDRNOTAVAIL) ||
		errors.Is(err, syscall.EMFILE) ||
		errors.Is(err, syscall.ENFILE) ||
		errors.Is(err, syscall.ENOBUFS)
}

// text is the error for a reader: one line, not longer than anybody reads, and without the
// port numbers that would make every error a different one.
func text(err error) string {
	s := strings.Join(strings.Fields(err.Error()), " ")
	var op *net.OpError
	if errors.As(err, &op) && op.Source != nil {
		s = strings.ReplaceAll(s, op.Source.String()+"->", "")
	}
	const most = 300
	if len(s) > most {
		return s[:most] + "..."
	}
	return s
}
