package kittest

import (
	"bufio"
	"bytes"
	"testing"
	"time"
)

// What a service writes, and what it answers on a stream, is anybody's text.

func FuzzReport(f *testing.F) {
	for _, text := range []string{
		``, `{}`, `{"reason":"SIGTERM","cut":{}}`, `{"reason":"SIGTERM","phases":null,"cut":{"requests":-1}}`, `report="{\"reason\":1}"`, `report="`, `{"report":"{"}`,
		`work=begin id=1`, `{"work":"end","id":"x"}`, `work=begin id=`, "work=begin id=\x00",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		e := &episode{stopped: time.Now()}
		for line := range bytes.Lines(text) {
			e.lines = append(e.lines, Line{At: time.Now(), Text: string(line)})
		}
		if report, err := reportOf(text, e.lines); err == nil && (report.Reason == "" || report.Cut == nil) {
			t.Errorf("half a report: %+v", report)
		}
		if r := judgeWork(nil, e); r.Status == "" || r.Why == "" {
			t.Errorf("%+v", r)
		}
		if n := len(e.saidAround(4)); n > 4 {
			t.Errorf("%d lines", n)
		}
	})
}

func FuzzCloseFrame(f *testing.F) {
	f.Add([]byte{0x88, 2, 1001 >> 8, 1001 & 0xff})
	f.Add([]byte{0x81, 126, 0, 3, 'a', 'b', 'c', 0x88, 0})
	f.Add([]byte{0x82, 127, 0, 0, 0, 0, 0, 0, 0, 1, 0})
	f.Fuzz(func(t *testing.T, stream []byte) {
		if code, err := closeCode(bufio.NewReader(bytes.NewReader(stream))); err == nil && (code < 0 || code > 65535) {
			t.Errorf("close code %d", code)
		}
	})
}

func FuzzHealthStatus(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 2, 1 << 3, serving})
	f.Add([]byte{0, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, stream []byte) {
		if status, err := healthStatus(bytes.NewReader(stream)); err == nil && (status < 0 || status > 255) {
			t.Errorf("status %d", status)
		}
	})
}
