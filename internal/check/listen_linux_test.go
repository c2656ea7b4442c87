package check

import "testing"

func TestListener_ReadsTheKernelsTable(t *testing.T) {
	for _, test := range []struct {
		line  string
		port  int
		inode string
		ok    bool
	}{
		{"   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 30451 1 0000 100 0 0 10 0", 8080, "30451", true},
		{"   1: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 30452 1 0000", 0, "", false},
		{"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode", 0, "", false},
		{"", 0, "", false},
	} {
		port, inode, ok := listener(test.line)
		if ok != test.ok || ok && (port != test.port || inode != test.inode) {
			t.Errorf("%q: %d %q %v", test.line, port, inode, ok)
		}
	}
}
