package typed

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"gapless.dev/gapless/internal/local"
	"gapless.dev/gapless/internal/report"
)

// OnACluster is the heading under which the guide of the first hour leaves the machine that it began on.
const OnACluster = "The same on a cluster"

// A FirstHour is the guide's part on one machine, typed with a real repository and real processes.
type FirstHour struct {
	*testing.T
	// Until is the heading to stop at.
	Until string
	// Change of what stands on the page. The port is another one anyway, since tests run side by side.
	Change *strings.Replacer

	dir, url    string
	up, follow  *Program
	probe       *Program
	outcomes    map[string]report.Outcome
	lastVersion string
}

// Reader is the environment of somebody who has settings of their own neither for git nor for Go. Its variables win over those of os.Environ.
func Reader(more ...string) []string {
	return append(append(os.Environ(), "GOWORK=off", "GOFLAGS=", "NO_PROXY=localhost", "no_proxy=localhost",
		"GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null", "GIT_AUTHOR_NAME=A Reader", "GIT_AUTHOR_EMAIL=reader@example.org",
		"GIT_COMMITTER_NAME=A Reader", "GIT_COMMITTER_EMAIL=reader@example.org"), more...)
}

// Tag is the version that a block tags, or empty.
func (b Block) Tag() string {
	if m := tagged.FindStringSubmatch(b.Text); m != nil {
		return m[1]
	}
	return ""
}

var tagged = regexp.MustCompile(`git tag v(\S+)`)

// Type types the blocks, and returns what became of each tag that was followed. Whatever is not as the page says fails the test.
func (h *FirstHour) Type(blocks []Block, env ...string) map[string]report.Outcome {
	h.Helper()
	h.dir, h.outcomes = h.TempDir(), map[string]report.Outcome{}
	port := freePort(h.T)
	h.url = "http://localhost:" + port + "/"
	term := Open(h.T, h.dir, Reader(append(env, "GAPLESS_SOCKET="+h.socket())...))
	for _, b := range blocks {
		if b.Heading == h.Until {
			break
		}
		if h.Change != nil {
			b.Text = h.Change.Replace(b.Text)
		}
		h.block(term, Block{b.Heading, strings.ReplaceAll(b.Text, "8080", port)})
	}
	return h.outcomes
}

func (h *FirstHour) socket() string { return filepath.Join(h.dir, "s") }

func (h *FirstHour) block(term *Terminal, b Block) {
	h.Helper()
	switch {
	case b.Begins("gapless up"):
		h.up = term.Starts(b.Text)
		h.eventually("it serves", func() error { _, err := Version(h.url); return err })
	case b.Begins("gapless follow"):
		h.follow = term.Starts(b.Text)
		h.eventually("it has looked", func() error { return says(h.follow, "1.0.0 is live already") })
	case b.Begins("gapless probe"):
		h.probe = term.Starts(b.Text)
	default:
		out := term.Types(b.Text)
		if v := b.Tag(); v != "" && h.follow != nil {
			h.decided(v)
		}
		if strings.Contains(b.Text, "curl ") && !strings.Contains(out, "good evening") {
			h.Errorf("after %v it answers %s", h.outcomes, out)
		}
		if strings.Contains(b.Text, "gapless report") && !strings.Contains(out, h.lastVersion) {
			h.Errorf("the report of %s:\n%s", h.lastVersion, out)
		}
	}
}

// decided waits until the rollout to a version is over.
func (h *FirstHour) decided(version string) {
	h.Helper()
	h.eventually(version+" is decided", func() error {
		r, err := local.Dial(h.socket()).Status(h.Context(), "demo-api")
		if err != nil || r.To != version || !r.Over() {
			return fmt.Errorf("%w %s is %s: %s; %s", err, r.To, r.Outcome, r.Message, h.follow.Said())
		}
		h.outcomes[version] = r.Outcome
		return nil
	})
	h.lastVersion = version
	serves, err := Version(h.url)
	if err != nil || serves != version && h.outcomes[version] == report.Promoted {
		h.Errorf("%s is %s, and %q answers: %v", version, h.outcomes[version], serves, err)
	}
	if h.probe != nil {
		NothingLost(h.T, h.probe.Ends(), version)
		h.probe = nil
	}
}

var counts = regexp.MustCompile(`(?m)^  (requests|lost) +([0-9,]+)`)

// NothingLost reads what a probe said: it has counted, and lost nothing, and a version was seen.
func NothingLost(t testing.TB, said, version string) {
	t.Helper()
	got := map[string]string{}
	for _, m := range counts.FindAllStringSubmatch(said, -1) {
		got[m[1]] = m[2]
	}
	if got["lost"] != "0" || got["requests"] == "" || got["requests"] == "0" || !strings.Contains(said, version) {
		t.Errorf("the probe says\n%s", said)
	}
}

// Version is the one that answers at a URL, by its header.
func Version(url string) (string, error) {
	res, err := http.Get(url)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, res.Body)
	if res.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s", res.Status)
	}
	return res.Header.Get("Gapless-Version"), nil
}

func says(p *Program, text string) error {
	if said := p.Said(); !strings.Contains(said, text) {
		return fmt.Errorf("it has said %q", said)
	}
	return nil
}

func (h *FirstHour) eventually(what string, holds func() error) {
	h.Helper()
	end := time.Now().Add(patience)
	for {
		err := holds()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			h.Fatalf("%s: %v", what, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// freePort is below those that the kernel gives to connections.
func freePort(t testing.TB) string {
	t.Helper()
	for port := 18_080; port < 20_000; port++ {
		l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
		if err == nil {
			l.Close()
			return strconv.Itoa(port)
		}
	}
	t.Fatal("no port is free")
	return ""
}
