//go:build linux

package cluster

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"
)

// binaries finds the programs of one cluster by name.
type binaries map[string]string

func (b binaries) path(name string) string { return b[name] }

// foreign is a module of its own that says how to build programs of others.
type foreign struct {
	folder   string   // its go.mod
	name     string   // and version: the folder in the cache
	packages []string // one program each
	ldflags  string
}

// Build builds what a cluster of a Kubernetes version needs, as far as it is not in the cache: one program after another,
// as the compiler uses all processors already. say is told each one.
func Build(ctx context.Context, kubernetes string, say func(string, ...any)) error {
	_, err := build(ctx, kubernetes, say)
	return err
}

// extras are programs of others that some tests run on the control host or in pods; a cluster does not need them.
var extras = map[string]extra{
	"traefik": {"traefik", "github.com/traefik/traefik/v3/cmd/traefik"},
	"kwok":    {"kwok", "sigs.k8s.io/kwok/cmd/kwok"},
	"istiod":  {"istio", "istio.io/istio/pilot/cmd/pilot-discovery"},
	"xds":     {"istio", "gapless.dev/gapless/test/cluster/binaries/istio/xds"},
}

// An extra is a program and the folder of its module.
type extra struct{ folder, pkg string }

// BuildExtra builds one of the extras, if it is not in the cache, and returns its path.
func BuildExtra(ctx context.Context, program string, say func(string, ...any)) (string, error) {
	e, ok := extras[program]
	if !ok {
		return "", fmt.Errorf("program %q: use one of %v", program, slices.Sorted(maps.Keys(extras)))
	}
	home, source, err := buildFolders()
	if err != nil {
		return "", err
	}
	module := foreign{folder: filepath.Join(source, "binaries", e.folder), name: program}
	return module.build(ctx, home, e.pkg, program, say)
}

func buildFolders() (home, source string, err error) {
	if home, err = Home(); err != nil {
		return "", "", err
	}
	source, err = sourceFolder()
	return home, source, err
}

func build(ctx context.Context, kubernetes string, say func(string, ...any)) (binaries, error) {
	home, source, err := buildFolders()
	if err != nil {
		return nil, err
	}
	kube, err := kubernetesModule(ctx, home, source, kubernetes)
	if err != nil {
		return nil, err
	}
	modules := []foreign{
		{folder: source, name: "own", packages: []string{"gapless.dev/gapless/test/cluster/pause"}},
		{folder: filepath.Join(source, "binaries", "etcd"), name: "etcd", packages: []string{"go.etcd.io/etcd/server/v3"}},
		{folder: filepath.Join(source, "binaries", "coredns"), name: "coredns", packages: []string{"gapless.dev/gapless/test/cluster/binaries/coredns"}},
		kube,
	}
	found := binaries{}
	for _, module := range modules {
		for _, pkg := range module.packages {
			name := programName(pkg)
			if found[name], err = module.build(ctx, home, pkg, name, say); err != nil {
				return nil, err
			}
		}
	}
	return found, nil
}

func programName(pkg string) string {
	if pkg == "go.etcd.io/etcd/server/v3" {
		return "etcd"
	}
	return filepath.Base(pkg)
}

// build makes one program at HOME/bin/NAME-HASH/PROGRAM. The hash is of what decides about its bytes.
func (m foreign) build(ctx context.Context, home, pkg, name string, say func(string, ...any)) (string, error) {
	sum, err := m.fingerprint(name)
	if err != nil {
		return "", err
	}
	folder := filepath.Join(home, "bin", m.name+"-"+sum)
	path := filepath.Join(folder, name)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	unlock, err := lock(filepath.Join(home, "build.lock")) // two builds at once would each take twice as long
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, err := os.Stat(path); err == nil { // the other one has built it
		return path, nil
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return "", err
	}
	say("building %s (%s)", name, m.name)
	begin := time.Now()
	unfinished := filepath.Join(folder, "."+name)
	processor, err := goTool(ctx, m.folder, "build", "-trimpath", "-ldflags", "-s -w "+m.ldflags, "-o", unfinished, pkg)
	if err != nil {
		return "", fmt.Errorf("build %s: %w", name, err)
	}
	say("built %s in %s, %s of processor time", name, time.Since(begin).Round(time.Second), processor.Round(time.Second))
	return path, os.Rename(unfinished, path)
}

