// Command kubectl-gapless is gapless as kubectl finds it: kubectl gapless ...
package main

import (
	"os"

	"gapless.dev/gapless/internal/cli"
)

func main() { os.Exit(cli.Plugin(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }
