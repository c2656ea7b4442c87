package app

import (
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gapless.dev/gapless/internal/rollout"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestParse_ReadsEveryField(t *testing.T) {
	f, err := Parse("good.yaml", read(t, "testdata/good.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	f.Lines = nil
	out, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/good.golden", string(out)+"\n")
}

func TestParse_FillsInTheDefaults(t *testing.T) {
	f, err := Parse("least.yaml", read(t, "testdata/least.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	want := App{
		Name: "demo-api", Command: []string{"./api"}, Version: "1.0.0", Replicas: 1,
		Ports: []Port{{Name: "http", Public: 8080}},
		Health: Health{
			Ready:   Check{TCP: true, Port: "http", Period: time.Second, Timeout: time.Second, FailureThreshold: 3, SuccessThreshold: 1},
			Startup: time.Minute,
		},
		Stop: Stop{Drain: 5 * time.Second, Grace: 30 * time.Second},
		Plan: rollout.Plan{
			App: "demo-api", Strategy: rollout.Rolling, Split: rollout.ByWeight, MaxSurge: 1,
			Drain: 5 * time.Second, Deadline: 10 * time.Minute,
		},
	}
	if d := cmp.Diff([]App{want}, f.Apps); d != "" {
		t.Errorf("defaults (-want +got):\n%s", d)
	}
	if f.Bind != "127.0.0.1" {
		t.Errorf("bind is %q: nothing may be reachable from outside unless it is asked for", f.Bind)
	}
}

func TestParse_NamesEveryProblemOfABadFile(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no bad files", err)
	}
	for _, name := range files {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".yaml"), func(t *testing.T) {
			_, err := Parse("gapless.yaml", read(t, name))
			var problems *Problems
			if !errors.As(err, &problems) {
				t.Fatalf("got %v, want problems", err)
			}
			for _, p := range problems.List {
				if p.Line < 1 || p.What == "" || p.Fix == "" {
					t.Errorf("a problem without line, meaning or fix: %+v", p)
				}
			}
			golden(t, strings.TrimSuffix(name, ".yaml")+".golden", err.Error()+"\n")
		})
	}
}

func TestParse_RefusesAFileThatIsTooLarge(t *testing.T) {
	_, err := Parse("big.yaml", []byte("name: a\n#"+strings.Repeat("x", maxBytes)))
	if err == nil || !strings.Contains(err.Error(), "bytes") {
		t.Fatalf("got %v", err)
	}
}

func TestParse_ShowsAtMostFiftyProblems(t *testing.T) {
	_, err := Parse("many.yaml", []byte(strings.Repeat("x: 1\n", 200)))
	var problems *Problems
	if !errors.As(err, &problems) || len(problems.List) != maxShown+1 {
		t.Fatalf("got %v", err)
	}
}

func TestNearest_FindsSlipsOfAFingerAndNothingElse(t *testing.T) {
	for word, want := range map[string]string{
		"replcias": "replicas", "Replicas": "replicas", "port": "ports", "verison": "version", "helth": "health", "xyz": "", "": "", "strategie": "strategy",
	} {
		if got := nearest(word, appShape.names()); got != want {
			t.Errorf("nearest(%q) = %q, want %q", word, got, want)
		}
	}
}

func TestExpand_ReplacesVersionAndPorts(t *testing.T) {
	a := App{Ports: []Port{{Name: "http"}, {Name: "admin"}}}
	got := a.Expand("{version} {port} {port.http} {port.admin} {config} {other}", Setting{Version: "2.0.0", Ports: map[string]int{"http": 1, "admin": 2}, Config: "/etc/a"})
	if want := "2.0.0 1 1 2 /etc/a {other}"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"testdata/*.yaml", "testdata/bad/*.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, name := range files {
			data, err := os.ReadFile(name)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := Parse("fuzz.yaml", data)
		again, errAgain := Parse("fuzz.yaml", data)
		if text(err) != text(errAgain) {
			t.Fatalf("the same file, two answers:\n%v\n%v", err, errAgain)
		}
		if err != nil {
			var problems *Problems
			if !errors.As(err, &problems) || len(problems.List) == 0 || problems.List[0].Line < 1 {
				t.Fatalf("not problems: %#v", err)
			}
			return
		}
		if d := cmp.Diff(file, again); d != "" {
			t.Fatal(d)
		}
		for _, a := range file.Apps {
			sound(t, a)
		}
		if err := accepts(t, compiled(), data); err != nil {
			t.Fatalf("Parse takes it and the schema does not: %v", err)
		}
	})
}

// sound is what the rest of the house relies on.
func sound(t *testing.T, a App) {
	if !label.MatchString(a.Name) || len(a.Command) == 0 && a.Image.Name == "" || ValidVersion(string(a.Version)) != nil || a.Replicas < 0 || len(a.Ports) == 0 {
		t.Fatalf("a file was accepted that cannot be run: %+v", a)
	}
	if a.Plan.Strategy == "" || a.Plan.Split == "" || !a.Health.Ready.Set() || a.Health.Startup <= 0 || a.Stop.Grace <= 0 {
		t.Fatalf("a default is missing: %+v", a)
	}
	weight := 0
	for _, s := range a.Plan.Steps {
		if s.Weight < weight || s.Weight > 100 {
			t.Fatalf("steps: %+v", a.Plan.Steps)
		}
		weight = s.Weight
	}
	if a.Plan.Strategy == rollout.Rolling && a.Plan.MaxSurge+a.Plan.MaxUnavailable == 0 {
		t.Fatal("a rolling update that cannot move was accepted")
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if d := cmp.Diff(string(read(t, name)), got); d != "" {
		t.Errorf("%s (-want +got):\n%s", name, d)
	}
}

func TestParse_TakesABoundedTimeForAnyFile(t *testing.T) {
	for name, text := range map[string]string{
		"brackets": strings.Repeat("[", 100_000), "dashes": strings.Repeat("- ", 100_000), "braces": strings.Repeat("{a: ", 50_000),
		"fields": "name: a\nenv:\n" + strings.Repeat("  a-b: 1\n", 9000),
	} {
		// The test's own deadline is the assertion: a file that costs the square of its size would not end.
		if _, err := Parse(name, []byte(text)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
