package kittest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// The few words of HTTP/2 that are needed to see a GOAWAY; net/http's client
// hides it.
const (
	frameData     = 0x0
	frameHeaders  = 0x1
	frameReset    = 0x3
	frameSettings = 0x4
	framePing     = 0x6
	frameGoAway   = 0x7
	flagAck       = 0x1
	flagEndStream = 0x1
	flagEndHeads  = 0x4
)

// http2Conn is a connection that speaks HTTP/2 without TLS.
type http2Conn struct {
	net.Conn
	addr   string
	grpc   bool // requests are gRPC calls with an empty message
	stream uint32
}

func dialHTTP2(addr string, grpc bool) (*http2Conn, error) {
	c, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		return nil, err
	}
	h := &http2Conn{Conn: c, addr: addr, grpc: grpc, stream: 1}
	if _, err := io.WriteString(c, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"); err != nil {
		c.Close()
		return nil, err
	}
	return h, h.send(frameSettings, 0, 0, nil)
}

func (h *http2Conn) send(kind, flags byte, stream uint32, payload []byte) error {
	head := make([]byte, 9, 9+len(payload))
	binary.BigEndian.PutUint32(head[0:], uint32(len(payload))<<8)
	head[3], head[4] = kind, flags
	binary.BigEndian.PutUint32(head[5:], stream)
	_, err := h.Write(append(head, payload...))
	return err
}

// errGoAway is a goodbye in good order, found while waiting for something else.
var errGoAway = errors.New("GOAWAY(NO_ERROR)")

// get asks for path and reads until the answer has ended; goaway says whether
// a GOAWAY(NO_ERROR) came until then, or within a moment after.
func (h *http2Conn) get(path string) (goaway bool, err error) {
	return h.exchange(path, 200*time.Millisecond)
}

// exchange is get with that moment.
func (h *http2Conn) exchange(path string, moment time.Duration) (goaway bool, err error) {
	stream := h.stream
	h.stream += 2
	if err := h.ask(stream, path); err != nil {
		return false, err
	}
	h.SetReadDeadline(time.Now().Add(5 * time.Second))
	ended := false
	for {
		err := h.read(stream, &ended)
		var ne net.Error
		switch {
		case errors.Is(err, errGoAway):
			goaway = true
		case ended && (errors.Is(err, io.EOF) || errors.As(err, &ne) && ne.Timeout()):
			return goaway, nil
		case err != nil:
			return goaway, err
		}
		if ended && (goaway || moment == 0) {
			return goaway, nil
		}
		if ended {
			h.SetReadDeadline(time.Now().Add(moment))
		}
	}
}

// ask sends a request.
func (h *http2Conn) ask(stream uint32, path string) error {
	const get, post, scheme = 0x82, 0x83, 0x86 // :method GET, :method POST, :scheme http, from the static table
	if !h.grpc {
		block := append([]byte{get, scheme}, literal(0x04, path)...)
		block = append(block, literal(0x01, h.addr)...) // :path, :authority
		return h.send(frameHeaders, flagEndStream|flagEndHeads, stream, block)
	}
	block := append([]byte{post, scheme}, literal(0x04, path)...)
	block = append(block, literal(0x01, h.addr)...)
	block = append(block, 0x0f, 31-0x0f) // content-type, whose index needs a second byte
	block = append(block, literal(0, "application/grpc")[1:]...)
	block = append(block, literal(0, "te")...)
	block = append(block, literal(0, "trailers")[1:]...)
	if err := h.send(frameHeaders, flagEndHeads, stream, block); err != nil {
		return err
	}
	return h.send(frameData, flagEndStream, stream, emptyMessage)
}

// untilGoAway reads until a GOAWAY(NO_ERROR), the end of the connection, or
// the given time.
func (h *http2Conn) untilGoAway(until time.Time) (bool, error) {
	h.SetReadDeadline(until)
	for {
		ended := false
		err := h.read(0, &ended)
		if errors.Is(err, errGoAway) {
			return true, nil
		}
		if err != nil {
			return false, err
		}
	}
}

// read takes one frame.
func (h *http2Conn) read(stream uint32, ended *bool) error {
	var head [9]byte
	if _, err := io.ReadFull(h, head[:]); err != nil {
		return err
	}
	payload := make([]byte, int(head[0])<<16|int(head[1])<<8|int(head[2]))
	if _, err := io.ReadFull(h, payload); err != nil {
		return err
	}
	kind, flags := head[3], head[4]
	switch {
	case kind == frameGoAway && len(payload) >= 8:
		if code := binary.BigEndian.Uint32(payload[4:]); code != 0 {
			return fmt.Errorf("GOAWAY with error code %d", code)
		}
		return errGoAway
	case kind == frameReset && binary.BigEndian.Uint32(head[5:])&^(1<<31) == stream && len(payload) >= 4:
		return fmt.Errorf("the stream was reset with error code %d", binary.BigEndian.Uint32(payload))
	case kind == frameSettings && flags&flagAck == 0:
		return h.send(frameSettings, flagAck, 0, nil)
	case kind == framePing && flags&flagAck == 0:
		return h.send(framePing, flagAck, 0, payload)
	case (kind == frameData || kind == frameHeaders) && binary.BigEndian.Uint32(head[5:])&^(1<<31) == stream:
		*ended = *ended || flags&flagEndStream != 0
	}
	return nil
}

// literal is a header field with its name from the static table, not indexed.
func literal(index byte, value string) []byte {
	return append([]byte{index, byte(len(value))}, value...) // values here are short
}
