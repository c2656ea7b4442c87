package kittest

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"time"

	"gapless.dev/kit/load"
)

// The methods of grpc.health.v1.Health.
const (
	healthCheck = "/grpc.health.v1.Health/Check"
	healthWatch = "/grpc.health.v1.Health/Watch"
)

// serving and notServing are the statuses of that service that matter here.
const (
	serving    = 1
	notServing = 2
)

// emptyMessage is a message without fields: not compressed, of length 0.
var emptyMessage = make([]byte, 5)

// grpcHeader is what makes a request a gRPC call.
var grpcHeader = http.Header{"Content-Type": {"application/grpc"}, "Te": {"trailers"}}

// method is the path of a gRPC method.
var method = regexp.MustCompile(`^/\w+(\.\w+)+/\w+$`)

// onlyGRPC: the load, too, are calls of a gRPC method, with an empty message.
func (s Spec) onlyGRPC() bool { return s.GRPC && method.MatchString(s.Path) }

// grpcAddr is where an instance serves gRPC.
func grpcAddr(in Instance) string {
	if own, ok := in.(interface{ GRPCAddr() string }); ok && own.GRPCAddr() != "" {
		return own.GRPCAddr()
	}
	return in.Addr()
}

// overHTTP2 is a client that speaks HTTP/2 without TLS on one new connection.
func overHTTP2(timeout time.Duration) *http.Client {
	client := once(timeout)
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	client.Transport = transport
	return client
}

// call begins a gRPC call with an empty message. end must be called.
func call(ctx context.Context, addr, path string, timeout time.Duration) (resp *http.Response, end func(), err error) {
	// A body that cannot be read twice is not sent again by net/http.
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+addr+path, io.NopCloser(bytes.NewReader(emptyMessage)))
	if err != nil {
		return nil, nil, err
	}
	req.Header = grpcHeader.Clone()
	client := overHTTP2(timeout)
	if resp, err = client.Do(req); err != nil {
		return nil, nil, err
	}
	return resp, func() {
		resp.Body.Close()
		client.CloseIdleConnections()
	}, nil
}

// askGRPC asks the health service once: 200 for SERVING, 503 for anything else
// it says.
func askGRPC(ctx context.Context, addr string) (a answer) {
	a = answer{at: time.Now()}
	defer func() { a.took = time.Since(a.at) }()
	resp, end, err := call(ctx, addr, healthCheck, 3*patience)
	if err != nil {
		a.err = err
		return a
	}
	defer end()
	status, err := healthStatus(resp.Body)
	switch {
	case err == nil && status == serving:
		a.status = http.StatusOK
	case err == nil:
		a.status = http.StatusServiceUnavailable
	default:
		a.err = grpcFailure(resp.Header, resp.Trailer, err)
	}
	return a
}

// healthStatus reads one HealthCheckResponse.
func healthStatus(from io.Reader) (int, error) {
	var head [5]byte
	if _, err := io.ReadFull(from, head[:]); err != nil {
		return 0, err
	}
	size := binary.BigEndian.Uint32(head[1:])
	if size > 1<<10 {
		return 0, fmt.Errorf("a health answer of %d bytes", size)
	}
	message := make([]byte, size)
	if _, err := io.ReadFull(from, message); err != nil {
		return 0, err
	}
	// Field 1, a varint; all its values fit into one byte. Left out when 0.
	if len(message) >= 2 && message[0] == 1<<3 {
		return int(message[1]), nil
	}
	return 0, nil
}

// grpcStatus is the status of a call that has ended, by its trailer or, where
// nothing else was answered, by its header.
func grpcStatus(header, trailer http.Header) string {
	if status := trailer.Get("Grpc-Status"); status != "" {
		return status
	}
	return header.Get("Grpc-Status")
}

const grpcUnavailable = "14"

// grpcFailure is why a call has no answer.
func grpcFailure(header, trailer http.Header, err error) error {
	if status := grpcStatus(header, trailer); status != "" && status != "0" {
		return fmt.Errorf("gRPC status %s: %s", status, grpcMessage(header, trailer))
	}
	return err
}

func grpcMessage(header, trailer http.Header) string {
	text := trailer.Get("Grpc-Message") + header.Get("Grpc-Message")
	if len(text) > 200 {
		text = text[:200]
	}
	return text
}

// grpcLoad makes the load gRPC calls. A call that the server answers with
// UNAVAILABLE is lost: its client has to send it again.
func grpcLoad(opts load.Options) load.Options {
	opts.H2, opts.Post = 1, 1
	opts.Header = grpcHeader.Clone()
	opts.Body = func(string) []byte { return emptyMessage }
	opts.Check = func(a load.Answer) error {
		switch status := grpcStatus(a.Header, a.Trailer); status {
		case "":
			return errors.New("an answer without a gRPC status")
		case grpcUnavailable:
			return fmt.Errorf("gRPC status UNAVAILABLE: %s", grpcMessage(a.Header, a.Trailer))
		}
		return nil
	}
	return opts
}

// watchHealth follows a Watch of the health service until it ends. turned is
// when it first said anything but SERVING.
func watchHealth(ctx context.Context, addr string, until time.Time) (<-chan watchEnd, error) {
	ctx, cancel := context.WithDeadline(ctx, until)
	resp, end, err := call(ctx, addr, healthWatch, 0)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("watch gRPC health: %w", err)
	}
	ended := make(chan watchEnd, 1)
	go func() {
		defer cancel()
		defer end()
		var w watchEnd
		for {
			status, err := healthStatus(resp.Body)
			if err != nil {
				w.goodbye = grpcGoodbye(resp, err)
				break
			}
			w.said++
			if status == notServing && w.turned.IsZero() {
				w.turned = time.Now()
			}
		}
		ended <- w
	}()
	return ended, nil
}

// watchEnd is what a watcher of gRPC health has seen.
type watchEnd struct {
	said    int       // how many statuses
	turned  time.Time // when the first NOT_SERVING came; zero: never
	goodbye goodbye
}

// grpcGoodbye says how a stream of gRPC ended: OK or UNAVAILABLE is a goodbye.
func grpcGoodbye(resp *http.Response, err error) goodbye {
	end := goodbye{at: time.Now(), how: cause(err)}
	if status := grpcStatus(resp.Header, resp.Trailer); status != "" {
		end.how = strings.TrimSpace("gRPC status " + status + " " + grpcMessage(resp.Header, resp.Trailer))
		end.clean = status == "0" || status == grpcUnavailable
	}
	return end
}
