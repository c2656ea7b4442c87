package up

import (
	"crypto/tls"
	"errors"
	"io/fs"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"gapless.dev/gapless/internal/app"
)

// A look finds what a file names and the machine does not have, before anything is started.
type look struct {
	problems *app.Problems
	lines    map[string]int
	prefix   string
	bind     string
}

func (l *look) wrong(field, value, what, fix string) {
	l.problems.Add(l.lines, l.prefix+field, value, what, fix)
}

func (l *look) at(a app.App) {
	l.command(a)
	l.secrets("", a.Secrets)
	for i, h := range a.Helpers {
		l.secrets("helpers["+strconv.Itoa(i)+"].", h.Secrets)
	}
	l.tls(a)
	if len(a.Ports) == 0 || a.Ports[0].Inner {
		l.wrong("ports", "", "has none that clients use, and this machine has a proxy before each app", "write ports: {http: 8080}")
		return
	}
	for _, p := range a.Ports {
		if p.Inner {
			continue
		}
		l.port(p)
	}
}

func (l *look) command(a app.App) {
	// {port} is not known yet; it stands in arguments, and hardly in the name of a program.
	if len(a.Command) == 0 {
		l.wrong("command", "", "is missing: one machine runs processes, and image is for a cluster", `write the program and its arguments as a list: command: ["./bin/api-{version}"]`)
		return
	}
	expand := func(word string) string { return a.Expand(word, app.Setting{Version: a.Version}) }
	dir, program := expand(a.Dir), expand(a.Command[0])
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		l.wrong("dir", dir, "there is no such folder", "make it, or name one that is there")
		return
	}
	l.program("command[0]", program, dir)
	for i, h := range a.Helpers {
		field := "helpers[" + strconv.Itoa(i) + "].command"
		if len(h.Command) == 0 {
			l.wrong(field, "", "is missing: one machine runs processes, and image is for a cluster", "write the program and its arguments as a list")
			continue
		}
		l.program(field+"[0]", expand(h.Command[0]), dir)
	}
}

func (l *look) program(field, program, dir string) {
	if !strings.ContainsRune(program, filepath.Separator) {
		if _, err := exec.LookPath(program); err != nil {
			l.wrong(field, program, "is not found in PATH", "install it, or write its path: ./bin/"+program)
		}
		return
	}
	path := program
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		l.wrong(field, program, "there is no file "+path, "build it, or put the path right: it counts from dir, or else from the folder of this file")
	case err != nil:
		l.wrong(field, program, err.Error(), "let yourself read it")
	case info.IsDir():
		l.wrong(field, program, "is a folder", "name the program in it")
	case info.Mode()&0o111 == 0:
		l.wrong(field, program, "is not executable", "chmod +x "+path)
	}
}

// secrets come from our own environment here, which every process is given.
func (l *look) secrets(prefix string, all map[string]app.SecretKey) {
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if _, set := os.LookupEnv(name); !set {
			l.wrong(prefix+"env."+name, "", "comes from the Secret "+all[name].Secret+" on a cluster, and from Gapless' own environment on one machine, where it is not set", "export "+name+"=... before gapless up")
		}
	}
}

func (l *look) tls(a app.App) {
	if a.TLS.Cert == "" {
		return // a Secret is for a cluster
	}
	missing := false
	for _, f := range [][2]string{{"tls.cert", a.TLS.Cert}, {"tls.key", a.TLS.Key}} {
		if _, err := os.Stat(f[1]); err != nil {
			l.wrong(f[0], f[1], "cannot be read: "+reason(err), "name a file in PEM form")
			missing = true
		}
	}
	if missing {
		return
	}
	if _, err := tls.LoadX509KeyPair(a.TLS.Cert, a.TLS.Key); err != nil {
		l.wrong("tls", "", strings.TrimPrefix(err.Error(), "tls: "), "give a certificate and the key that belongs to it, both in PEM form")
	}
}

func (l *look) port(p app.Port) {
	ln, err := net.Listen("tcp", net.JoinHostPort(l.bind, strconv.Itoa(p.Public)))
	if err == nil {
		ln.Close()
		return
	}
	field, value := "ports."+p.Name, strconv.Itoa(p.Public)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		l.wrong(field, value, "the port is taken on "+l.bind, "choose another, or end what listens there; 0 takes a free one")
	case errors.Is(err, syscall.EACCES):
		l.wrong(field, value, "you may not listen on it", "choose one from 1024")
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		l.problems.Add(l.lines, "bind", l.bind, "is not an address of this machine", "write 127.0.0.1, 0.0.0.0, or one that ip addr shows")
	default:
		l.wrong(field, value, "cannot be listened on: "+err.Error(), "choose another")
	}
}

func reason(err error) string {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err.Error()
	}
	return err.Error()
}
