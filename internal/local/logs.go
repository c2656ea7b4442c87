package local

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// A log file is written by the service itself, so it is not in our hands when it grows: past logMax it is copied to NAME.1 and
// emptied in place. Lines that are written in the moment in between can be lost; the service can not.
const (
	logMax  = 8 << 20
	logLook = 200 * time.Millisecond
)

// logs follows the log files of the running instances: to the terminal, if it is wanted, and for their size.
type logs struct {
	out io.Writer // nil: nowhere

	mu    sync.Mutex
	files map[string]*logFile // by path
}

type logFile struct {
	name string // prefix of its lines
	at   int64  // how far it was shown
	rest []byte // an unfinished line
}

// follow shows what is written to a file from now on.
func (l *logs) follow(path, name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.files == nil {
		l.files = map[string]*logFile{}
	}
	if l.files[path] != nil {
		return
	}
	f := &logFile{name: name}
	if info, err := os.Stat(path); err == nil {
		f.at = info.Size()
	}
	l.files[path] = f
}

// forget shows the rest of a file and lets it be.
func (l *logs) forget(path string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if f := l.files[path]; f != nil {
		l.show(path, f)
		delete(l.files, path)
	}
}

// run looks after the files until ctx ends. A file that others write tells nobody that it has grown.
func (l *logs) run(ctx context.Context) {
	timer := time.NewTimer(logLook)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			l.mu.Lock()
			defer l.mu.Unlock()
			for path, f := range l.files {
				l.show(path, f)
			}
			return
		case <-timer.C:
		}
		l.mu.Lock()
		for path, f := range l.files {
			l.show(path, f)
			rotate(path, f)
		}
		l.mu.Unlock()
		timer.Reset(logLook)
	}
}

func (l *logs) show(path string, f *logFile) {
	if l.out == nil {
		return
	}
	file, err := os.Open(path)
	if err != nil {
		return
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil || info.Size() == f.at {
		return
	}
	if info.Size() < f.at {
		f.at = 0
	}
	new, err := io.ReadAll(io.NewSectionReader(file, f.at, info.Size()-f.at))
	if err != nil {
		return
	}
	f.at += int64(len(new))
	f.rest = append(f.rest, new...)
	var b bytes.Buffer
	for {
		line, rest, ok := bytes.Cut(f.rest, []byte("\n"))
		if !ok {
			break
		}
		fmt.Fprintf(&b, "%s | %s\n", f.name, line)
		f.rest = rest
	}
	_, _ = l.out.Write(b.Bytes())
}

func rotate(path string, f *logFile) {
	info, err := os.Stat(path)
	if err != nil || info.Size() <= logMax {
		return
	}
	from, err := os.Open(path)
	if err != nil {
		return
	}
	defer from.Close()
	to, err := os.OpenFile(path+".1", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return
	}
	defer to.Close()
	if _, err := io.Copy(to, from); err == nil && os.Truncate(path, 0) == nil {
		f.at = 0
	}
}

// lastLines returns the end of a log, n lines at most.
func lastLines(path string, n int) []string {
	file, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil
	}
	const enough = 32 << 10
	b, err := io.ReadAll(io.NewSectionReader(file, max(0, info.Size()-enough), enough))
	if err != nil {
		return nil
	}
	lines := bytes.Split(bytes.TrimRight(b, "\n"), []byte("\n"))
	lines = lines[max(0, len(lines)-n):]
	var all []string
	for _, line := range lines {
		if text := bytes.TrimRight(line, "\r"); len(text) > 0 {
			all = append(all, string(bytes.ToValidUTF8(text[:min(len(text), 500)], []byte("?"))))
		}
	}
	return all
}
