package wrap_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"gapless.dev/kit"
)

// serve is a naive service: it listens on PORT and knows nothing of being replaced. Name is what is odd about it.
func serve(name string) {
	addr := "127.0.0.1:" + os.Getenv("PORT")
	srv := &http.Server{Handler: routes(), Protocols: new(http.Protocols)}
	srv.Protocols.SetHTTP1(name != "h2c")
	srv.Protocols.SetUnencryptedHTTP2(true)
	switch name {
	case "plain", "h2c":
	case "late": // it takes a while to be ready after it listens
		ready := time.Now().Add(500 * time.Millisecond)
		next := srv.Handler
		srv.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/ready" && time.Now().Before(ready) {
				http.Error(w, "loading", http.StatusServiceUnavailable)
				return
			}
			next.ServeHTTP(w, r)
		})
	case "kit": // it needs no wrapper
		srv.Addr = addr
		svc := kit.New()
		svc.HTTP("http", srv)
		svc.Health(os.Getenv("GAPLESS_HEALTH"))
		os.Exit(svc.Run(context.Background()))
	case "never": // it listens never
		select {}
	case "deaf": // it hears SIGTERM and does nothing
		signal.Notify(make(chan os.Signal, 1), syscall.SIGTERM)
	case "tells": // it says which signals it gets
		signals := make(chan os.Signal, 8)
		signal.Notify(signals, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGTERM, syscall.SIGQUIT)
		go func() {
			for sig := range signals {
				fmt.Println("got", sig)
				if sig == syscall.SIGTERM || sig == syscall.SIGQUIT {
					os.Exit(0)
				}
			}
		}()
	case "fails": // it ends badly when it is asked to end
		signals := make(chan os.Signal, 1)
		signal.Notify(signals, syscall.SIGTERM)
		go func() {
			<-signals
			os.Exit(9)
		}()
	case "closes": // it closes its listener at once on SIGTERM, and its connections, and takes its time to end
		signals := make(chan os.Signal, 1)
		signal.Notify(signals, syscall.SIGTERM)
		go func() {
			<-signals
			srv.Close()
			time.Sleep(200 * time.Millisecond)
			os.Exit(0)
		}()
	}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	if name == "single" {
		single(ln)
	}
	err = srv.Serve(ln)
	if name == "closes" {
		select {}
	}
	fmt.Println(err)
	os.Exit(1)
}

// single serves one connection at a time, and keeps it while the client does, as Python's http.server can.
func single(ln net.Listener) {
	for {
		c, err := ln.Accept()
		if err != nil {
			os.Exit(1)
		}
		from := bufio.NewReader(c)
		for {
			req, err := http.ReadRequest(from)
			if err != nil {
				break
			}
			_, _ = io.Copy(io.Discard, req.Body)
			fmt.Fprint(c, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello\n")
			if req.Close {
				break
			}
		}
		c.Close()
	}
}

func routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		fmt.Fprintln(w, "hello")
	})
	mux.HandleFunc("/ready", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
		ms, _ := strconv.Atoi(r.FormValue("ms"))
		time.Sleep(time.Duration(ms) * time.Millisecond)
		fmt.Fprintln(w, "slept")
	})
	// What arrived: the command is to see what it would have seen without anybody in between.
	mux.HandleFunc("/request", func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"uri": r.RequestURI, "host": r.Host, "header": r.Header, "proto": r.Proto})
	})
	mux.HandleFunc("/version", func(w http.ResponseWriter, r *http.Request) { w.Header().Set("Gapless-Version", "my own") })
	mux.HandleFunc("/environment", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, strings.Join(os.Environ(), "\n")) })
	mux.HandleFunc("/die", func(http.ResponseWriter, *http.Request) { os.Exit(7) })
	mux.HandleFunc("/kill", func(http.ResponseWriter, *http.Request) { _ = syscall.Kill(os.Getpid(), syscall.SIGKILL) })
	// A daemon: the child of a child, which nobody waits for.
	mux.HandleFunc("/orphan", func(w http.ResponseWriter, r *http.Request) {
		out, err := exec.Command("/bin/sh", "-c", "setsid sleep "+r.FormValue("s")+" >/dev/null 2>&1 & exit 0").CombinedOutput()
		fmt.Fprintln(w, string(out), err)
	})
	mux.HandleFunc("/go", func(http.ResponseWriter, *http.Request) { os.Exit(0) })
	mux.HandleFunc("/hints", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</style.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		fmt.Fprintln(w, "hello, after a hint")
	})
	mux.HandleFunc("/echo", echo)
	mux.HandleFunc("/trailer", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(w, r.Body)
		_ = http.NewResponseController(w).Flush() // an answer with a length has no trailers
		w.Header().Set(http.TrailerPrefix+"Sum", r.Trailer.Get("Sum"))
	})
	mux.HandleFunc("/events", events)
	mux.HandleFunc("/socket", socket)
	mux.HandleFunc("/grpc", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/grpc+proto")
		if r.FormValue("declares") != "" {
			w.Header().Set("Trailer", "Grpc-Status, Grpc-Message, Grpc-Status-Details-Bin")
		}
		fmt.Fprint(w, "message")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	return mux
}

