//go:build linux

// Cluster brings a real Kubernetes of several nodes up on this machine, and takes it down again.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"gapless.dev/gapless/test/cluster"
)

const usage = `usage: cluster [flags] verb

  install                      the Debian packages that are missing, by apt-get
  build                        the programs that are not in the cache yet
  build PROGRAM                traefik, kwok, istiod or xds, which only some tests need; prints its path
  up                           bring the cluster up; nothing to do when it stands
  down                         take it down; nothing to do when it does not stand
  run COMMAND [ARG...]         up, the command in the client's network, down, whatever happens
  exec [-host H] COMMAND ...   a command in the network of the client, or of node-1, node-2, ...
  kubeconfig                   the path of the administrator's kubeconfig, for use with exec
  load-image NAME PATH         an image of one static binary, or of a folder, given to all nodes
  load-image FILE.tar          the images of an archive
  restart [-host H] [-away D] COMPONENT
                               stop a component, wait, start it again
  status                       is every component running, every node Ready?

flags, with the environment variables that set them:
`

func main() {
	cluster.Hook()
	err := run()
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		os.Exit(max(1, failed.ExitCode())) // the command of run has said why
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(1)
	}
}

// flagsOf collects -flag COMPONENT=--FLAG=VALUE.
type flagsOf map[string][]string

func (f flagsOf) String() string { return "" }

func (f flagsOf) Set(text string) error {
	component, value, found := strings.Cut(text, "=")
	if !found || !strings.HasPrefix(value, "-") {
		return errors.New("use COMPONENT=--FLAG=VALUE")
	}
	f[component] = append(f[component], value)
	return nil
}

func run() error {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	nodes, err := strconv.Atoi(fallback("NODES", "2"))
	if err != nil {
		return fmt.Errorf("NODES: %w", err)
	}
	c := cluster.Config{Flags: map[string][]string{}, Say: sayer()}
	flag.StringVar(&c.Name, "name", fallback("CLUSTER", cluster.DefaultName), "CLUSTER: which `cluster`")
	flag.IntVar(&c.Nodes, "nodes", nodes, "NODES: how many `nodes`")
	flag.StringVar(&c.Kubernetes, "k8s", fallback("K8S", cluster.DefaultKubernetes), "K8S: `version` of Kubernetes")
	flag.DurationVar(&c.Deadline, "deadline", 3*time.Minute, "how long the start may take, builds not counted")
	flag.Var(flagsOf(c.Flags), "flag", "add `COMPONENT=--FLAG=VALUE` to a component's command line; may be repeated")
	flag.Usage = func() {
		fmt.Fprint(os.Stderr, usage)
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() == 0 {
		flag.Usage()
		return errors.New("no verb")
	}
	verb, args := flag.Arg(0), flag.Args()[1:]
	switch verb {
	case "install":
		return cluster.Install(ctx)
	case "build":
		return build(ctx, c, args)
	case "up":
		return up(ctx, c)
	case "down":
		return cluster.Down(c.Name)
	case "run":
		return runCommand(ctx, c, args)
	}
	standing, err := cluster.Open(c.Name)
	if err != nil {
		return err
	}
	return ask(ctx, standing, verb, args)
}

// build prints the paths of the extras it was asked for.
func build(ctx context.Context, c cluster.Config, extras []string) error {
	if len(extras) == 0 {
		return cluster.Build(ctx, c.Kubernetes, c.Say)
	}
	for _, program := range extras {
		path, err := cluster.BuildExtra(ctx, program, c.Say)
		if err != nil {
			return err
		}
		fmt.Println(path)
	}
	return nil
}

func up(ctx context.Context, c cluster.Config) error {
	standing, err := cluster.Up(ctx, c)
	if err != nil {
		return err
	}
	if err := standing.Keep(); err != nil {
		return err
	}
	c.Say("cluster %s is up; its logs are in %s", standing.Name(), standing.Logs())
	return nil
}

// runCommand keeps the cluster for as long as the command runs. If this process is killed the cluster goes with it.
func runCommand(ctx context.Context, c cluster.Config, args []string) (err error) {
	if len(args) == 0 {
		return errors.New("run: which command?")
	}
	standing, err := cluster.Up(ctx, c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, standing.Down()) }()
	command := standing.Command(ctx, args[0], args[1:]...)
	command.Stdin, command.Stdout, command.Stderr = os.Stdin, os.Stdout, os.Stderr
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
	command.WaitDelay = 30 * time.Second
	runtime.LockOSThread() // the death that the command dies of is that of the thread that started it
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return command.Run()
}

// ask is what is asked of a standing cluster.
func ask(ctx context.Context, c *cluster.Cluster, verb string, args []string) error {
	set := flag.NewFlagSet(verb, flag.ExitOnError)
	host := set.String("host", "", "which `host`: control, node-1, ...")
	away := set.Duration("away", 0, "how long the component stays away")
	set.Parse(args) //nolint:errcheck // ExitOnError
	args = set.Args()
	switch {
	case verb == "exec" && len(args) > 0:
		if *host == "" {
			*host = "control"
		}
		return c.Exec(*host, args[0], args[1:]...)
	case verb == "kubeconfig" && len(args) == 0:
		fmt.Println(c.Kubeconfig())
		return nil
	case verb == "load-image" && len(args) == 1:
		return c.LoadArchive(ctx, args[0])
	case verb == "load-image" && len(args) == 2:
		return c.LoadImage(ctx, args[0], args[1])
	case verb == "restart" && len(args) == 1:
		if *host == "" {
			*host = "control"
		}
		return c.Restart(ctx, *host, args[0], *away)
	case verb == "status" && len(args) == 0:
		return c.Healthy(ctx)
	}
	return fmt.Errorf("%s %s: no such verb, or not these arguments; run `cluster` for the list", verb, strings.Join(args, " "))
}

func fallback(variable, value string) string {
	if set := os.Getenv(variable); set != "" {
		return set
	}
	return value
}

// sayer prints steps with the time since the start.
func sayer() func(string, ...any) {
	begin := time.Now()
	return func(format string, args ...any) {
		fmt.Fprintf(os.Stderr, "%6.1fs  %s\n", time.Since(begin).Seconds(), fmt.Sprintf(format, args...))
	}
}
