package local

import (
	"context"
	"io"
	"os"
	"path/filepath"

	"gapless.dev/gapless/internal/app"
)

// Options of Up. File and StateDir must be set.
type Options struct {
	// File is the parsed and checked app file, and FileName where it came from, for messages.
	File     app.File
	FileName string
	// StateDir holds what must survive a restart of Gapless: states, reports, logs. It is made with owner-only rights.
	// "gapless up" uses .gapless beside the app file.
	StateDir string
	// Socket is where commands are answered. Default: SocketOf(StateDir).
	Socket string
	// Log gets what happens, a line each; nil says nothing.
	Log io.Writer
	// Output gets the lines that the services print, prefixed with their instance; nil leaves them to the log files.
	Output io.Writer
	// Version of the program, for Ping.
	Version string
	// Leave keeps the services running when ctx ends. The next Up with the same StateDir adopts them.
	// Default: they are drained and stopped, helpers last.
	Leave bool
	// Up calls Ready once, when the ports are open, the socket answers, and each app was looked at. Nil is fine.
	Ready func(Ping)
}

// Up serves the apps of a file until ctx ends. It returns nil after a clean end. An error of code Bad or Refused tells that
// nothing was started: a port that is taken, a command that is missing, a socket at which another Gapless answers.
func Up(ctx context.Context, o Options) error {
	return errorf(Internal, "up is not there yet")
}

// SocketOf returns the path of the socket that belongs to a state directory. It is inside of it, except where the path
// would be longer than a socket's may be.
func SocketOf(stateDir string) string {
	abs, err := filepath.Abs(stateDir)
	if err != nil {
		abs = stateDir
	}
	inside := filepath.Join(abs, "run", "gapless.sock")
	if len(inside) <= 100 {
		return inside
	}
	return filepath.Join(os.TempDir(), "gapless-"+hash(abs), "gapless.sock")
}
