// Command streams is a service with answers that last: a download of 20 s, server-sent events and a WebSocket. When it is told to
// stop it says goodbye to the last two, and finishes the first. It counts what it was asked for by method, and speaks gRPC on a port of its own.
package main

import (
	"bufio"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"gapless.dev/kit"
	"gapless.dev/kit/grpckit"
)

func main() {
	version := flag.String("version", "", "what it says it is")
	flag.Parse()
	svc := kit.New()
	mux := http.NewServeMux()
	var reads, writes atomic.Int64
	mux.HandleFunc("/seen", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, reads.Load(), writes.Load()) })
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			reads.Add(1)
		} else {
			writes.Add(1)
		}
		w.Header().Set("Gapless-Version", *version)
		fmt.Fprintln(w, *version)
	})
	mux.HandleFunc("/ready", func(w http.ResponseWriter, _ *http.Request) {})
	mux.HandleFunc("/download", download)
	mux.HandleFunc("/events", events)
	mux.HandleFunc("/socket", socket)
	if ln, err := net.Listen("tcp", ":9000"); err == nil {
		says := func(ctx context.Context, r any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
			_ = grpc.SetHeader(ctx, metadata.Pairs("gapless-version", *version))
			return next(ctx, r)
		}
		grpckit.Serve(svc, "grpc", grpc.NewServer(grpc.UnaryInterceptor(says)), ln) // with nothing to call but the health service
	}
	svc.HTTP("api", &http.Server{Addr: ":8080", Handler: mux, ReadHeaderTimeout: 5 * time.Second})
	os.Exit(svc.Run(context.Background()))
}

// download sends a line every 100 ms for 20 s, and END.
func download(w http.ResponseWriter, r *http.Request) {
	for i := range 200 {
		fmt.Fprintf(w, "line %d\n", i)
		_ = http.NewResponseController(w).Flush()
		if !wait(r.Context(), nil) {
			return
		}
	}
	fmt.Fprintln(w, "END")
}

// events go on until the service is told to stop; the last one says so.
func events(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	for i := 0; ; i++ {
		fmt.Fprintf(w, "data: %d\n\n", i)
		_ = http.NewResponseController(w).Flush()
		if !wait(r.Context(), kit.Draining(r.Context())) {
			fmt.Fprint(w, "event: goodbye\ndata: reconnect\n\n")
			return
		}
	}
}

func wait(ctx context.Context, draining <-chan struct{}) bool {
	timer := time.NewTimer(100 * time.Millisecond)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-draining:
		return false
	case <-timer.C:
		return true
	}
}

// socket sends a text frame every 100 ms until the service is told to stop, and then a close frame with 1001, going away.
func socket(w http.ResponseWriter, r *http.Request) {
	if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		http.Error(w, "a WebSocket is spoken here", http.StatusBadRequest)
		return
	}
	sum := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	ctx, done := kit.Track(r.Context())
	defer done()
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	fmt.Fprintf(rw, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
		base64.StdEncoding.EncodeToString(sum[:]))
	for i := 0; frame(rw.Writer, 1, fmt.Appendf(nil, "%d", i)) == nil; i++ {
		if !wait(ctx, kit.Draining(ctx)) {
			_ = frame(rw.Writer, 8, []byte{0x03, 0xe9}) // 1001
			return
		}
	}
}

// frame writes a whole frame of up to 125 bytes.
func frame(w *bufio.Writer, opcode byte, payload []byte) error {
	_, _ = w.Write([]byte{0x80 | opcode, byte(len(payload))})
	_, _ = w.Write(payload)
	return w.Flush()
}