// echo answers while it reads.
func echo(w http.ResponseWriter, r *http.Request) {
	c := http.NewResponseController(w)
	_ = c.EnableFullDuplex()
	buf := make([]byte, 32<<10)
	for {
		n, err := r.Body.Read(buf)
		_, _ = w.Write(buf[:n])
		_ = c.Flush()
		if err != nil {
			return
		}
	}
}

// events says a half event now and then, which must not be what it ends with.
func events(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	c := http.NewResponseController(w)
	for i := 0; r.Context().Err() == nil; i++ {
		fmt.Fprintf(w, "id: %d\n", i)
		_ = c.Flush()
		time.Sleep(time.Millisecond)
		fmt.Fprintf(w, "data: tick\n\n")
		_ = c.Flush()
		time.Sleep(time.Duration(i%3) * 20 * time.Millisecond)
	}
}

// socket is a WebSocket that sends frames of different lengths, in pieces, and notes how the client ends it.
func socket(w http.ResponseWriter, r *http.Request) {
	c, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer c.Close()
	fmt.Fprint(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	go func() {
		code, _ := closeCode(rw.Reader)
		fmt.Println("the client closed with", code)
	}()
	for i := 0; ; i++ {
		size := []int{3, 200, 70000}[i%3]
		frame := append(head(size), make([]byte, size)...)
		for _, part := range [][]byte{frame[:1], frame[1:5], frame[5:]} {
			if _, err := c.Write(part); err != nil {
				return
			}
			time.Sleep(time.Millisecond)
		}
		if r.FormValue("quiet") != "" {
			select {}
		}
	}
}

func head(size int) []byte {
	switch {
	case size < 126:
		return []byte{0x82, byte(size)}
	case size < 1<<16:
		return []byte{0x82, 126, byte(size >> 8), byte(size)}
	}
	return []byte{0x82, 127, 0, 0, 0, 0, 0, byte(size >> 16), byte(size >> 8), byte(size)}
}

// closeCode reads whole frames until the close frame.
func closeCode(from *bufio.Reader) (int, error) {
	for {
		var h [2]byte
		if _, err := io.ReadFull(from, h[:]); err != nil {
			return 0, err
		}
		size := int64(h[1] & 0x7f)
		more := map[int64]int{126: 2, 127: 8}[size]
		if more > 0 {
			ext := make([]byte, more)
			if _, err := io.ReadFull(from, ext); err != nil {
				return 0, err
			}
			size = 0
			for _, b := range ext {
				size = size<<8 | int64(b)
			}
		}
		mask := make([]byte, 4*int(h[1]>>7))
		if _, err := io.ReadFull(from, mask); err != nil {
			return 0, err
		}
		if h[0] != 0x82 && h[0] != 0x88 {
			return 0, fmt.Errorf("a frame begins with %x: the stream is out of step", h[0])
		}
		payload := make([]byte, size)
		if _, err := io.ReadFull(from, payload); err != nil {
			return 0, err
		}
		if h[0] == 0x88 {
			for i := range payload {
				if len(mask) > 0 {
					payload[i] ^= mask[i%4]
				}
			}
			return int(payload[0])<<8 | int(payload[1]), nil
		}
	}
}
