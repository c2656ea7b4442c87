package load

import (
	"net"
	"testing"
	"time"
)

func TestFresh_SeesWhatHappenedWhileIdle(t *testing.T) {
	for name, c := range map[string]struct {
		meanwhile func(server net.Conn)
		want      bool
	}{
		"nothing":             {func(net.Conn) {}, true},
		"closed":              {func(s net.Conn) { s.Close() }, false},
		"reset":               {func(s net.Conn) { s.(*net.TCPConn).SetLinger(0); s.Close() }, false},
		"an unasked-for byte": {func(s net.Conn) { s.Write([]byte("HTTP/1.1 408")) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			client, server := pair(t)
			conn := newConn1(client, true)
			conn.SetDeadline(time.Now().Add(-time.Second)) // left over from the last request
			if !conn.fresh() {
				t.Fatal("not fresh from the start")
			}
			c.meanwhile(server)
			// The change takes a moment to arrive; a fresh one must stay so.
			for range 100 {
				if conn.fresh() != c.want && c.want {
					t.Fatal("not fresh, although nothing happened")
				}
				if !conn.fresh() {
					return
				}
				time.Sleep(time.Millisecond)
			}
			if !c.want {
				t.Error("still fresh")
			}
		})
	}
}

func pair(t *testing.T) (client, server net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if client, err = net.Dial("tcp", ln.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if server, err = ln.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); server.Close() })
	return client, server
}
