package git

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"gapless.dev/gapless/internal/follow/choose"
	"gapless.dev/gapless/internal/follow/followtest"
)

type pair struct {
	signer  ssh.Signer
	private []byte
}

func newPair(t *testing.T) pair {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(key, "")
	if err != nil {
		t.Fatal(err)
	}
	return pair{s, pem.EncodeToMemory(block)}
}

// serveSSH lets whoever has the key run git-upload-pack, as a git host does.
func serveSSH(t *testing.T, host pair, client ssh.PublicKey) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	config := &ssh.ServerConfig{PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		if string(key.Marshal()) != string(client.Marshal()) {
			return nil, io.EOF
		}
		return nil, nil
	}}
	config.AddHostKey(host.signer)
	go func() {
		for {
			raw, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				_, channels, requests, err := ssh.NewServerConn(raw, config)
				if err != nil {
					return
				}
				go ssh.DiscardRequests(requests)
				for one := range channels {
					channel, asked, err := one.Accept()
					if err != nil {
						return
					}
					go uploadPack(channel, asked)
				}
			}()
		}
	}()
	return l.Addr().String()
}

func uploadPack(channel ssh.Channel, requests <-chan *ssh.Request) {
	defer channel.Close()
	for r := range requests {
		if r.Type != "exec" {
			continue
		}
		_ = r.Reply(true, nil)
		path := strings.Trim(strings.TrimPrefix(string(r.Payload[4:]), "git-upload-pack "), "'")
		cmd := exec.Command("git-upload-pack", path)
		cmd.Stdout = channel
		in, err := cmd.StdinPipe()
		if err != nil {
			return
		}
		go func() { _, _ = io.Copy(in, channel) }()
		_ = cmd.Run()
		_, _ = channel.SendRequest("exit-status", false, []byte{0, 0, 0, 0})
		return
	}
}

func TestTags_OverSSH(t *testing.T) {
	s := followtest.Serve(t, "127.0.0.1:0")
	c := s.Repository("api")
	commit := c.Commit("a", "1")
	key := sshSigner(t, "git")
	signedTag(t, c, "v1.0.0", "v1.0.0", commit, key)
	c.Push()
	host, other, client := newPair(t), newPair(t), newPair(t)
	addr := serveSSH(t, host, client.signer.PublicKey())
	known := func(p pair) []byte { return []byte(knownhosts.Line([]string{addr}, p.signer.PublicKey()) + "\n") }
	bare := strings.TrimSpace(c.Git("remote", "get-url", "origin"))
	r := Repository{URL: "ssh://git@" + addr + bare, Credentials: Credentials{SSHKey: client.private, KnownHosts: known(host)}}
	tags, err := r.Tags(t.Context())
	if err != nil || len(tags) != 1 || tags[0].Commit != commit {
		t.Fatal(tags, err)
	}
	keys, err := ParseKeys([]string{key.public})
	if err != nil {
		t.Fatal(err)
	}
	if by, err := r.Verify(t.Context(), tags[0], keys); err != nil || by == "" {
		t.Error(by, err)
	}
	if err := r.Tree(t.Context(), tags[0], filepath.Join(t.TempDir(), "tree")); err != nil {
		t.Error(err)
	}
	for name, c := range map[string]struct {
		credentials Credentials
		kind        choose.Reason
		says        string
	}{
		"no key":          {Credentials{KnownHosts: known(host)}, choose.Denied, "needs a key"},
		"another key":     {Credentials{SSHKey: other.private, KnownHosts: known(host)}, choose.Denied, "not one of its"},
		"no key at all":   {Credentials{SSHKey: []byte("x"), KnownHosts: known(host)}, choose.Denied, "no private key"},
		"no known host":   {Credentials{SSHKey: client.private}, choose.Denied, "ssh-keyscan"},
		"another host":    {Credentials{SSHKey: client.private, KnownHosts: known(other)}, choose.Refused, "another key"},
		"an unknown host": {Credentials{SSHKey: client.private, KnownHosts: []byte("example.org " + string(ssh.MarshalAuthorizedKey(host.signer.PublicKey())))}, choose.Refused, "not in known_hosts"},
		"hashed, another": {Credentials{SSHKey: client.private, KnownHosts: []byte(knownhosts.HashHostname(knownhosts.Normalize(addr)) + " " + string(ssh.MarshalAuthorizedKey(other.signer.PublicKey())))}, choose.Refused, "another key"},
		"not known_hosts": {Credentials{SSHKey: client.private, KnownHosts: []byte("@ nonsense")}, choose.Denied, "not what ssh-keyscan prints"},
	} {
		r := r
		r.Credentials = c.credentials
		if _, err := r.Tags(t.Context()); choose.ReasonOf(err) != c.kind || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %s %v", name, choose.ReasonOf(err), err)
		}
	}
	r.URL = "ssh://git@" + addr + "/nowhere.git"
	if _, err := r.Tags(t.Context()); err == nil {
		t.Error("a repository that is not there has tags")
	}
}
