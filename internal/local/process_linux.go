package local

import (
	"fmt"
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

// listens tells whether the process, or what it forked, listens on a port.
func (id identity) listens(port int) bool {
	sockets := listeners(port)
	links, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, link := range links {
		if to, err := os.Readlink(link); err != nil || !sockets[to] {
			continue
		}
		pid, _ := strconv.Atoi(strings.Split(link, "/")[2])
		if session, err := sessionOf(pid); err == nil && session == id.Pid {
			return true
		}
	}
	return false
}

// listeners are the sockets that listen on a port, by what a descriptor of theirs links to.
func listeners(port int) map[string]bool {
	found := map[string]bool{}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		b, _ := os.ReadFile(table)
		for line := range strings.Lines(string(b)) {
			f := strings.Fields(line) // number, local address, remote address, state ... the tenth is the inode
			if len(f) > 9 && f[3] == "0A" && strings.HasSuffix(f[1], fmt.Sprintf(":%04X", port)) {
				found["socket:["+f[9]+"]"] = true
			}
		}
	}
	return found
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
