// Command reaper kills processes of its node with SIGKILL, as a machine that is out of memory does: those whose command line holds an
// argument. It runs in the node's process namespace.
package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

func main() {
	http.HandleFunc("POST /kill", func(w http.ResponseWriter, r *http.Request) {
		killed := 0
		all, _ := filepath.Glob("/proc/[0-9]*/cmdline")
		for _, name := range all {
			text, err := os.ReadFile(name)
			if err != nil || !slices.Contains(strings.Split(string(text), "\x00"), r.FormValue("arg")) {
				continue
			}
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name)))
			if err == nil && pid != os.Getpid() && syscall.Kill(pid, syscall.SIGKILL) == nil {
				killed++
			}
		}
		fmt.Fprintln(w, killed)
	})
	if err := http.ListenAndServe(":8080", nil); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
