package examples

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// nginx is the example's site on the port in PORT, as the templates of its image have it.
func nginx() []string {
	if program("nginx") == "" {
		return []string{""}
	}
	return []string{"/bin/sh", "-c", `
		dir=$(mktemp -d -p ` + bin() + `) &&
		sed "s|listen 8000|listen 127.0.0.1:$PORT|; s|/tmp/|$dir/|" ../../examples/nginx/nginx.conf >$dir/nginx.conf &&
		exec nginx -c $dir/nginx.conf -g 'daemon off;'`}
}

// classes is the folder of the example in Java, compiled; empty where there is no compiler.
func classes(t *testing.T) string {
	t.Helper()
	javac := program("javac")
	if javac == "" {
		return ""
	}
	building.Lock()
	defer building.Unlock()
	dir := filepath.Join(bin(), "classes")
	if _, err := os.Stat(dir); err == nil {
		return dir
	}
	if out, err := exec.Command(javac, "-d", dir, "../../examples/java/Server.java").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return dir
}
