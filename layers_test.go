package gapless_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "gapless.dev/gapless/"

// A layer says which rooms of the house a room may use. A room is a folder and all below it, and may always use itself.
type layer struct {
	room string
	uses []string
	why  string
}

// Arrows point down only. The most specific room wins.
var layers = []layer{
	{"cmd", []string{"internal/cli"}, "main hands over to the commands and does nothing else"},
	{"internal/cli", []string{
		"internal/app", "internal/check", "internal/controller", "internal/follow", "internal/group", "internal/lint", "internal/local", "internal/probe", "internal/proxy",
		"internal/report", "internal/rollout", "examples/api-status/apistatus",
	}, "the commands are where things are wired together; the demo runs the example service"},
	{"internal/cli/exit", nil, "an exit code is a plain value"},
	{"internal/cli/shell", []string{"internal/cli", "internal/kube", "internal/report"}, "every command stands on it, and it finds the target"},
	{"internal/cli/probe", []string{"install", "internal/cli", "internal/kube", "internal/probe", "internal/report"}, "a probe from inside a cluster runs in the controller's image"},
	{"internal/cli/target", []string{
		"internal/app", "internal/cli", "internal/follow", "internal/kube", "internal/local", "internal/report", "internal/rollout",
	}, "the verbs' one port, with this machine and a cluster behind it"},
	{"internal/cli/install", []string{"install", "internal/cli", "internal/kube"}, "prints what install holds, and asks what the cluster serves"},
	{"internal/cli/uninstall", []string{"api", "install", "internal/cli", "internal/kube"}, "gives all Deployments back before it takes ours away"},
	{"internal/cli/deploy", []string{"internal/app", "internal/cli", "internal/group", "internal/kube", "internal/report", "internal/rollout"}, "applies an app file, and has several apps rolled in order"},
	{"internal/cli/adopt", []string{"api", "internal/cli", "internal/kube", "internal/lint", "internal/report", "internal/rollout"}, "shows what a Rollout would do, and makes it"},
	{"internal/cli/initialize", []string{"internal/app", "internal/cli", "internal/kube", "internal/rollout"}, "drafts an app of what stands, in files or in a cluster"},
	{"internal/cli/eject", []string{"api", "internal/cli", "internal/kube", "internal/rollout"}, "works when the controller is gone"},
	{"internal/cli/controller", []string{"internal/cli", "internal/kube"}, "runs the platform Kubernetes"},
	{"internal/cli/check", []string{"internal/check", "internal/cli", "internal/kube", "internal/lint"}, "a service as a program here, or as pods of a cluster"},
	{"internal/cli/lint", []string{"internal/cli", "internal/kube", "internal/lint"}, "manifests come from files or from a cluster; the rules know neither"},
	{"internal/cli/wrap", []string{"internal/cli/exit", "internal/wrap"}, "flags, and nothing that a wrapped service does not need"},
	{"api", nil, "the shape of a resource is plain data"},
	{"install", []string{"api"}, "manifests are text; the reference page is printed from them"},
	{"internal/kube", []string{"api", "internal/controller", "internal/follow", "internal/gate", "internal/metrics", "internal/notify", "internal/report", "internal/rollout", "internal/traffic"}, "a platform carries decisions out; it decides nothing"},
	{"internal/traffic", []string{"internal/rollout"}, "a router knows routes and one data plane"},
	{"internal/controller", []string{"internal/rollout", "internal/report"}, "the loop knows the engine and what to say; platforms come to it through its port"},
	{"internal/local", []string{
		"internal/app", "internal/controller", "internal/gate", "internal/notify", "internal/proxy", "internal/report", "internal/rollout",
	}, "a platform carries decisions out; it decides nothing"},
	{"internal/proxy", []string{"internal/app", "internal/rollout"}, "the proxy knows weights and routes, not processes or phases"},
	{"internal/wrap", []string{"internal/proxy"}, "the server side is kit's, the way to the command the proxy's; of rollouts it knows nothing"},
	{"internal/probe", []string{"internal/report"}, "the prober measures from outside: it must not know what it measures"},
	{"internal/report", []string{"internal/junit", "internal/rollout"}, "evidence is a value and its outputs"},
	{"internal/check", []string{"internal/junit", "internal/lint", "internal/report"}, "the rules are kittest's; here they get targets, and outputs that look like all others"},
	{"internal/junit", nil, "a form that others fill in"},
	{"internal/app", []string{"internal/follow/choose", "internal/gate/spec", "internal/rollout"}, "the app file ends in a plan"},
	{"internal/gate", []string{"internal/rollout"}, "a gate knows questions and where it looks for answers"},
	{"internal/gate/spec", []string{"internal/rollout"}, "what a user writes is plain data"},
	{"internal/gate/webhook", []string{"internal/gate", "internal/post", "internal/rollout"}, "a gate that asks by POST"},
	{"internal/notify", []string{"internal/gate/spec", "internal/post", "internal/rollout"}, "a message tells of decisions, and is sent by POST"},
	{"internal/post", nil, "a bounded client knows nothing of what it sends"},
	{"internal/metrics", []string{"internal/rollout"}, "numbers tell of decisions"},
	{"internal/gate/compare", nil, "the comparison is arithmetic over what was counted"},
	{"internal/follow", nil, "what a repository and a registry say; where it is deployed comes to it through its port"},
	{"internal/group", nil, "the order of several apps is a value; who rolls them is the command"},
	{"internal/lint", []string{"internal/junit"}, "the K rules judge files that are handed to them, and nothing else"},
	{"internal/rollout", nil, "the engine knows nothing but itself"},
	{"examples", nil, "an example uses what a stranger could use: kit"},
	{"bench", []string{"*"}, "benchmarks measure anything"},
	{"test", []string{"*"}, "stories use the whole house"},
	{"docs", []string{"*"}, "pictures are made of the whole house"},
}

