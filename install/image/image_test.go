package main

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

const hello = "./testdata/hello"

func made(t *testing.T, o options) string {
	t.Helper()
	if o.arch == "" {
		o.arch = "amd64"
	}
	digest, err := run(o)
	if err != nil {
		t.Fatal(err)
	}
	return digest
}

func TestImage_IsTheSameWhenItIsMadeAgain(t *testing.T) {
	first, second := filepath.Join(t.TempDir(), "a.tar"), filepath.Join(t.TempDir(), "b.tar")
	a := made(t, options{pkg: hello, tag: "hello:1", out: first})
	b := made(t, options{pkg: hello, tag: "hello:1", out: second})
	if a != b || read(t, first) != read(t, second) {
		t.Errorf("%s and %s", a, b)
	}
	if c := made(t, options{pkg: hello, tag: "hello:1", out: second, ldflags: "-X main.version=2"}); c == a {
		t.Error("another program has the same digest")
	}
}

// The whole of gapless, from two folders. It compiles everything without cgo, which takes minutes the first time.
func TestImage_OfGaplessIsTheSameFromAnotherFolder(t *testing.T) {
	if os.Getenv("GAPLESS_E2E") == "" {
		t.Skip("with GAPLESS_E2E set")
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := t.TempDir()
	files := exec.Command("git", "ls-files", "--cached", "--others", "--exclude-standard")
	files.Dir = root
	list, err := files.Output()
	if err != nil {
		t.Fatal(err)
	}
	for name := range strings.Lines(string(list)) {
		name = strings.TrimSpace(name)
		text, err := os.ReadFile(filepath.Join(root, name))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err == nil {
			err = os.MkdirAll(filepath.Dir(filepath.Join(elsewhere, name)), 0o755)
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(elsewhere, name), text, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	out := filepath.Join(t.TempDir(), "gapless.tar")
	t.Chdir(root)
	here := made(t, options{pkg: "./cmd/gapless", tag: "gapless:e2e", out: out})
	t.Chdir(elsewhere)
	there := made(t, options{pkg: "./cmd/gapless", tag: "gapless:e2e", out: out})
	if here != there {
		t.Errorf("%s here, %s in another folder", here, there)
	}
	t.Log(here)
}

func TestImage_HoldsOneFileForAUserThatIsNotRoot(t *testing.T) {
	out := filepath.Join(t.TempDir(), "hello.tar")
	made(t, options{pkg: hello, tag: "hello:1", out: out, arch: "arm64"})
	image, err := tarball.ImageFromPath(out, nil)
	if err != nil {
		t.Fatal(err)
	}
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if c := config.Config; c.User != "65532:65532" || len(c.Entrypoint) != 1 || c.Entrypoint[0] != "/hello" || config.Architecture != "arm64" {
		t.Errorf("%+v", config)
	}
	if names := namesIn(t, image); len(names) != 1 || names[0] != "hello 755" {
		t.Errorf("files %v", names)
	}
}

func TestImage_IsPushedToARegistry(t *testing.T) {
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	at := strings.TrimPrefix(server.URL, "http://") + "/shop/hello:1"
	digest := made(t, options{pkg: hello, push: at})
	ref, err := name.ParseReference(at)
	if err != nil {
		t.Fatal(err)
	}
	got, err := remote.Head(ref)
	if err != nil || got.Digest.String() != digest {
		t.Errorf("%v, %v; made %s", got, err, digest)
	}
}

func TestImage_SaysWhatIsMissing(t *testing.T) {
	for _, tt := range []struct {
		o    options
		says string
	}{
		{options{pkg: hello}, "-o FILE, or -push"},
		{options{pkg: hello, out: filepath.Join(t.TempDir(), "a.tar")}, "-tag"},
		{options{pkg: "./testdata/nothing", tag: "a:1", out: "a.tar"}, "build ./testdata/nothing"},
		{options{pkg: hello, push: "Not A Name"}, "-push"},
	} {
		tt.o.arch = "amd64"
		if _, err := run(tt.o); err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%+v: %v", tt.o, err)
		}
	}
}

func namesIn(t *testing.T, image v1.Image) []string {
	t.Helper()
	layers, err := image.Layers()
	if err != nil || len(layers) != 1 {
		t.Fatalf("%d layers, %v", len(layers), err)
	}
	r, err := layers[0].Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var names []string
	for files := tar.NewReader(r); ; {
		h, err := files.Next()
		if errors.Is(err, io.EOF) {
			return names
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, fmt.Sprintf("%s %o", h.Name, h.Mode))
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
