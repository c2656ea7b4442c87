package local

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"gapless.dev/gapless/internal/app"
)

// Options of Up. File and StateDir must be set.
type Options struct {
	// File is the parsed and checked app file, and FileName where it came from: relative paths in it are seen from its folder.
	File     app.File
	FileName string
	// StateDir holds what must survive a restart of Gapless: states, reports, logs. It is made with owner-only rights.
	// "gapless up" uses .gapless beside the app file.
	StateDir string
	// Socket is where commands are answered. Default: SocketOf(StateDir).
	Socket string
	// Keys is the folder that gates find keys and tokens in. Empty: there are none.
	Keys string
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
	if err := checkNames(o.File); err != nil {
		return err
	}
	m := &machine{o: o, since: now()}
	m.logs.out = o.Output
	defer m.ports.giveAll()
	var err error
	if m.state, err = filepath.Abs(o.StateDir); err != nil {
		return err
	}
	if m.home, err = filepath.Abs(filepath.Dir(o.FileName)); err != nil {
		return err
	}
	if m.o.Socket == "" {
		m.o.Socket = SocketOf(m.state)
	}
	m.instances, m.letGo = context.WithCancel(context.WithoutCancel(ctx))
	defer m.letGo()

	socket, err := listenSocket(m.o.Socket)
	if err != nil {
		return err
	}
	defer socket.Close()
	unlock, err := m.open()
	if err != nil {
		if m.proxy != nil {
			_ = m.proxy.Close(ended())
		}
		return err
	}
	defer unlock()
	return m.serve(ctx, socket)
}

func (m *machine) serve(ctx context.Context, socket *unixSocket) error {
	tail := make(chan struct{})
	go func() {
		defer close(tail)
		m.logs.run(m.instances)
	}()
	m.proxy.Serve()
	var beating sync.WaitGroup
	beating.Go(func() { m.beat(m.instances) })
	driving, stopDriving := context.WithCancel(context.WithoutCancel(ctx))
	defer stopDriving()
	loops := m.drive(driving)
	api := m.answer(socket)

	m.clearRemoved(ctx)
	for _, s := range m.services {
		s.await(ctx, func() bool { return s.looks > 0 })
	}
	if m.o.Ready != nil && ctx.Err() == nil {
		m.o.Ready(m.ping())
	}
	<-ctx.Done()

	// First nobody comes any more, then nobody is there any more: the other way round would lose requests.
	api()
	stopDriving()
	loops.Wait()
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), m.longestDrain())
	_ = m.proxy.Close(limit)
	cancel()
	for _, s := range m.services {
		s.keepCounts() // there are no others now
		s.keepUnderWay()
	}
	if !m.o.Leave {
		for _, s := range m.services {
			s.say("is stopped")
		}
		m.stopServices(context.WithoutCancel(ctx))
	}
	m.letGo()
	beating.Wait()
	for _, s := range m.services {
		s.wg.Wait()
	}
	<-tail
	return nil
}

func (m *machine) stopServices(ctx context.Context) {
	done := make(chan struct{})
	for _, s := range m.services {
		go func() {
			s.stopAll(ctx)
			done <- struct{}{}
		}()
	}
	for range m.services {
		<-done
	}
}

// longestDrain bounds how long open answers hold the end up.
func (m *machine) longestDrain() time.Duration {
	longest := time.Second
	for _, s := range m.services {
		longest = max(longest, s.app.Stop.Drain)
	}
	return longest
}

// ended is a context that is over: whoever gets it does not wait.
func ended() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
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
