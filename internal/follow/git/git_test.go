package git

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gapless.dev/gapless/internal/follow/choose"
	"gapless.dev/gapless/internal/follow/followtest"
)

func names(tags []Tag) []string {
	var all []string
	for _, t := range tags {
		all = append(all, t.Name)
	}
	slices.Sort(all)
	return all
}

func find(t *testing.T, tags []Tag, name string) Tag {
	t.Helper()
	i := slices.IndexFunc(tags, func(one Tag) bool { return one.Name == name })
	if i < 0 {
		t.Fatalf("no tag %s among %v", name, names(tags))
	}
	return tags[i]
}

func TestTags_OfAServer(t *testing.T) {
	s := followtest.Serve(t, "127.0.0.1:0")
	c := s.Repository("api")
	r := Repository{URL: s.URL("api"), Insecure: true}
	if tags, err := r.Tags(t.Context()); err != nil || len(tags) > 0 {
		t.Errorf("empty: %v %v", tags, err)
	}
	first := c.Commit("a", "1")
	c.Tag("v1.0.0") // an object of its own
	second := c.Commit("a", "2")
	c.Git("tag", "v1.1.0") // only a name
	c.Push()
	tags, err := r.Tags(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	one, two := find(t, tags, "v1.0.0"), find(t, tags, "v1.1.0")
	if len(tags) != 2 || one.Commit != first || one.Object == first || two.Commit != second || two.Object != second {
		t.Errorf("got %+v", tags)
	}
	if got := s.Requests(); slices.ContainsFunc(got, func(r string) bool { return strings.Contains(r, "POST") && strings.Contains(r, "upload-pack") }) {
		t.Errorf("more than a list was asked for: %v", got)
	}
}

func TestTags_TakesTenThousandAndRefusesMoreThanItReads(t *testing.T) {
	s := followtest.Serve(t, "127.0.0.1:0")
	c := s.Repository("api")
	commit := c.Commit("a", "1")
	packed := func(n int) {
		var b strings.Builder
		b.WriteString("# pack-refs with: peeled fully-peeled sorted \n")
		for i := range n {
			fmt.Fprintf(&b, "%s refs/tags/v1.%05d.0\n", commit, i)
		}
		bare := strings.TrimSpace(c.Git("remote", "get-url", "origin"))
		if err := os.WriteFile(filepath.Join(bare, "packed-refs"), []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	c.Push()
	r := Repository{URL: s.URL("api"), Insecure: true}
	packed(10_000)
	if tags, err := r.Tags(t.Context()); err != nil || len(tags) != 10_000 {
		t.Errorf("%d tags, %v", len(tags), err)
	}
	packed(MaxTags + 1)
	if _, err := r.Tags(t.Context()); choose.ReasonOf(err) != choose.Refused || !strings.Contains(err.Error(), "more than 20000 tags") {
		t.Errorf("got %v", err)
	}
}

const password = "s3cr3t-Passw0rd"

func TestTags_SaysWhatIsWrongAndShowsNoPassword(t *testing.T) {
	s := followtest.Serve(t, "127.0.0.1:0")
	s.Repository("api").Commit("a", "1")
	s.Username, s.Password = "robot", password
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	server := func(f http.HandlerFunc) string {
		h := httptest.NewServer(f)
		t.Cleanup(h.Close)
		return h.URL
	}
	seen := make(chan string, 1)
	thief := server(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case seen <- r.Header.Get("Authorization"):
		default:
		}
	})
	endless := func(first string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/x-git-upload-pack-advertisement")
			fmt.Fprint(w, first)
			line := []byte(strings.Repeat("x", 1<<16))
			for {
				if _, err := w.Write(line); err != nil {
					return
				}
			}
		}
	}
	ref := func(i int) string {
		text := fmt.Sprintf("%040d refs/heads/%s%d\n", i+1, strings.Repeat("x", 1000), i)
		return fmt.Sprintf("%04x%s", len(text)+4, text)
	}
	for name, c := range map[string]struct {
		url  string
		kind choose.Reason
		says string
	}{
		"wrong credentials": {s.URL("api"), choose.Denied, "does not let us in"},
		"nobody there":      {"http://" + closed.Addr().String() + "/api.git", choose.Unreachable, "nobody answers"},
		"no such host":      {"http://no-such-host.invalid/api.git", choose.Unreachable, "not found"},
		"another host": {server(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, thief+r.URL.RequestURI(), http.StatusFound)
		}), choose.Refused, "another host"},
		"round in a circle": {server(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, r.URL.RequestURI(), http.StatusFound)
		}), choose.Refused, "circle"},
		"an error": {server(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "password was "+password, 500) }), choose.Unreachable, "no answer that git understands"},
		"a page":   {server(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") }), choose.Unreachable, "no answer that git understands"},
		"nothing":  {server(func(http.ResponseWriter, *http.Request) {}), choose.Unreachable, ""},
		"cut off": {server(func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, "001e# service=git-upload-pack\n0000"+ref(0)[:20])
		}), choose.Unreachable, "no answer"},
		"an endless line": {server(endless("001e# service=git-upload-pack\n0000")), choose.Unreachable, ""},
		"endless references": {server(func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, "001e# service=git-upload-pack\n0000")
			first := fmt.Sprintf("%040d HEAD\x00multi_ack\n", 1)
			fmt.Fprintf(w, "%04x%s", len(first)+4, first)
			for i := 0; ; i++ {
				if _, err := fmt.Fprint(w, ref(i)); err != nil {
					return
				}
			}
		}), choose.Refused, "more than is read"},
	} {
		t.Run(name, func(t *testing.T) {
			r := Repository{URL: c.url, Insecure: true, Credentials: Credentials{Username: "robot", Password: password + "!"}}
			tags, err := r.Tags(t.Context())
			if err == nil || len(tags) > 0 || choose.ReasonOf(err) != c.kind || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, %s: %v; want %s %q", names(tags), choose.ReasonOf(err), err, c.kind, c.says)
			}
			if err != nil && (strings.Contains(err.Error(), password) || strings.ContainsAny(err.Error(), "\n\x1b") || len(err.Error()) > 300) {
				t.Errorf("the error carries what it must not: %q", err)
			}
		})
	}
	select {
	case got := <-seen:
		t.Errorf("the other host was asked, with %q", got)
	default:
	}
	r := Repository{URL: s.URL("api"), Insecure: true, Credentials: Credentials{Username: "robot", Password: password}}
	if _, err := r.Tags(t.Context()); err != nil && choose.ReasonOf(err) == choose.Denied {
		t.Errorf("the right password: %v", err)
	}
}

