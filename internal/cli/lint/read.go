package lint

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gapless.dev/gapless/internal/cli/shell"
	"gapless.dev/gapless/internal/lint/manifest"
)

// Bounds of one run; a folder that exceeds them was not meant.
const (
	maxFiles = 10_000
	maxTotal = 256 << 20 // bytes
)

// stdinName is what findings call the standard input.
const stdinName = "stdin"

// read opens everything that was named. Something that is not there is an error; something that is no YAML is a problem of its own.
func read(ctx context.Context, sh *shell.Shell, o *Options, args []string) (input, error) {
	var in input
	total := 0
	add := func(name string, data []byte) error {
		if total += len(data); total > maxTotal || len(in.files) >= maxFiles {
			return fmt.Errorf("%s: more than %d files or %d MiB: name what is to be judged", name, maxFiles, maxTotal>>20)
		}
		f, problems := manifest.Parse(name, data)
		in.files, in.problems = append(in.files, f), append(in.problems, problems...)
		return nil
	}
	seen := map[string]bool{}
	for _, arg := range args {
		if arg == "-" {
			if in.stdin {
				return in, errors.New("standard input (-) is named twice")
			}
			in.stdin = true
			data, err := manifest.ReadAll(sh.In)
			if err != nil {
				return in, fmt.Errorf("read standard input: %w", err)
			}
			if err := add(stdinName, data); err != nil {
				return in, err
			}
			continue
		}
		if kind, name, ok := workload(arg); ok && !exists(arg) {
			text, err := live(ctx, sh, o, kind, name)
			if err != nil {
				return in, err
			}
			if err := add(arg, text); err != nil {
				return in, err
			}
			in.files[len(in.files)-1].Live = true
			continue
		}
		names, err := expand(sh, arg)
		if err != nil {
			return in, err
		}
		for _, name := range names {
			if clean := filepath.Clean(name); seen[clean] {
				continue
			} else {
				seen[clean] = true
			}
			data, err := readFile(name)
			if err != nil {
				return in, err
			}
			if err := add(name, data); err != nil {
				return in, err
			}
		}
	}
	if in.stdin && len(in.files) > 1 {
		in.stdin = false // then --fix writes files; what came in is judged with them
	}
	return in, nil
}

func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return manifest.ReadAll(f)
}

// expand names the files of a folder, or the file itself.
func expand(sh *shell.Shell, arg string) ([]string, error) {
	info, err := os.Stat(arg)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: no such file or folder; what stands in a cluster is named deploy/NAME, or comes by kubectl get ... -o yaml | gapless lint -", arg)
	}
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return []string{arg}, nil
	}
	var names []string
	err = filepath.WalkDir(arg, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != arg && strings.HasPrefix(d.Name(), "."):
			return filepath.SkipDir
		case d.IsDir() && d.Name() == "templates" && exists(filepath.Join(filepath.Dir(name), "Chart.yaml")):
			sh.Warn("%s holds templates of a Helm chart, which are judged once rendered: helm template %s | gapless lint -", name, filepath.Dir(name))
			return filepath.SkipDir
		case d.Name() == "kustomization.yaml" || d.Name() == "kustomization.yml":
			sh.Warn("%s: patches are judged as they stand here; to judge what comes out: kustomize build %s | gapless lint -", name, filepath.Dir(name))
		case d.Type().IsRegular() && slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(name)):
			names = append(names, name)
		}
		if len(names) > maxFiles {
			return fmt.Errorf("%s: more than %d files: name what is to be judged", arg, maxFiles)
		}
		return nil
	})
	return names, err
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}