func (m foreign) fingerprint(program string) (string, error) {
	pattern := filepath.Join(m.folder, "go.*")
	if m.name == "own" {
		pattern = filepath.Join(m.folder, program, "main.go")
	}
	inputs, err := filepath.Glob(pattern)
	if err != nil {
		return "", err
	}
	mains, err := filepath.Glob(filepath.Join(m.folder, "main.go"))
	if err != nil {
		return "", err
	}
	if m.name != "own" {
		own, err := filepath.Glob(filepath.Join(m.folder, program, "main.go"))
		if err != nil {
			return "", err
		}
		mains = append(mains, own...)
	}
	sum := sha256.New()
	fmt.Fprintln(sum, runtime.Version(), runtime.GOARCH, m.ldflags)
	for _, input := range append(inputs, mains...) {
		data, err := os.ReadFile(input)
		if err != nil {
			return "", err
		}
		fmt.Fprintln(sum, filepath.Base(input), len(data))
		sum.Write(data)
	}
	return hex.EncodeToString(sum.Sum(nil)[:4]), nil
}

// goTool runs the go command in a foreign module: outside any workspace, without cgo, so that programs are static.
// It tells the processor time of the compilers, too.
func goTool(ctx context.Context, folder string, args ...string) (processor time.Duration, err error) {
	command := exec.CommandContext(ctx, "go", args...)
	command.Dir = folder
	command.Env = append(os.Environ(), "GOWORK=off", "CGO_ENABLED=0")
	out, err := command.CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("go %s: %w\n%s", args[0], err, out)
	}
	return command.ProcessState.UserTime() + command.ProcessState.SystemTime(), nil
}

var kubernetesPrograms = []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl"}

// kubernetesModule is the committed module for its version, and for others one generated after its example.
func kubernetesModule(ctx context.Context, home, source, version string) (foreign, error) {
	m := foreign{folder: filepath.Join(source, "binaries", "kubernetes"), name: "kubernetes-" + version}
	parts := strings.Split(version, ".")
	stamp := "-X k8s.io/component-base/version."
	m.ldflags = stamp + "gitVersion=v" + version + " " + stamp + "gitMajor=" + parts[0] + " " + stamp + "gitMinor=" + parts[1] +
		" " + stamp + "gitTreeState=clean"
	for _, program := range kubernetesPrograms {
		m.packages = append(m.packages, "k8s.io/kubernetes/cmd/"+program)
	}
	if version == DefaultKubernetes {
		return m, nil
	}
	m.folder = filepath.Join(home, "src", m.name)
	if _, err := os.Stat(filepath.Join(m.folder, "go.sum")); err == nil {
		return m, nil
	}
	unlock, err := lock(filepath.Join(home, "src", "lock"))
	if err != nil {
		return m, err
	}
	defer unlock()
	text, err := generateModule(ctx, version)
	if err != nil {
		return m, fmt.Errorf("module of Kubernetes %s: %w", version, err)
	}
	if err := os.MkdirAll(m.folder, 0o755); err != nil {
		return m, err
	}
	if err := os.WriteFile(filepath.Join(m.folder, "go.mod"), text, 0o644); err != nil {
		return m, err
	}
	_, err = goTool(ctx, m.folder, "mod", "tidy")
	return m, err
}

var stagingReplace = regexp.MustCompile(`(?m)^\s*(k8s\.io/[a-z0-9-]+) => \./staging/`)

// generateModule replaces each module that Kubernetes' own go.mod replaces by one of its folders by that module's release.
func generateModule(ctx context.Context, version string) ([]byte, error) {
	download := exec.CommandContext(ctx, "go", "mod", "download", "-json", "k8s.io/kubernetes@v"+version)
	download.Env = append(os.Environ(), "GOWORK=off")
	download.Dir = os.TempDir()
	out, err := download.Output()
	var module struct{ GoMod, Error string }
	if jsonErr := json.Unmarshal(out, &module); jsonErr != nil {
		return nil, errors.Join(err, jsonErr)
	}
	if module.Error != "" {
		return nil, errors.New(module.Error)
	}
	theirs, err := os.ReadFile(module.GoMod)
	if err != nil {
		return nil, err
	}
	staged := "v0" + strings.TrimPrefix(version, "1")
	var text strings.Builder
	fmt.Fprintf(&text, "module kubernetes\n\ngo 1.26.0\n\nrequire k8s.io/kubernetes v%s\n\ntool (\n", version)
	for _, program := range kubernetesPrograms {
		fmt.Fprintf(&text, "\tk8s.io/kubernetes/cmd/%s\n", program)
	}
	text.WriteString(")\n\nreplace (\n")
	for _, match := range stagingReplace.FindAllSubmatch(theirs, -1) {
		fmt.Fprintf(&text, "\t%[1]s => %[1]s %s\n", match[1], staged)
	}
	text.WriteString(")\n")
	return []byte(text.String()), nil
}

// sourceFolder is the folder of this file, where the foreign modules are.
func sourceFolder() (string, error) {
	_, file, _, _ := runtime.Caller(0)
	folder := filepath.Dir(file)
	if _, err := os.Stat(filepath.Join(folder, "binaries")); err != nil {
		return "", fmt.Errorf("run this tool from a checkout and without -trimpath: %w", err)
	}
	return folder, nil
}
