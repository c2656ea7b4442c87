//go:build linux

package cluster

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// WriteImage writes an image of one layer, as `docker save` would, with an empty /tmp. Of a static binary it is /NAME, which is the entry
// point; of a folder it is all that lies in it, and has none. An image may have several
// names, with commas between them. The same content and name make the same bytes.
func WriteImage(w io.Writer, name, path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	var layer bytes.Buffer
	files := tar.NewWriter(&layer)
	config := object{"Env": []string{"PATH=/"}}
	err = files.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: "tmp/", Mode: 0o1777})
	if info.IsDir() {
		config["Env"] = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/"}
		err = errors.Join(err, writeFolder(files, path), files.Close())
	} else {
		entry := filepath.Base(path)
		config["Entrypoint"] = []string{"/" + entry}
		program, readErr := os.ReadFile(path)
		err = errors.Join(err, readErr, writeFile(files, entry, 0o755, program), files.Close())
	}
	if err != nil {
		return err
	}
	return writeArchive(w, name, config, layer.Bytes())
}

type object = map[string]any

// writeArchive wraps a layer and its config up.
func writeArchive(w io.Writer, name string, config object, layer []byte) error {
	described, err := json.Marshal(object{
		"architecture": runtime.GOARCH, "os": "linux", "config": config,
		"rootfs": object{"type": "layers", "diff_ids": []string{fmt.Sprintf("sha256:%x", sha256.Sum256(layer))}},
	})
	if err != nil {
		return err
	}
	configName := fmt.Sprintf("%x.json", sha256.Sum256(described))
	manifest, err := json.Marshal([]object{{"Config": configName, "RepoTags": strings.Split(name, ","), "Layers": []string{"layer.tar"}}})
	if err != nil {
		return err
	}
	image := tar.NewWriter(w)
	return errors.Join(
		writeFile(image, "manifest.json", 0o644, manifest),
		writeFile(image, configName, 0o644, described),
		writeFile(image, "layer.tar", 0o644, layer),
		image.Close(),
	)
}

// writeFolder writes what lies in a folder: folders, files and links. Owners and times do not count.
func writeFolder(w *tar.Writer, folder string) error {
	return filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == folder {
			return err
		}
		name, err := filepath.Rel(folder, path)
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		switch mode := info.Mode(); {
		case mode.IsDir():
			return w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: int64(mode.Perm())})
		case mode&fs.ModeSymlink != 0:
			to, err := os.Readlink(path)
			if err != nil {
				return err
			}
			return w.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: to, Mode: 0o777})
		case mode.IsRegular():
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			return writeFile(w, name, int64(mode.Perm()), data)
		}
		return fmt.Errorf("%s is neither a file, a folder nor a link", path)
	})
}

func writeFile(w *tar.Writer, name string, mode int64, data []byte) error {
	if err := w.WriteHeader(&tar.Header{Name: name, Mode: mode, Size: int64(len(data))}); err != nil {
		return err
	}
	_, err := w.Write(data)
	return err
}

// LoadImage makes an image of a static binary, or of a folder, and gives it to every node. Pods name it as given, with
// imagePullPolicy IfNotPresent or Never. Loading a name again replaces it for containers started later.
func (c *Cluster) LoadImage(ctx context.Context, name, path string) error {
	for one := range strings.SplitSeq(name, ",") {
		if !strings.Contains(one, ":") {
			return fmt.Errorf("image %q: give it a tag, as in %s:1", one, one)
		}
	}
	archive, err := os.CreateTemp(c.folder, "image-*.tar")
	if err != nil {
		return err
	}
	defer os.Remove(archive.Name())
	defer archive.Close()
	if err := WriteImage(archive, name, path); err != nil {
		return fmt.Errorf("make image %s: %w", name, err)
	}
	return c.LoadArchive(ctx, archive.Name())
}

// LoadArchive gives every node the images of an archive, as written by `docker save` or in the OCI layout.
func (c *Cluster) LoadArchive(ctx context.Context, archive string) error {
	return c.onNodes(func(number int) error { return c.importImage(ctx, c.nodes[number-1], archive) })
}

func (c *Cluster) importImage(ctx context.Context, node *host, archive string) error {
	ctr, err := find("ctr")
	if err != nil {
		return stop(err)
	}
	out, err := exec.CommandContext(ctx, ctr, "-a", c.socket(node), "-n", "k8s.io", "images", "import", archive).CombinedOutput()
	if err != nil {
		return fmt.Errorf("import %s on %s: %w: %s", archive, node.Name, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// onNodes calls f for every node at once and joins what failed.
func (c *Cluster) onNodes(f func(number int) error) error {
	failures := make(chan error, len(c.nodes))
	for i := range c.nodes {
		go func() { failures <- f(i + 1) }()
	}
	var failed error
	for range c.nodes {
		failed = errors.Join(failed, <-failures)
	}
	return failed
}
