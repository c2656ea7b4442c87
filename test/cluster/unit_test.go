//go:build linux

package cluster

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestConfig_IsRefusedWithTheFieldAndTheFix(t *testing.T) {
	for _, c := range []struct {
		config Config
		want   string
	}{
		{Config{Name: "Über"}, "lower-case"},
		{Config{Name: "a/../../b"}, "lower-case"},
		{Config{Nodes: 101}, "1 to 100"},
		{Config{Kubernetes: "v1.34"}, "such as " + DefaultKubernetes},
		{Config{Flags: map[string][]string{"kube-poxy": {"--v=1"}}}, "kube-proxy"},
	} {
		if _, err := c.config.withDefaults(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v; want it to say %q", c.config, err, c.want)
		}
	}
	got, err := Config{}.withDefaults()
	if err != nil || got.Name != DefaultName || got.Nodes != 2 || got.Kubernetes != DefaultKubernetes {
		t.Errorf("defaults are %+v, %v", got, err)
	}
}

func TestAddresses_OfNoTwoClustersOverlap(t *testing.T) {
	var ranges []netip.Prefix
	for index := range maxClusters {
		a := addresses{index}
		own := []string{a.services(), a.pods(), a.loadBalancers(), a.control() + "/24"}
		for _, text := range own {
			next := netip.MustParsePrefix(text).Masked()
			for _, other := range ranges {
				if next.Overlaps(other) {
					t.Fatalf("cluster %d: %s overlaps %s", index, next, other)
				}
			}
			ranges = append(ranges, next)
		}
		for _, inside := range []string{a.apiService(), a.dnsService()} {
			if !netip.MustParsePrefix(a.services()).Contains(netip.MustParseAddr(inside)) {
				t.Errorf("%s is not in %s", inside, a.services())
			}
		}
		if !netip.MustParsePrefix(a.pods()).Overlaps(netip.MustParsePrefix(a.podsOf(100))) {
			t.Errorf("%s is not in %s", a.podsOf(100), a.pods())
		}
	}
}

func TestWriteImage_IsReproducibleAndRunsTheBinary(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "hello")
	if err := os.WriteFile(binary, []byte("a program"), 0o700); err != nil {
		t.Fatal(err)
	}
	var first, second bytes.Buffer
	if err := errors.Join(WriteImage(&first, "hello:1", binary), WriteImage(&second, "hello:1", binary)); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Error("two images of one binary differ")
	}
	files := map[string]string{}
	for archive := tar.NewReader(&first); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		data, _ := io.ReadAll(archive)
		files[header.Name] = string(data)
		if strings.HasPrefix(string(data), `{"architecture"`) && !strings.Contains(string(data), `"Entrypoint":["/hello"]`) {
			t.Errorf("config: %s", data)
		}
	}
	if !strings.Contains(files["manifest.json"], `"RepoTags":["hello:1"]`) || !strings.Contains(files["layer.tar"], "a program") {
		t.Errorf("the archive has %v", files["manifest.json"])
	}
}

func TestWriteImage_OfAFolderHasItsFilesAndLinks(t *testing.T) {
	folder := t.TempDir()
	if err := errors.Join(
		os.MkdirAll(filepath.Join(folder, "usr/bin"), 0o755),
		os.WriteFile(filepath.Join(folder, "usr/bin/python3.11"), []byte("a program"), 0o755),
		os.Symlink("python3.11", filepath.Join(folder, "usr/bin/python3")),
	); err != nil {
		t.Fatal(err)
	}
	var image bytes.Buffer
	if err := WriteImage(&image, "python:1", folder); err != nil {
		t.Fatal(err)
	}
	var found []string
	for archive := tar.NewReader(&image); ; {
		header, err := archive.Next()
		if err != nil {
			break
		}
		if header.Name != "layer.tar" {
			continue
		}
		for layer := tar.NewReader(archive); ; {
			header, err := layer.Next()
			if err != nil {
				break
			}
			found = append(found, fmt.Sprintf("%s %o %s", header.Name, header.Mode, header.Linkname))
		}
	}
	want := []string{"tmp/ 1777 ", "usr/ 755 ", "usr/bin/ 755 ", "usr/bin/python3 777 python3.11", "usr/bin/python3.11 755 "}
	if !slices.Equal(found, want) {
		t.Errorf("the layer has %q", found)
	}
}

func TestV1Options_KeepWhatNamesTheHierarchy(t *testing.T) {
	for all, want := range map[string]string{
		"rw,memory":              "memory",
		"rw,cpu,cpuacct":         "cpu,cpuacct",
		"rw,xattr,name=systemd":  "none,name=systemd",
		"ro,cpuset,noprefix":     "cpuset",
		"rw,release_agent=/x,b":  "b",
		"rw,net_cls,net_prio,ro": "net_cls,net_prio",
	} {
		if got := v1Options(all); got != want {
			t.Errorf("v1Options(%q) = %q, want %q", all, got, want)
		}
	}
}

func TestSpread_GivesEachNodeTheSameChance(t *testing.T) {
	var lines []string
	spread(func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }, "10.96.0.0/16", []int{1, 3, 4})
	if len(lines) != 3 {
		t.Fatalf("%d rules for 3 nodes", len(lines))
	}
	for i, part := range []string{"0.333333 -j MARK --set-mark 1", "0.500000 -j MARK --set-mark 3", "1.000000 -j MARK --set-mark 4"} {
		if !strings.HasSuffix(lines[i], part) {
			t.Errorf("rule %d is %q, want it to end with %q", i+1, lines[i], part)
		}
	}
}

func TestStagingReplace_FindsEveryFolderModule(t *testing.T) {
	theirs := "require x v1\nreplace (\n\tk8s.io/api => ./staging/src/k8s.io/api\n\tk8s.io/cri-api => ./staging/src/k8s.io/cri-api\n\ta => b v1\n)\n"
	var found []string
	for _, match := range stagingReplace.FindAllStringSubmatch(theirs, -1) {
		found = append(found, match[1])
	}
	if strings.Join(found, " ") != "k8s.io/api k8s.io/cri-api" {
		t.Errorf("found %v", found)
	}
}

func TestPoll_EndsWithWhatWasMissing(t *testing.T) {
	missing := errors.New("no answer yet")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("the deadline"))
	if err := poll(ctx, func() error { return missing }); !errors.Is(err, missing) || !strings.Contains(err.Error(), "the deadline") {
		t.Errorf("after the deadline: %v", err)
	}
	hopeless, asked := errors.New("never"), 0
	if err := poll(t.Context(), func() error { asked++; return stop(hopeless) }); !errors.Is(err, hopeless) || asked != 1 {
		t.Errorf("after a final error: %v, asked %d times", err, asked)
	}
}

func TestHome_IsRefusedWhereAHostWouldNotSeeIt(t *testing.T) {
	if err := checkHome("/var/lib/x"); err == nil {
		t.Error("a home in a folder that hosts hide was taken")
	}
	if err := checkHome("/" + strings.Repeat("x", 60)); err == nil {
		t.Error("a home too long for sockets was taken")
	}
	if err := checkHome("/root/.cache/gapless/cluster"); err != nil {
		t.Error(err)
	}
}
