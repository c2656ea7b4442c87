// Command image makes a container image of a static program, without Docker: one layer with one file, as small as it gets. The same
// sources make the same image, to the last byte.
//
//	go run ./install/image -tag gapless:dev -o gapless.tar               an archive as of docker save
//	go run ./install/image -push registry.example.com/gapless:1.0.0      straight to a registry
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

func main() {
	var o options
	flag.StringVar(&o.pkg, "package", "./cmd/gapless", "Go package of the program")
	flag.StringVar(&o.arch, "arch", runtime.GOARCH, "processor: amd64, arm64, ...")
	flag.StringVar(&o.ldflags, "ldflags", "", "more flags for the linker, such as '-X main.version=2.0.0'")
	flag.StringVar(&o.tag, "tag", "", "name of the image in the archive, such as gapless:dev")
	flag.StringVar(&o.out, "o", "", "archive to write, as of docker save")
	flag.StringVar(&o.push, "push", "", "reference to push to, such as registry.example.com/gapless:1.0.0; credentials as docker login keeps them")
	flag.Parse()
	digest, err := run(o)
	if err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
	fmt.Println(digest)
}

type options struct{ pkg, arch, ldflags, tag, out, push string }

// run makes the image and returns its digest.
func run(o options) (string, error) {
	if o.out == "" && o.push == "" {
		return "", fmt.Errorf("nowhere to put it: give -o FILE, or -push REFERENCE")
	}
	work, err := os.MkdirTemp("", "gapless-image-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(work)
	folder, err := filepath.Abs(o.pkg) // a dot has a name, too
	if err != nil {
		return "", err
	}
	program := filepath.Base(folder)
	file := filepath.Join(work, program)
	if err := build(o.pkg, "linux", o.arch, o.ldflags, file); err != nil {
		return "", err
	}
	bytes, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	image, err := ofProgram(bytes, program, o.arch)
	if err != nil {
		return "", err
	}
	if err := put(o, image); err != nil {
		return "", err
	}
	digest, err := image.Digest()
	return digest.String(), err
}

func put(o options, image v1.Image) error {
	if o.out != "" {
		tag, err := name.NewTag(o.tag)
		if err != nil {
			return fmt.Errorf("-tag: %w", err)
		}
		if err := tarball.WriteToFile(o.out, tag, image); err != nil {
			return fmt.Errorf("write %s: %w", o.out, err)
		}
	}
	if o.push == "" {
		return nil
	}
	ref, err := name.ParseReference(o.push)
	if err != nil {
		return fmt.Errorf("-push: %w", err)
	}
	if err := remote.Write(ref, image, remote.WithAuthFromKeychain(authn.DefaultKeychain)); err != nil {
		return fmt.Errorf("push %s: %w", ref, err)
	}
	return nil
}
