//go:build !linux

package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "cluster: it is made of Linux namespaces; run it on Linux")
	os.Exit(1)
}
