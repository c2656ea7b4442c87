// Package followtest is a git server and a registry for tests: git's own HTTP backend, and go-containerregistry's registry.
package followtest

import (
	"archive/tar"
	"bytes"
	"crypto/subtle"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/cgi"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/crane"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// A Server serves repositories by git http-backend, and images by a registry.
type Server struct {
	// Address is host:port.
	Address string
	// Username and Password that git asks for; empty: nobody is asked.
	Username, Password string

	t        testing.TB
	root     string
	mu       sync.Mutex
	requests []string
	public   map[string]bool
}

// Serve begins to serve at an address such as 127.0.0.1:0, and ends with the test.
func Serve(t testing.TB, address string) *Server {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{Address: l.Addr().String(), t: t, root: t.TempDir()}
	quiet := log.New(io.Discard, "", 0)
	images := registry.New(registry.Logger(quiet))
	mux := http.NewServeMux()
	mux.Handle("/v2/", images)
	mux.HandleFunc("/", s.git)
	web := &http.Server{Handler: mux, ErrorLog: quiet}
	go func() { _ = web.Serve(l) }()
	t.Cleanup(func() { web.Close() })
	return s
}

func (s *Server) git(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.requests = append(s.requests, r.Method+" "+r.URL.RequestURI())
	asks := s.Password != "" && !s.public[repositoryOf(r.URL.Path)]
	s.mu.Unlock()
	if asks {
		user, password, _ := r.BasicAuth()
		if user != s.Username || subtle.ConstantTimeCompare([]byte(password), []byte(s.Password)) != 1 {
			w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
	}
	backend := &cgi.Handler{
		Path: filepath.Join(strings.TrimSpace(Git(s.t, ".", "--exec-path")), "git-http-backend"), Root: "/",
		Env:    []string{"GIT_PROJECT_ROOT=" + s.root, "GIT_HTTP_EXPORT_ALL=1", "REMOTE_USER=pusher"},
		Stderr: io.Discard,
	}
	backend.ServeHTTP(w, r)
}

// repositoryOf a request is the first word of its path.
func repositoryOf(path string) string {
	name, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), ".git")
	return name
}

// Requests are those that git was asked so far: all, or those for some repositories.
func (s *Server) Requests(names ...string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(s.requests), func(r string) bool {
		_, path, _ := strings.Cut(r, " ")
		return len(names) > 0 && !slices.Contains(names, repositoryOf(path))
	})
}

// Public has nobody asked for a password who wants to read or write a repository.
func (s *Server) Public(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.public == nil {
		s.public = map[string]bool{}
	}
	s.public[name] = true
}

// URL of a repository.
func (s *Server) URL(name string) string { return "http://" + s.Address + "/" + name + ".git" }

// Image is the name of an image in the registry, without a tag.
func (s *Server) Image(name string) string { return s.Address + "/" + name }

// A Clone is a working copy whose pushes go to the server.
type Clone struct {
	Dir string
	t   testing.TB
}

// Repository makes a repository on the server, and a working copy of it.
func (s *Server) Repository(name string) *Clone {
	s.t.Helper()
	bare := filepath.Join(s.root, name+".git")
	Git(s.t, s.root, "init", "-q", "--bare", "-b", "main", bare)
	Git(s.t, bare, "config", "http.receivepack", "true")
	Git(s.t, bare, "config", "uploadpack.allowFilter", "true")
	c := &Clone{Dir: filepath.Join(s.t.TempDir(), name), t: s.t}
	Git(s.t, s.root, "init", "-q", "-b", "main", c.Dir)
	Git(s.t, c.Dir, "remote", "add", "origin", bare)
	return c
}

// Commit writes a file and commits it. It returns the commit.
func (c *Clone) Commit(file, text string) string {
	c.t.Helper()
	name := filepath.Join(c.Dir, file)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		c.t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o755); err != nil {
		c.t.Fatal(err)
	}
	c.Git("add", "-A")
	c.Git("commit", "-q", "--allow-empty", "-m", "change "+file)
	return strings.TrimSpace(c.Git("rev-parse", "HEAD"))
}

// Tag tags the present commit and pushes it all; arguments are those of git tag, such as -f or -s.
func (c *Clone) Tag(name string, args ...string) {
	c.t.Helper()
	c.Git(append([]string{"tag", "-m", name, name}, args...)...)
	c.Push()
}

// Push pushes everything, with force.
func (c *Clone) Push() {
	c.t.Helper()
	c.Git("push", "-q", "--force", "--prune", "origin", "refs/heads/*:refs/heads/*", "refs/tags/*:refs/tags/*")
}

// Git runs git in the working copy.
func (c *Clone) Git(args ...string) string {
	c.t.Helper()
	return Git(c.t, c.Dir, args...)
}

// Git runs git in a folder, with nothing of the machine's own configuration.
func Git(t testing.TB, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(),
		"GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null", "GIT_TERMINAL_PROMPT=0",
		"GIT_AUTHOR_NAME=A Developer", "GIT_AUTHOR_EMAIL=dev@example.org", "GIT_COMMITTER_NAME=A Developer", "GIT_COMMITTER_EMAIL=dev@example.org")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, errs.String())
	}
	return out.String()
}

// PushImage puts an image into the registry under a tag, and returns its digest. Its one layer holds the files by name; entry is its entry point.
func (s *Server) PushImage(image string, files map[string][]byte, entry ...string) string {
	s.t.Helper()
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(programs(files))), nil })
	if err != nil {
		s.t.Fatal(err)
	}
	made, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		s.t.Fatal(err)
	}
	config, err := made.ConfigFile()
	if err != nil {
		s.t.Fatal(err)
	}
	config.Architecture, config.OS, config.Config.Entrypoint = runtime.GOARCH, "linux", entry
	if made, err = mutate.ConfigFile(made, config); err != nil {
		s.t.Fatal(err)
	}
	if err := crane.Push(made, image, crane.Insecure); err != nil {
		s.t.Fatal(err)
	}
	digest, err := made.Digest()
	if err != nil {
		s.t.Fatal(err)
	}
	return digest.String()
}

// programs is an archive of files that may be run, the same for the same files.
func programs(files map[string][]byte) []byte {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		_ = w.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(files[name])), Typeflag: tar.TypeReg}) // into memory
		_, _ = w.Write(files[name])
	}
	w.Close()
	return out.Bytes()
}
