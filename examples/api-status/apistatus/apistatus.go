// Package apistatus is the service api-status, in two forms with the same handlers: prepared, which is served by kit and drains when
// it is asked to stop, and naive, which is served by http.ListenAndServe and just dies.
package apistatus

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"gapless.dev/kit"
)

// Options say how the service runs.
type Options struct {
	// Addr is where it listens. Default: the port in PORT on every address, or :8080.
	Addr string
	// Version is what it answers. GAPLESS_VERSION wins over a flag, and that over what was built in.
	Version string
	// Naive serves without kit.
	Naive bool
	// StartDelay is how long the service pretends to load something before it listens.
	StartDelay time.Duration
	// Fail makes it go wrong on purpose; the zero value does not.
	Fail Failure
	// Also adds more to the prepared service, such as a server of another protocol. An error keeps it from starting.
	Also []func(*kit.Service) error
}

// Main is the whole program: it reads flags and environment, serves until it is told to stop, and returns the exit code. also is
// Options.Also.
func Main(version string, args []string, also ...func(*kit.Service) error) int {
	o, err := parse(version, args, os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "api-status:", err)
		return 2
	}
	o.Also = also
	return Run(o)
}

// Run serves until it is told to stop and returns the exit code.
func Run(o Options) int {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil)).With("version", o.Version)
	if o.Fail.How == FailExit {
		log.Error("the database schema is not known to this version: giving up")
		return 1
	}
	log.Info("starting", "addr", o.Addr, "naive", o.Naive, "startDelay", o.StartDelay)
	if o.Naive {
		return naive(o, log)
	}
	return prepared(o, log)
}

func parse(version string, args []string, out io.Writer) (Options, error) {
	o := Options{Version: version}
	fs := flag.NewFlagSet("api-status", flag.ContinueOnError)
	fs.SetOutput(out)
	fs.StringVar(&o.Addr, "addr", "", "listen on `host:port` (default the port in PORT, or :8080)")
	fs.StringVar(&o.Version, "version", version, "the version to answer; GAPLESS_VERSION wins over it")
	fs.BoolVar(&o.Naive, "naive", false, "serve without kit, and die on SIGTERM")
	fs.DurationVar(&o.StartDelay, "start-delay", 0, "wait this long before listening")
	fail := fs.String("fail", "", "go wrong: exit, never-ready, ready500, die-after=5s, errors=2%[@60s], post-errors=50% or slow=100ms; with VERSION: before it, in that version only")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	if fs.NArg() > 0 {
		return o, fmt.Errorf("unexpected %q: there are only flags", fs.Arg(0))
	}
	o.Version = cmp.Or(os.Getenv("GAPLESS_VERSION"), o.Version)
	if o.Addr == "" {
		o.Addr = ":" + cmp.Or(os.Getenv("PORT"), "8080")
	}
	f, err := ParseFailure(*fail)
	if err != nil {
		return o, err
	}
	o.Fail = f.in(o.Version)
	return o, nil
}
