// Command controller is gapless controller alone, for the stories that run it as a process of its own.
package main

import (
	"context"
	"fmt"
	"os"

	"gapless.dev/gapless/internal/cli/controller"
	"gapless.dev/gapless/internal/cli/shell"
)

func main() {
	cmd := controller.New(&shell.Shell{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Getenv: os.Getenv})
	cmd.SilenceUsage = true
	if err := cmd.ExecuteContext(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
