package wrap

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

// frame is one of a WebSocket, masked or not.
func frame(t *rapid.T) []byte {
	size := rapid.SampledFrom([]int{0, 1, 125, 126, 300, 65535, 65536, 70000}).Draw(t, "size")
	first := rapid.SampledFrom([]byte{0x82, 0x81, 0x01, 0x80, 0x89}).Draw(t, "first")
	f := []byte{first}
	masked := byte(0)
	if rapid.Bool().Draw(t, "masked") {
		masked = 0x80
	}
	switch {
	case size < 126:
		f = append(f, masked|byte(size))
	case size < 1<<16:
		f = binary.BigEndian.AppendUint16(append(f, masked|126), uint16(size))
	default:
		f = binary.BigEndian.AppendUint64(append(f, masked|127), uint64(size))
	}
	if masked != 0 {
		f = append(f, 1, 2, 3, 4)
	}
	return append(f, bytes.Repeat([]byte{0x88}, size)...) // what looks like a close frame inside of one is none
}

// In whatever pieces they come, frames are told apart, and what is not a frame yet is not one.
func TestFrames_AreFollowedInAnyPieces(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var f frames
		for _, one := range rapid.SliceOfN(rapid.Custom(frame), 1, 4).Draw(t, "frames") {
			for len(one) > 0 {
				n := rapid.IntRange(1, len(one)).Draw(t, "piece")
				if got := f.advance(one[:n], false); got != n {
					t.Fatalf("followed %d of %d bytes", got, n)
				}
				one = one[n:]
				if f.between() != (len(one) == 0) {
					t.Fatalf("%d bytes before the end of a frame: between is %v", len(one), f.between())
				}
			}
			if f.closing {
				t.Fatal("took a frame for a close frame")
			}
		}
	})
}

// Whenever it is time to leave, what the client has got is whole frames and then a close frame.
func TestSocket_SaysGoodbyeBetweenTwoFrames(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := rapid.SliceOfN(rapid.Custom(frame), 0, 4).Draw(t, "frames")
		text := bytes.Join(all, nil)
		ours, child := net.Pipe()
		defer child.Close()
		s := newSocket(ours)
		defer s.Close()
		leaveAt := rapid.IntRange(0, len(text)).Draw(t, "leaves after")
		go func() {
			_, _ = child.Write(text[:leaveAt])
			s.leave()
			_, _ = child.Write(text[leaveAt:]) // fails when nobody reads any more
		}()
		go func() { // the client answers the close frame
			<-s.leaving
			_, _ = s.Write([]byte{0x88, 0x80, 0, 0, 0, 0})
		}()
		go func() { _, _ = io.Copy(io.Discard, child) }()
		got, err := io.ReadAll(s)
		if err != errGoodbye {
			t.Fatalf("ended with %v", err)
		}
		whole, closed := bytes.CutSuffix(got, goingAway)
		if !closed || !bytes.HasPrefix(text, whole) {
			t.Fatalf("%d bytes of %d, then %x", len(whole), len(text), got[max(0, len(got)-4):])
		}
		n := 0
		for _, f := range all {
			if n < len(whole) {
				n += len(f)
			}
		}
		if n != len(whole) {
			t.Fatalf("%d bytes are not whole frames", len(whole))
		}
	})
}

// An event stream that is asked to leave ends with the end of an event, as long as one comes.
func TestStream_EndsWithTheEndOfAnEvent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		end := rapid.SampledFrom([]string{"\n\n", "\r\n\r\n", "\r\r"}).Draw(t, "end of an event")
		var events []string
		for range rapid.IntRange(1, 5).Draw(t, "events") {
			events = append(events, "id: 1"+end[:len(end)/2]+"data: a"+end)
		}
		text := ""
		for _, e := range events {
			text += e
		}
		var body io.Reader = bytes.NewReader([]byte(text))
		if rapid.Bool().Draw(t, "byte by byte") {
			body = iotest.OneByteReader(body)
		}
		s := &stream{ReadCloser: io.NopCloser(body), end: func() {}, whole: true}
		before := rapid.IntRange(0, len(text)).Draw(t, "leaves after")
		got := make([]byte, before)
		if _, err := io.ReadFull(s, got); err != nil {
			t.Fatal(err)
		}
		s.leave()
		rest, err := io.ReadAll(s)
		if err != nil {
			t.Fatal(err)
		}
		size := len(events[0])
		if n := before + len(rest); n%size != 0 || n-before >= size {
			t.Fatalf("left after %d bytes, ended after %d; an event has %d", before, n, size)
		}
	})
}

// Whatever a child says, following it does not fail.
func FuzzFrames(f *testing.F) {
	f.Add([]byte{0x82, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4}, 3)
	f.Add([]byte{0x88, 0x02, 0x03, 0xe9, 0x82, 126, 0, 1, 7}, 1)
	f.Fuzz(func(t *testing.T, text []byte, piece int) {
		var whole, pieces frames
		whole.advance(text, false)
		for rest := text; len(rest) > 0; {
			n := min(len(rest), max(1, piece%64))
			for done := 0; done < n; {
				step := pieces.advance(rest[done:n], true)
				if step <= 0 {
					t.Fatal("stands still")
				}
				done += step
			}
			rest = rest[n:]
		}
		if whole.payload != pieces.payload || !bytes.Equal(whole.head, pieces.head) || whole.closing != pieces.closing {
			t.Errorf("whole %+v, in pieces %+v", whole, pieces)
		}
	})
}
