//go:build linux

package cluster

import (
	"errors"
	"log"
	"os"
	"path/filepath"
)

// The first argument of this program when it is not run by a person.
const (
	hookInit   = "cluster-host"   // PID 1 of a host
	hookRouter = "cluster-router" // the component router
	hookExec   = "cluster-exec"   // becomes a command in a host's network
)

// Hook must be the first call in main of every program that uses this package, in TestMain for a test:
// the package starts its own program anew for the parts that run inside a host. It returns when this start is not one of those.
func Hook() {
	if len(os.Args) < 3 {
		return
	}
	var err error
	switch os.Args[1] {
	case hookInit:
		err = runInit(os.Args[2])
	case hookRouter:
		err = runRouter(os.Args[2])
	case hookExec:
		err = becomeCommand(os.Args[2:])
	default:
		return
	}
	if err != nil {
		log.Fatalf("%s: %v", os.Args[1], err)
	}
	os.Exit(0)
}

// becomeCommand takes folder, host, command and its arguments.
func becomeCommand(args []string) error {
	if len(args) < 3 {
		return errors.New("a folder, a host and a command are needed")
	}
	c, err := open(args[0], filepath.Base(args[0]))
	if err != nil {
		return err
	}
	return c.Exec(args[1], args[2], args[3:]...)
}