// pure rooms: the same input gives the same output, whatever the machine, the hour or the other goroutines.
var pure = []string{"internal/rollout", "internal/app", "internal/report", "internal/lint", "internal/gate/compare", "internal/gate/spec", "internal/follow/choose", "internal/group"}

// waiting rooms wait for events; a sleep there would be a guess.
var waiting = []string{"internal/controller", "internal/local", "internal/kube", "internal/traffic"}

var impureImports = map[string]string{
	"log":       "a pure room says things by what it returns",
	"log/slog":  "a pure room says things by what it returns",
	"math/rand": "the same input must give the same decision", "math/rand/v2": "the same input must give the same decision",
	"net": "no client in a pure room", "net/http": "no client in a pure room",
	"os": "what is outside comes in as a value", "os/exec": "what is outside comes in as a value",
	"sync": "no goroutine in a pure room", "context": "nothing in a pure room can wait",
}

type pkg struct {
	ImportPath string
	Dir        string
	Imports    []string
	GoFiles    []string
}

func TestLayers_ArrowsPointDown(t *testing.T) {
	for _, p := range packages(t) {
		room, inside := strings.CutPrefix(p.ImportPath, module)
		if !inside {
			continue
		}
		l, known := layerOf(room)
		if !known {
			t.Errorf("%s is in no layer: add it to the table in layers_test.go with a reason", room)
			continue
		}
		for _, imp := range p.Imports {
			used, ours := strings.CutPrefix(imp, module)
			if !ours || within(used, l.room) || slices.Contains(l.uses, "*") || slices.ContainsFunc(l.uses, func(r string) bool { return within(used, r) }) {
				continue
			}
			t.Errorf("%s imports %s: not allowed, because %s", room, used, l.why)
		}
	}
}

func TestLayers_KitRequiresNothing(t *testing.T) {
	out := goCommand(t, "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", "./kit/...")
	for dep := range strings.FieldsSeq(out) {
		if !within(dep, "gapless.dev/kit") {
			t.Errorf("kit depends on %s: a service that wants to stop well must not have to take anything else with it", dep)
		}
	}
}

func TestPure_RoomsHoldNoClockClientLoggerOrGoroutine(t *testing.T) {
	forbidden := map[string]string{"time.Now": "", "time.Since": "", "time.Until": "", "time.Sleep": "", "time.After": "", "time.NewTimer": "", "time.NewTicker": "", "time.Tick": "", "time.AfterFunc": ""}
	for _, room := range pure {
		walk(t, room, func(name string, fset *token.FileSet, file *ast.File) {
			for _, imp := range file.Imports {
				if why, bad := impureImports[strings.Trim(imp.Path.Value, `"`)]; bad {
					t.Errorf("%s imports %s: %s", name, imp.Path.Value, why)
				}
			}
			ast.Inspect(file, func(n ast.Node) bool {
				if g, ok := n.(*ast.GoStmt); ok {
					t.Errorf("%s: a goroutine in a pure room", fset.Position(g.Pos()))
				}
				if call, ok := n.(*ast.SelectorExpr); ok {
					if _, bad := forbidden[selector(call)]; bad {
						t.Errorf("%s: %s in a pure room: the time comes in with the input", fset.Position(call.Pos()), selector(call))
					}
				}
				return true
			})
		})
	}
}

func TestNoSleep_RoomsThatWaitWaitForEvents(t *testing.T) {
	forbidden := []string{"time.Sleep", "time.After", "time.Tick", "time.NewTicker"}
	for _, room := range waiting {
		walk(t, room, func(name string, fset *token.FileSet, file *ast.File) {
			ast.Inspect(file, func(n ast.Node) bool {
				if call, ok := n.(*ast.SelectorExpr); ok && slices.Contains(forbidden, selector(call)) {
					t.Errorf("%s: %s: wait for the event, or for the one moment that a decision named", fset.Position(call.Pos()), selector(call))
				}
				return true
			})
		})
	}
}

func layerOf(room string) (layer, bool) {
	best, found := layer{}, false
	for _, l := range layers {
		if within(room, l.room) && len(l.room) > len(best.room) {
			best, found = l, true
		}
	}
	return best, found
}

func within(path, room string) bool { return path == room || strings.HasPrefix(path, room+"/") }

func selector(s *ast.SelectorExpr) string {
	if x, ok := s.X.(*ast.Ident); ok {
		return x.Name + "." + s.Sel.Name
	}
	return ""
}

// walk parses each Go file of a room that goes into the product: no tests and no test worlds.
func walk(t *testing.T, room string, visit func(string, *token.FileSet, *ast.File)) {
	t.Helper()
	err := filepath.WalkDir(room, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && strings.HasSuffix(name, "test") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, name, nil, 0)
		if err != nil {
			return err
		}
		visit(name, fset, file)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func packages(t *testing.T) []pkg {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(goCommand(t, "list", "-json=ImportPath,Dir,Imports,GoFiles", "./...")))
	var all []pkg
	for {
		var p pkg
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

func goCommand(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command("go", args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return string(out)
}
