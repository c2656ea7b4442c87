package local

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

var boot = sync.OnceValue(func() string {
	id, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(id))
})

// identify reads when the process began: field 22 of its stat, in ticks since the machine's boot.
func identify(pid int) identity {
	_, start := stat(pid)
	return identity{Pid: pid, Start: boot() + "/" + start}
}

// alive tells whether this very process runs. One that has ended and was not reaped does not.
func (id identity) alive() bool {
	if id.Pid <= 1 {
		return false
	}
	state, start := stat(id.Pid)
	return start != "" && state != "Z" && state != "X" && id.Start == boot()+"/"+start
}

func stat(pid int) (state, start string) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return "", ""
	}
	// The second field is the name in brackets, which may hold anything.
	_, rest, ok := strings.Cut(string(b[strings.LastIndexByte(string(b), ')')+1:]), " ")
	fields := strings.Fields(rest)
	if !ok || len(fields) < 20 {
		return "", ""
	}
	return fields[0], fields[19]
}

// watch closes ended once the process has, without reaping it.
func watch(id identity, ended chan<- struct{}) error {
	fd, err := unix.PidfdOpen(id.Pid, unix.PIDFD_NONBLOCK)
	if err != nil {
		if err == unix.ESRCH {
			close(ended)
			return nil
		}
		return err
	}
	// The runtime's poller waits for it: no thread is spent on it.
	file := os.NewFile(uintptr(fd), "pidfd")
	raw, err := file.SyscallConn()
	if err != nil {
		file.Close()
		return err
	}
	go func() {
		defer file.Close()
		defer close(ended)
		_ = raw.Read(func(fd uintptr) bool {
			n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
			return n > 0 || err != nil && err != unix.EINTR
		})
	}()
	return nil
}

// strays finds processes that carry our mark for a state directory, by instance. A Gapless that was killed between starting
// a process and writing it down leaves one.
func strays(stateDir string) map[string][]identity {
	found := map[string][]identity{}
	dirs, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, file := range dirs {
		b, err := os.ReadFile(file)
		if err != nil || !strings.Contains(string(b), markState+"="+stateDir+"\x00") {
			continue
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		for entry := range strings.SplitSeq(string(b), "\x00") {
			if name, ok := strings.CutPrefix(entry, markInstance+"="); ok {
				found[name] = append(found[name], identify(pid))
			}
		}
	}
	return found
}
