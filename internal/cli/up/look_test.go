package up

import (
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gapless.dev/gapless/internal/app"
)

// The flag is every test's of the commands: make generate sets it for all of them.
var _ = flag.Bool("update", false, "ignored here")

func TestLoad_FindsWhatTheMachineDoesNotHave(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := fmt.Sprint(taken.Addr().(*net.TCPAddr).Port)

	for name, c := range map[string]struct{ file, field, value, what string }{
		"a program that is not there":     {`command: ["./bin/api-{version}"]`, "command[0]", "./bin/api-1.0.0", "there is no file"},
		"a program not in PATH":           {"command: [no-such-program]", "command[0]", "no-such-program", "is not found in PATH"},
		"an image and no program":         {"image: api:1", "command", "", "one machine runs processes"},
		"a secret that is not set":        {"command: [./api]\nenv: {NO_SUCH_VARIABLE: {secret: db, key: k}}", "env.NO_SUCH_VARIABLE", "", "comes from the Secret db"},
		"a config file that is not there": {"command: [./api]\nconfig: {a: {file: gone}}", "config.a.file", "gone", "cannot be read"},
		"a folder":                        {"command: [./folder]", "command[0]", "./folder", "is a folder"},
		"a file that is not executable":   {"command: [./text]", "command[0]", "./text", "is not executable"},
		"a helper that is not there":      {"command: [./api]\nhelpers: [{name: h, command: [./helper]}]", "helpers[0].command[0]", "./helper", "there is no file"},
		"no such dir":                     {"command: [./api]\ndir: nowhere", "dir", "nowhere", "there is no such folder"},
		"a port that is taken":            {"command: [./api]\nports: {http: " + port + "}", "ports.http", port, "the port is taken"},
		"no certificate":                  {"command: [./api]\ntls: {cert: c.pem, key: text}", "tls.cert", "c.pem", "cannot be read"},
		"a certificate that is none":      {"command: [./api]\ntls: {cert: text, key: text}", "tls", "", "failed to find any PEM data"},
		"an address of somebody else":     {"command: [./api]\nbind: 203.0.113.7", "bind", "203.0.113.7", "is not an address of this machine"},
	} {
		t.Run(name, func(t *testing.T) {
			if !strings.Contains(c.file, "ports:") {
				c.file += "\nports: {http: 0}" // the default may be taken
			}
			dir := folder(t, "name: a\nversion: 1.0.0\n"+c.file+"\n")
			_, _, err := Load(filepath.Join(dir, "gapless.yaml"))
			var problems *app.Problems
			if !errors.As(err, &problems) {
				t.Fatalf("got %v, want problems", err)
			}
			p := problems.List[0]
			if len(problems.List) != 1 || p.Field != c.field || !strings.HasSuffix(p.Value, c.value) || !strings.Contains(p.What, c.what) || p.Fix == "" || p.Line < 2 && c.field != "command" {
				t.Errorf("got %+v", problems.List)
			}
		})
	}
}

func TestLoad_TellsOfEveryAppAtOnce(t *testing.T) {
	dir := folder(t, `apps:
  - {name: a, version: 1, command: [./api], ports: {http: 0}}
  - {name: b, version: 1, command: [./gone], ports: {http: 0}}
  - {name: c, version: 1, command: [./lost], ports: {http: 0}}
`)
	_, _, err := Load(filepath.Join(dir, "gapless.yaml"))
	if err == nil || !strings.Contains(err.Error(), "apps[1].command[0]") || !strings.Contains(err.Error(), "gapless.yaml:4: apps[2].command[0]") {
		t.Fatalf("got %v", err)
	}
}

func TestLoad_MakesPathsCountFromTheFile(t *testing.T) {
	dir := folder(t, "name: a\nversion: 1.0.0\ncommand: [./api]\nports: {http: 0}\n")
	f, got, err := Load(filepath.Join(dir, "gapless.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if got != dir || f.Apps[0].Dir != dir {
		t.Errorf("folder %s, dir %s, want both %s", got, f.Apps[0].Dir, dir)
	}
}

func TestLoad_SaysWhichFileIsNotThere(t *testing.T) {
	if _, _, err := Load("nowhere.yaml"); err == nil || !strings.Contains(err.Error(), "nowhere.yaml") {
		t.Errorf("got %v", err)
	}
}

func folder(t *testing.T, file string) string {
	t.Helper()
	dir := t.TempDir()
	for name, one := range map[string]struct {
		text string
		mode os.FileMode
	}{"gapless.yaml": {file, 0o644}, "text": {"text", 0o644}, "api": {"#!/bin/sh\n", 0o755}} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(one.text), one.mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}
