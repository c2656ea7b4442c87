// Listeners speak plain TCP: the kernel has no socket filter for Multipath TCP, and kit holds handshakes off by one when it closes.
//
//go:debug multipathtcp=0

// Command gapless replaces a running version of a service without losing a request.
package main

import (
	"os"

	"gapless.dev/gapless/internal/cli"
)

func main() { os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }
