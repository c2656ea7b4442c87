package local

import (
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"gapless.dev/gapless/internal/app"
	"gapless.dev/gapless/internal/report"
	"gapless.dev/gapless/internal/rollout"
	"gapless.dev/kit"
)

// A template is what a version was started from. It is kept by version, so that an undo brings back the very thing.
type template struct {
	Command []string          `json:"command"`
	Dir     string            `json:"dir,omitempty"`
	Env     map[string]string `json:"env,omitempty"`
	Helpers []app.Helper      `json:"helpers,omitempty"`
	Config  []app.ConfigFile  `json:"config,omitempty"`
	// Source is where the version comes from, if that was said.
	Source *report.Source `json:"source,omitempty"`
}

func templateOf(a app.App) template {
	return template{Command: a.Command, Dir: a.Dir, Env: a.Env, Helpers: a.Helpers, Config: a.Config}
}

func (t template) equal(o template) bool {
	return slices.Equal(t.Command, o.Command) && t.Dir == o.Dir && maps.Equal(t.Env, o.Env) && slices.Equal(t.Config, o.Config) &&
		(len(t.Helpers) == 0 && len(o.Helpers) == 0 || reflect.DeepEqual(t.Helpers, o.Helpers))
}

// What we add to the environment of a process.
const (
	markState    = "GAPLESS_STATE" // whose process it is, see strays
	markInstance = "GAPLESS_INSTANCE"
	envVersion   = "GAPLESS_VERSION"
	envGrace     = "GAPLESS_GRACE"
	envDrain     = "GAPLESS_DRAIN"
)

// command fills a template's words and variables in for this instance.
func (i *instance) command(argv []string, env map[string]string, log string) command {
	a, have, config := i.svc.app, i.portsNow(), i.svc.configDir(i.plate)
	expand := func(word string) string {
		return a.Expand(word, app.Setting{Version: i.version, Ports: have, Config: config})
	}
	vars := map[string]string{
		markState: i.svc.mark, markInstance: i.id, envVersion: string(i.version), "GAPLESS_APP": a.Name,
		// The proxy has taken the process out, and its last answer has left, before it gets SIGTERM: there is nothing to drain for.
		envDrain: "0s",
	}
	if config != "" {
		vars[envConfig] = config
	}
	if noRoom(a.Stop.Grace) == nil {
		vars[envGrace] = a.Stop.Grace.String()
	}
	for n, p := range a.Ports {
		number := strconv.Itoa(have[p.Name])
		if n == 0 {
			vars["PORT"] = number
		}
		vars["PORT_"+strings.ToUpper(strings.ReplaceAll(p.Name, "-", "_"))] = number
	}
	for _, more := range []map[string]string{i.plate.Env, env} {
		for name, value := range more {
			vars[name] = expand(value)
		}
	}
	all := slices.DeleteFunc(os.Environ(), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		_, ours := vars[name]
		return ours || strings.HasPrefix(name, "GAPLESS_")
	})
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		all = append(all, name+"="+vars[name])
	}
	c := command{dir: expand(i.svc.workDir(i.plate)), env: all, log: log}
	for _, word := range argv {
		c.argv = append(c.argv, expand(word))
	}
	if len(c.argv) > 0 {
		c.argv[0] = inDir(c.argv[0], c.dir)
	}
	return c
}

// noRoom tells why a service with kit cannot divide a stop budget; it would refuse to start, and so is not told of it.
func noRoom(grace time.Duration) error {
	b := kit.DefaultBudget()
	b.Grace, b.Drain = grace, 0
	_, err := b.Split()
	return err
}

func (i *instance) portsNow() map[string]int {
	i.svc.mu.Lock()
	defer i.svc.mu.Unlock()
	return maps.Clone(i.ports)
}

// workDir is where a template's commands run: its dir, seen from the app file's folder.
func (s *service) workDir(t template) string {
	if filepath.IsAbs(t.Dir) {
		return t.Dir
	}
	return filepath.Join(s.home, t.Dir)
}

// inDir makes a relative command one of dir, as a shell there would. A bare name is looked up in PATH.
func inDir(word, dir string) string {
	if strings.ContainsRune(word, filepath.Separator) && !filepath.IsAbs(word) {
		return filepath.Join(dir, word)
	}
	return word
}

// missing tells what of a template cannot be started, in words with the fix; "" when all is there.
func (s *service) missing(t template, v rollout.Version) string {
	expand := func(word string) string { return s.app.Expand(word, app.Setting{Version: v}) }
	dir := expand(s.workDir(t))
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return "apps." + s.app.Name + ".dir: there is no folder " + dir + ": make it, or name another"
	}
	check := func(field string, argv []string) string {
		if len(argv) == 0 {
			return ""
		}
		word := inDir(expand(argv[0]), dir)
		_, err := exec.LookPath(word)
		switch {
		case err == nil || errors.Is(err, exec.ErrDot):
			return ""
		case errors.Is(err, os.ErrPermission):
			return field + ": " + word + " of version " + string(v) + " may not be executed: chmod +x it"
		}
		return field + ": there is no command " + word + " for version " + string(v) + ": build it, or correct the path"
	}
	if bad := check("apps."+s.app.Name+".command", t.Command); bad != "" {
		return bad
	}
	for _, h := range t.Helpers {
		if bad := check("apps."+s.app.Name+".helpers."+h.Name+".command", h.Command); bad != "" {
			return bad
		}
	}
	return ""
}
