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
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// WriteImage writes an image of one layer, as `docker save` would: the static binary at /NAME, which is its entry point,
// and an empty /tmp. The same binary and name make the same bytes.
func WriteImage(w io.Writer, name, binary string) error {
	program, err := os.ReadFile(binary)
	if err != nil {
		return err
	}
	entry := filepath.Base(binary)
	var layer bytes.Buffer
	files := tar.NewWriter(&layer)
	err = errors.Join(
		files.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: "tmp/", Mode: 0o1777}),
		writeFile(files, entry, 0o755, program),
		files.Close(),
	)
	if err != nil {
		return err
	}
	type object = map[string]any
	config, err := json.Marshal(object{
		"architecture": runtime.GOARCH, "os": "linux",
		"config": object{"Entrypoint": []string{"/" + entry}, "Env": []string{"PATH=/"}},
		"rootfs": object{"type": "layers", "diff_ids": []string{fmt.Sprintf("sha256:%x", sha256.Sum256(layer.Bytes()))}},
	})
	if err != nil {
		return err
	}
	configName := fmt.Sprintf("%x.json", sha256.Sum256(config))
	manifest, err := json.Marshal([]object{{"Config": configName, "RepoTags": []string{name}, "Layers": []string{"layer.tar"}}})
	if err != nil {
		return err
	}
	image := tar.NewWriter(w)
	return errors.Join(
		writeFile(image, "manifest.json", 0o644, manifest),
		writeFile(image, configName, 0o644, config),
		writeFile(image, "layer.tar", 0o644, layer.Bytes()),
		image.Close(),
	)
}

func writeFile(w *tar.Writer, name string, mode int64, data []byte) error {
	if err := w.WriteHeader(&tar.Header{Name: name, Mode: mode, Size: int64(len(data))}); err != nil {
		return err
	}
	_, err := w.Write(data)
	return err
}

// LoadImage makes an image of a static binary and gives it to every node. Pods name it as given, with
// imagePullPolicy IfNotPresent or Never. Loading a name again replaces it for containers started later.
func (c *Cluster) LoadImage(ctx context.Context, name, binary string) error {
	if !strings.Contains(name, ":") {
		return fmt.Errorf("image %q: give it a tag, as in %s:1", name, name)
	}
	archive, err := os.CreateTemp(c.folder, "image-*.tar")
	if err != nil {
		return err
	}
	defer os.Remove(archive.Name())
	defer archive.Close()
	if err := WriteImage(archive, name, binary); err != nil {
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
