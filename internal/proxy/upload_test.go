package proxy

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"gapless.dev/gapless/internal/app"
	"gapless.dev/gapless/internal/rollout"
)

// The answer to the last byte of a body is often there before whoever sent the body has looked for its end.
func TestUpload_IsAnsweredWholeAtItsLastByte(t *testing.T) {
	w := newWorld(t, app.App{})
	w.add("1", echo)
	w.route(rollout.Weights{"1": 100})
	body := strings.Repeat("x", smallBody+1)
	var clients sync.WaitGroup
	for range 8 {
		clients.Go(func() {
			for range 50 {
				res, err := w.http.Post(w.base, "text/plain", strings.NewReader(body))
				if err != nil {
					t.Error(err)
					return
				}
				got, err := io.ReadAll(res.Body)
				res.Body.Close()
				if string(got) != body || err != nil || res.StatusCode != 200 {
					t.Errorf("%s, %d bytes of %d came back, %v", res.Status, len(got), len(body), err)
				}
			}
		})
	}
	clients.Wait()
}

func TestUpload_IsAnsweredWhileItComes(t *testing.T) {
	w := newWorld(t, app.App{})
	w.add("1", func(rw http.ResponseWriter, r *http.Request) {
		c := http.NewResponseController(rw)
		_ = c.EnableFullDuplex()
		part := make([]byte, 1024)
		for {
			n, err := r.Body.Read(part)
			_, _ = rw.Write(part[:n])
			_ = c.Flush()
			if err != nil {
				return
			}
		}
	})
	w.route(rollout.Weights{"1": 100})
	body, in := io.Pipe()
	go fmt.Fprint(in, "one")
	res, err := w.http.Post(w.base, "text/plain", body)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	got := make([]byte, 3)
	for _, word := range []string{"one", "two", "six"} {
		if _, err := io.ReadFull(res.Body, got); err != nil || string(got) != word {
			t.Fatalf("%q, want %q: %v", got, word, err)
		}
		if word == "six" {
			in.Close()
			break
		}
		fmt.Fprint(in, map[string]string{"one": "two", "two": "six"}[word])
	}
	if rest, err := io.ReadAll(res.Body); len(rest) > 0 || err != nil {
		t.Errorf("%q after the end: %v", rest, err)
	}
}
