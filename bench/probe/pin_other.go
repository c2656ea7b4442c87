//go:build !linux

package main

import "runtime"

// pin can only limit the Go code to one CPU at a time here.
func pin(int) error {
	runtime.GOMAXPROCS(1)
	return nil
}
