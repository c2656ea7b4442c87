package check

import (
	"bufio"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// listening are the TCP ports that some of the processes listen on. known is
// unset where it cannot be found out.
func listening(pids []int) (ports []int, known bool) {
	sockets := make(map[string]bool)
	for _, pid := range pids {
		files, err := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/fd/*")
		if err != nil {
			continue
		}
		for _, file := range files {
			if name, err := os.Readlink(file); err == nil && strings.HasPrefix(name, "socket:[") {
				sockets[strings.TrimSuffix(name[len("socket:["):], "]")] = true
			}
		}
	}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		f, err := os.Open(table)
		if err != nil {
			continue
		}
		known = true
		lines := bufio.NewScanner(f)
		for lines.Scan() {
			if port, inode, ok := listener(lines.Text()); ok && sockets[inode] {
				ports = append(ports, port)
			}
		}
		f.Close()
	}
	slices.Sort(ports)
	return slices.Compact(ports), known
}

// listener reads a line of the kernel's table: number, local address, remote
// address, state (0A: listening), ..., inode as the tenth.
func listener(line string) (port int, inode string, ok bool) {
	fields := strings.Fields(line)
	if len(fields) < 10 || fields[3] != "0A" {
		return 0, "", false
	}
	_, hex, _ := strings.Cut(fields[1], ":")
	n, err := strconv.ParseUint(hex, 16, 16)
	return int(n), fields[9], err == nil
}
