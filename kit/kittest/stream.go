package kittest

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// goodbye is how a stream ended.
type goodbye struct {
	at    time.Time
	clean bool
	how   string
}

// watchEvents follows a stream of events until it ends.
func watchEvents(ctx context.Context, addr, path string, until time.Time) (<-chan goodbye, error) {
	ctx, cancel := context.WithDeadline(ctx, until)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+path, nil)
	if err != nil {
		cancel()
		return nil, err
	}
	req.Header.Set("Accept", "text/event-stream")
	resp, err := once(0).Do(req)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("open event stream: %w", err)
	}
	ended := make(chan goodbye, 1)
	go func() {
		defer cancel()
		defer resp.Body.Close()
		_, err := io.Copy(io.Discard, resp.Body)
		end := goodbye{at: time.Now(), clean: err == nil, how: "end of stream"}
		if err != nil {
			end.how = err.Error()
		}
		ended <- end
	}()
	return ended, nil
}

const (
	opClose      = 0x8
	goingAway    = 1001
	serviceStart = 1012 // "service restart"
)

// watchSocket follows a WebSocket until its close frame, or its end without one.
func watchSocket(addr, path string, until time.Time) (<-chan goodbye, error) {
	c, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		return nil, err
	}
	c.SetDeadline(until)
	fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n", path, addr)
	from := bufio.NewReader(c)
	resp, err := http.ReadResponse(from, nil)
	if err == nil && resp.StatusCode != http.StatusSwitchingProtocols {
		err = fmt.Errorf("status %d", resp.StatusCode)
	}
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("open WebSocket: %w", err)
	}
	ended := make(chan goodbye, 1)
	go func() {
		defer c.Close()
		code, err := closeCode(from)
		end := goodbye{at: time.Now(), clean: code == goingAway || code == serviceStart, how: fmt.Sprintf("close frame %d", code)}
		if err != nil {
			end.how = err.Error()
		}
		ended <- end
	}()
	return ended, nil
}

// closeCode reads frames until the close frame.
func closeCode(from *bufio.Reader) (int, error) {
	for {
		var head [2]byte
		if _, err := io.ReadFull(from, head[:]); err != nil {
			return 0, fmt.Errorf("no close frame: %w", err)
		}
		size := int(head[1] & 0x7f)
		switch size {
		case 126:
			var more [2]byte
			if _, err := io.ReadFull(from, more[:]); err != nil {
				return 0, err
			}
			size = int(binary.BigEndian.Uint16(more[:]))
		case 127:
			return 0, errors.New("a frame too large to wait for")
		}
		payload := make([]byte, size)
		if _, err := io.ReadFull(from, payload); err != nil {
			return 0, err
		}
		if head[0]&0x0f != opClose {
			continue
		}
		if size < 2 {
			return 1005, nil // a close frame that gives no reason
		}
		return int(binary.BigEndian.Uint16(payload)), nil
	}
}
