package cli

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"gapless.dev/gapless/examples/api-status/apistatus"
	"gapless.dev/gapless/internal/local"
	"gapless.dev/kit/kittest/faulty"
)

// The test binary is gapless and the service, too, so that stories run what a person would run.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"gapless":    func() { os.Exit(Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) },
		"api-status": func() { os.Exit(apistatus.Main("0.0.0", os.Args[1:])) },
		"broken":     func() { os.Exit(broken(os.Args[1:])) },
	})
}

// broken is examples/broken: broken -fault NAME.
func broken(args []string) int {
	fault, err := faulty.Find(args[1])
	if err != nil {
		return 2
	}
	return fault.Serve()
}

func TestStories(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/stories",
		Setup: func(env *testscript.Env) error {
			env.Setenv("GAPLESS_SOCKET", filepath.Join(env.WorkDir, "s"))
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("GAPLESS_DRAIN", "50ms")
			env.Defer(func() { sweep("GAPLESS_SOCKET=" + env.Getenv("GAPLESS_SOCKET")) })
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"serves": serves,
			"exits":  exits,
			"json":   jsonOf,
		},
	})
}

// sweep ends what a story left behind when it failed half-way: a killed Gapless leaves its processes running, as it should.
func sweep(mark string) {
	environs, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, name := range environs {
		data, err := os.ReadFile(name)
		if err != nil || !slices.Contains(strings.Split(string(data), "\x00"), mark) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name))); err == nil {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// serves waits until a Gapless answers, and puts the address of each open port into ADDR (the first) and ADDR_app_port.
func serves(ts *testscript.TestScript, neg bool, _ []string) {
	client := local.Dial(ts.Getenv("GAPLESS_SOCKET"))
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for {
		ping, err := client.Ping(ctx)
		switch {
		case neg && err == nil:
			ts.Fatalf("somebody answers: %+v", ping)
		case neg:
			return
		case err == nil && len(ping.Ports) > 0:
			ts.Setenv("ADDR", ping.Ports[0].Address)
			for _, p := range ping.Ports {
				ts.Setenv("ADDR_"+p.App+"_"+p.Name, p.Address)
			}
			return
		case ctx.Err() != nil:
			ts.Fatalf("nobody answers: %v", err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// exits runs a command and checks its exit code: exits 2 gapless up.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	want, err := strconv.Atoi(args[0])
	if neg || err != nil {
		ts.Fatalf("usage: exits CODE command ...")
	}
	got := 0
	var exit *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// jsonOf checks that what was printed last is JSON and nothing else: the value of one app, or a list with one of each: json APP...
func jsonOf(ts *testscript.TestScript, neg bool, apps []string) {
	if neg || len(apps) == 0 {
		ts.Fatalf("usage: json APP...")
	}
	type value struct{ App string }
	text := ts.ReadFile("stdout")
	all := make([]value, 1)
	into := any(&all[0])
	if strings.HasPrefix(text, "[") {
		into = &all
	}
	if err := json.Unmarshal([]byte(text), into); err != nil {
		ts.Fatalf("no JSON: %v", err)
	}
	var got []string
	for _, v := range all {
		got = append(got, v.App)
	}
	if !slices.Equal(got, apps) {
		ts.Fatalf("JSON of %q, want %q", got, apps)
	}
}
