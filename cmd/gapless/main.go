// Command gapless replaces a running version of a service without losing a request.
package main

import (
	"os"

	"gapless.dev/gapless/internal/cli"
)

func main() { os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }
