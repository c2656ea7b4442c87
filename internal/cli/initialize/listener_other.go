//go:build !linux

package initialize

// listener cannot be found here.
func listener(int) int { return 0 }
