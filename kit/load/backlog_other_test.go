//go:build !linux

package load_test

import "testing"

func fullBacklog(t *testing.T) string {
	t.Helper()
	t.Skip("a full queue is only made on Linux")
	return ""
}
