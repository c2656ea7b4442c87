// Edge measures what is lost at the very edge of a service's life: clients
// that open a new connection for every request, as fast as they can, until
// nobody listens any more. It stops a server again and again under them, once
// by http.Server.Shutdown and once by kit.
//
//	go run ./bench/edge
//
// A refused connection is no loss here: the request was not begun and can be
// sent elsewhere. A reset or an end of stream is.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"text/tabwriter"
	"time"

	"gapless.dev/kit"
)

func main() {
	log.SetFlags(0)
	shutdowns := flag.Int("shutdowns", 60, "how often each server is stopped")
	clients := flag.Int("clients", 32, "clients that open new connections until the close")
	flag.Parse()

	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "stopped by\tshutdowns\tanswered\tlost\treset\tend of stream\tother\tlost per shutdown\t")
	for _, row := range []struct {
		name string
		stop func() (addr string, stop func())
	}{
		{"http.Server.Shutdown", plain},
		{"kit", withKit},
	} {
		var total outcome
		for range *shutdowns {
			one := edge(row.stop, *clients)
			total.add(one)
		}
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%.2f\t\n", row.name, *shutdowns, total.answered, total.lost(),
			total.reset, total.eof, total.other, float64(total.lost())/float64(*shutdowns))
		if total.err != nil {
			fmt.Fprintln(os.Stderr, row.name, "last loss:", total.err)
		}
	}
	table.Flush()
}

// edge starts a server, lets the clients loose on it, stops it under them and
// returns when all of them have been refused.
func edge(start func() (string, func()), clients int) outcome {
	addr, stop := start()
	results := make(chan outcome)
	for range clients {
		go func() { results <- knock(addr) }()
	}
	time.Sleep(100 * time.Millisecond)
	stop()
	var sum outcome
	for range clients {
		sum.add(<-results)
	}
	return sum
}

var answer = []byte("hello\n")

func hello(w http.ResponseWriter, _ *http.Request) { w.Write(answer) }

// plain is the shutdown that most services have.
func plain() (string, func()) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(hello)}
	go srv.Serve(ln)
	return ln.Addr().String(), func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := srv.Shutdown(ctx); err != nil {
			log.Print("shutdown: ", err)
		}
	}
}

// withKit runs a kit service with a drain so short, and clients so keen, that
// the door closes in front of all of them.
func withKit() (string, func()) {
	ready := make(chan struct{})
	svc := kit.New(
		kit.WithBudget(kit.Budget{Grace: 2100 * time.Millisecond, Drain: 100 * time.Millisecond}),
		kit.WithLogger(slog.New(slog.DiscardHandler)),
		kit.WithReport(os.DevNull),
	)
	svc.OnPhase(func(p kit.Phase) {
		if p == kit.PhaseReady {
			close(ready)
		}
	})
	svc.HTTP("edge", &http.Server{Addr: "127.0.0.1:0", Handler: http.HandlerFunc(hello)})
	ctx, cancel := context.WithCancel(context.Background())
	code := make(chan int, 1)
	go func() { code <- svc.Run(ctx) }()
	<-ready
	return svc.Addrs()["edge"].String(), func() {
		cancel()
		if c := <-code; c != 0 {
			log.Print("kit: exit code ", c)
		}
	}
}

// knock asks on one new connection after the other until it is refused.
func knock(addr string) (sum outcome) {
	request := []byte("GET / HTTP/1.1\r\nHost: " + addr + "\r\nConnection: close\r\n\r\n")
	for {
		c, err := net.DialTimeout("tcp", addr, 10*time.Second)
		if isRefused(err) {
			return sum
		}
		if err == nil {
			err = ask(c, request)
		}
		sum.count(err)
	}
}

// ask sends one request and reads the whole answer.
func ask(c net.Conn, request []byte) error {
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := c.Write(request); err != nil {
		return err
	}
	got, err := io.ReadAll(c)
	if err != nil {
		return err
	}
	if n := len(got); n < len(answer) || string(got[n-len(answer):]) != string(answer) {
		return io.ErrUnexpectedEOF
	}
	return nil
}
