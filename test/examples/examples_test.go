// Package examples judges the services of examples/ by the contract: each as it is usually written, where the rules that it breaks are
// named, and once more with kit or wrapped, where it keeps all of them.
package examples

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gapless.dev/kit/kittest"
)

// An example is a folder of examples/.
type example struct {
	name string
	// command is the service as it is usually written, and fixed the same that keeps the contract. Both listen on {port}.
	command, fixed []string
	env            []string
	// breaks are the rules that command fails; those that cannot be judged because of them are not in it.
	breaks string
	// spec is what is declared of the fixed one, besides the budget.
	spec kittest.Spec
	// onePort: its health is served beside the service, at /ready and /healthz.
	onePort bool
}

func examples(t *testing.T) []example {
	python, node := program("/usr/bin/python3", "python3"), program("node")
	wrapped := func(command ...string) []string {
		return append([]string{built("gapless"), "wrap", "--listen", "127.0.0.1:{port}", "--"}, command...)
	}
	return []example{
		{
			name: "nethttp", command: []string{built("nethttp/bare")}, fixed: []string{built("nethttp")}, onePort: true,
			breaks: "Z1", spec: kittest.Spec{SlowPath: "/slow?ms={ms}"},
		},
		{
			name: "chi", command: []string{built("chi/bare")}, fixed: []string{built("chi")}, onePort: true,
			breaks: "Z1", spec: kittest.Spec{SlowPath: "/slow?ms={ms}"},
		},
		{
			name: "chat", command: []string{built("chat/bare")}, fixed: []string{built("chat")},
			breaks: "Z1", spec: kittest.Spec{SocketPath: "/chat"},
		},
		{
			name: "model", command: []string{built("model/bare")}, fixed: []string{built("model")}, env: []string{"LOAD_TIME=500ms"},
			breaks: "Z3", spec: kittest.Spec{Path: "/predict", SlowPath: "/predict?ms={ms}", SlowStart: []string{"LOAD_TIME=20s"}},
		},
		{
			name: "python", command: []string{python, "../../examples/python/server.py"}, fixed: wrapped(python, "../../examples/python/server.py"),
			breaks: "Z1", spec: kittest.Spec{SlowPath: "/slow?ms={ms}", HTTP2: true},
		},
		{
			name: "node", command: []string{node, "../../examples/node/server.js"}, fixed: wrapped(node, "../../examples/node/server.js"),
			breaks: "Z1", spec: kittest.Spec{SlowPath: "/slow?ms={ms}", EventPath: "/events", HTTP2: true},
		},
		{
			name: "nginx", command: nginx(), fixed: wrapped(nginx()...),
			breaks: "Z1", spec: kittest.Spec{HTTP2: true},
		},
		{
			name: "java", command: []string{program("java"), "-cp", classes(t), "Server"}, fixed: wrapped(program("java"), "-cp", classes(t), "Server"),
			breaks: "Z1", spec: kittest.Spec{SlowPath: "/slow?ms={ms}", HTTP2: true},
		},
	}
}

// budget is what tests give a service: a drain of 1.5 s, and time for slow requests.
func budget(s kittest.Spec) kittest.Spec {
	s.Grace, s.Drain, s.Edges, s.Startup = 9*time.Second, 1500*time.Millisecond, 3, 30*time.Second
	return s
}

func TestExamples_KeepTheContractWhenFixed(t *testing.T) {
	t.Parallel()
	for _, e := range examples(t) {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			kittest.Conform(t, e.target(t, e.fixed, e.onePort))
		})
	}
}

func TestExamples_BreakItAsTheyAreUsuallyWritten(t *testing.T) {
	t.Parallel()
	for _, e := range examples(t) {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			target := e.target(t, e.command, true)
			target.Declared.HTTP2 = false // wrap adds it
			if !e.onePort {
				target.Declared.ReadyPath, target.Declared.LivePath = "/healthz", "/healthz"
			}
			if e.name == "chat" || e.name == "model" {
				target.Declared.ReadyPath, target.Declared.LivePath = "/readyz", "/livez"
			}
			var broken []string
			for _, r := range kittest.Judge(t.Context(), target, kittest.Watch{}).Results {
				if r.Status == kittest.Fail && r.Must {
					broken = append(broken, r.ID)
					t.Logf("%s: %s", r.ID, r.Why)
				}
			}
			if got := strings.Join(broken, " "); got != e.breaks {
				t.Errorf("breaks %q, want %q", got, e.breaks)
			}
		})
	}
}

// target is a command as something that can be judged.
func (e example) target(t *testing.T, command []string, onePort bool) *kittest.Command {
	t.Helper()
	if slices.Contains(command, "") {
		t.Skipf("%s is not installed here", e.name)
	}
	spec := budget(e.spec)
	spec.Version = ""
	if onePort {
		spec.ReadyPath, spec.LivePath = "/ready", "/healthz"
	}
	return &kittest.Command{
		Path: command[0], Args: command[1:], Env: append([]string{"GAPLESS_VERSION=1.0.0", "GREETER=http://127.0.0.1:1"}, e.env...),
		SamePort: onePort, Declared: spec,
	}
}

// bin holds what built builds; once for all tests.
var bin = sync.OnceValue(func() string {
	dir, err := os.MkdirTemp("", "examples-")
	if err != nil {
		panic(err)
	}
	return dir
})

func TestMain(m *testing.M) {
	flag.Parse()
	_ = flag.Set("test.parallel", "4") // whatever the number of CPUs: most of the time they wait
	code := m.Run()
	os.RemoveAll(bin())
	os.Exit(code)
}

var building sync.Mutex

// built is the program of an example, or gapless.
func built(name string) string {
	building.Lock()
	defer building.Unlock()
	file := filepath.Join(bin(), strings.ReplaceAll(name, "/", "-"))
	if _, err := os.Stat(file); err == nil {
		return file
	}
	pkg := "./examples/" + name
	if name == "gapless" {
		pkg = "./cmd/gapless"
	}
	build := exec.Command("go", "build", "-o", file, pkg)
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		panic(string(out))
	}
	return file
}

// program is the first of them that is installed, or empty.
func program(names ...string) string {
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}