func TestTags_DoesNotWaitForASlowServer(t *testing.T) {
	begun := make(chan struct{})
	begins := sync.OnceFunc(func() { close(begun) })
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/x-git-upload-pack-advertisement")
		fmt.Fprint(w, "001e# service=git-upload-pack\n0000")
		w.(http.Flusher).Flush()
		begins()
		<-r.Context().Done() // a byte now and then would be the same
	}))
	defer s.Close()
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-begun; cancel() }()
	if _, err := (Repository{URL: s.URL + "/api.git", Insecure: true}).Tags(ctx); err != context.Canceled {
		t.Errorf("got %v", err)
	}
	if _, err := (Repository{URL: s.URL + "/api.git", Insecure: true, patience: 50 * time.Millisecond}).Tags(t.Context()); choose.ReasonOf(err) != choose.Unreachable || !strings.Contains(err.Error(), "did not answer") {
		t.Errorf("got %v", err)
	}
}

func TestCheck_RefusesAddressesThatAreNotFollowed(t *testing.T) {
	for url, says := range map[string]string{
		"https://github.com/acme/api.git":                    "",
		"ssh://git@github.com/acme/api.git":                  "",
		"git@github.com:acme/api.git":                        "",
		"http://git.example.org/api.git":                     "is not encrypted",
		"https://robot:" + password + "@example.org/api.git": "put them into the Secret",
		"https://" + password + "@example.org/api.git":       "put them into the Secret",
		"ssh://git:" + password + "@example.org/api.git":     "put them into the Secret",
		"git://example.org/api.git":                          "is not one that is followed",
		"file:///etc":                                        "is not one that is followed",
		"/etc":                                               "is not one that is followed",
		"ext::sh -c touch% /tmp/x":                           "",
		"https:///api.git":                                   "names no host",
		"https://example.org/api.git?x=" + password:          "a query",
		"https://169.254.169.254/latest":                     "is not an address of a git server",
		"":                                                   "is not one that is followed",
	} {
		err := Repository{URL: url}.Check()
		if says == "" && strings.HasPrefix(url, "ext") {
			says = "write https://"
		}
		if says == "" && err != nil || says != "" && (err == nil || !strings.Contains(err.Error(), says)) {
			t.Errorf("%s: %v", url, err)
		}
		if err != nil && strings.Contains(err.Error(), password) {
			t.Errorf("the error shows the password: %v", err)
		}
	}
}

func TestTree_IsWhatWasTagged(t *testing.T) {
	s := followtest.Serve(t, "127.0.0.1:0")
	c := s.Repository("api")
	c.Commit("bin/run.sh", "#!/bin/sh\necho one\n")
	c.Tag("v1.0.0")
	c.Commit("bin/run.sh", "#!/bin/sh\necho two\n")
	c.Git("tag", "v2.0.0")
	c.Push()
	if err := os.WriteFile(filepath.Join(c.Dir, "bin/run.sh"), []byte("not committed"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]Repository{
		"of a server": {URL: s.URL("api"), Insecure: true},
		"of a folder": {URL: c.Dir, Local: true},
	} {
		tags, err := r.Tags(t.Context())
		if err != nil {
			t.Fatal(name, err)
		}
		for tag, want := range map[string]string{"v1.0.0": "one", "v2.0.0": "two"} {
			dir := filepath.Join(t.TempDir(), "tree")
			if err := r.Tree(t.Context(), find(t, tags, tag), dir); err != nil {
				t.Fatal(name, tag, err)
			}
			text, err := os.ReadFile(filepath.Join(dir, "bin/run.sh"))
			info, _ := os.Stat(filepath.Join(dir, "bin/run.sh"))
			if err != nil || !strings.Contains(string(text), want) || info.Mode()&0o111 == 0 {
				t.Errorf("%s: %s: %q %v %v", name, tag, text, info.Mode(), err)
			}
			if _, err := os.Stat(filepath.Join(dir, ".git")); err == nil {
				t.Errorf("%s: the tree has a .git", name)
			}
		}
		lie := find(t, tags, "v2.0.0")
		lie.Commit = find(t, tags, "v1.0.0").Commit
		if err := r.Tree(t.Context(), lie, filepath.Join(t.TempDir(), "tree")); choose.ReasonOf(err) != choose.Refused {
			t.Errorf("%s: a list that does not fit what was sent: %v", name, err)
		}
	}
	if out := c.Git("status", "--porcelain"); strings.TrimSpace(out) != "M bin/run.sh" {
		t.Errorf("the user's own copy was touched: %q", out)
	}
}
