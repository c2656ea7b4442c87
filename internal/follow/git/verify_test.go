package git

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"

	"gapless.dev/gapless/internal/follow/choose"
	"gapless.dev/gapless/internal/follow/followtest"
)

// A signer signs what a tag says, as git would, and gives the public key to know it by.
type signer struct {
	public string
	sign   func(text string) string
}

func pgpSigner(t *testing.T) signer {
	t.Helper()
	e, err := openpgp.NewEntity("A Developer", "", "dev@example.org", nil)
	if err != nil {
		t.Fatal(err)
	}
	var public bytes.Buffer
	w, err := armor.Encode(&public, openpgp.PublicKeyType, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Serialize(w); err != nil {
		t.Fatal(err)
	}
	w.Close()
	return signer{public.String(), func(text string) string {
		var out bytes.Buffer
		if err := openpgp.ArmoredDetachSign(&out, e, strings.NewReader(text), nil); err != nil {
			t.Fatal(err)
		}
		return out.String() + "\n"
	}}
}

func sshSigner(t *testing.T, namespace string) signer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return signer{string(ssh.MarshalAuthorizedKey(s.PublicKey())), func(text string) string {
		sig, err := sshsig.Sign(strings.NewReader(text), s, sshsig.HashSHA512, namespace)
		if err != nil {
			t.Fatal(err)
		}
		return string(sshsig.Armor(sig))
	}}
}

// signedTag makes a tag object by hand, so that it can lie. claims is the name that the object itself carries.
func signedTag(t *testing.T, c *followtest.Clone, ref, claims, commit string, s signer) {
	t.Helper()
	text := fmt.Sprintf("object %s\ntype commit\ntag %s\ntagger A Developer <dev@example.org> 1760000000 +0000\n\nrelease\n", commit, claims)
	file := filepath.Join(t.TempDir(), "tag")
	if err := os.WriteFile(file, []byte(text+s.sign(text)), 0o644); err != nil {
		t.Fatal(err)
	}
	c.Git("update-ref", "refs/tags/"+ref, strings.TrimSpace(c.Git("hash-object", "-t", "tag", "-w", file)))
}

func TestVerify_TakesOnlyASignatureOfThisNameAndCommitByOneOfTheKeys(t *testing.T) {
	s := followtest.Serve(t, "127.0.0.1:0")
	c := s.Repository("api")
	commit := c.Commit("a", "1")
	pgp, pgpOther := pgpSigner(t), pgpSigner(t)
	mine, other, file := sshSigner(t, "git"), sshSigner(t, "git"), sshSigner(t, "file")
	keys, err := ParseKeys([]string{pgp.public, mine.public + "\n" + file.public})
	if err != nil {
		t.Fatal(err)
	}
	signedTag(t, c, "v1.0.0", "v1.0.0", commit, pgp)
	signedTag(t, c, "v1.1.0", "v1.1.0", commit, mine)
	signedTag(t, c, "v1.2.0", "v1.2.0", commit, pgpOther)
	signedTag(t, c, "v1.3.0", "v1.3.0", commit, other)
	signedTag(t, c, "v1.4.0", "v1.4.0", commit, file)
	signedTag(t, c, "v9.9.9", "v1.1.0", commit, mine) // a right signature under another name
	signedTag(t, c, "v1.5.0", "v1.5.0", commit, signer{sign: func(string) string { return mine.sign("something else\n") }})
	signedTag(t, c, "v1.6.0", "v1.6.0", commit, signer{sign: func(string) string { return "-----BEGIN SSH SIGNATURE-----\nAAAA\n-----END SSH SIGNATURE-----\n" }})
	signedTag(t, c, "v1.7.0", "v1.7.0", commit, signer{sign: func(string) string { return "" }})
	c.Git("tag", "v1.8.0")
	c.Push()
	for name, r := range map[string]Repository{"a server": {URL: s.URL("api"), Insecure: true}, "a folder": {URL: c.Dir, Local: true}} {
		tags, err := r.Tags(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for tag, says := range map[string]string{
			"v1.0.0": "OpenPGP ", "v1.1.0": "SSH SHA256:",
			"v1.2.0": "not by one of the keys", "v1.3.0": "not by one of the keys", "v1.4.0": "not by one of the keys", "v9.9.9": "another name or commit",
			"v1.5.0": "not by one of the keys", "v1.6.0": "not by one of the keys", "v1.7.0": "is not signed", "v1.8.0": "carries no signature",
		} {
			by, err := r.Verify(t.Context(), find(t, tags, tag), keys)
			right := strings.HasPrefix(says, "OpenPGP") || strings.HasPrefix(says, "SSH")
			if right && (err != nil || !strings.HasPrefix(by, says)) || !right && (err == nil || choose.ReasonOf(err) != choose.Unverified || !strings.Contains(err.Error(), says)) {
				t.Errorf("%s, %s: %q %v, want %q", name, tag, by, err, says)
			}
		}
		lie := find(t, tags, "v1.0.0")
		lie.Commit = strings.Repeat("1", 40)
		if _, err := r.Verify(t.Context(), lie, keys); choose.ReasonOf(err) != choose.Unverified {
			t.Errorf("%s: a list that leads to another commit than what was signed: %v", name, err)
		}
	}
}

// TestVerify_WhatGitItselfSigns is the same with git's own hands.
func TestVerify_WhatGitItselfSigns(t *testing.T) {
	if _, err := exec.LookPath("ssh-keygen"); err != nil {
		t.Skip("no ssh-keygen here")
	}
	s := followtest.Serve(t, "127.0.0.1:0")
	c := s.Repository("api")
	c.Commit("a", "1")
	key := filepath.Join(t.TempDir(), "key")
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key).CombinedOutput(); err != nil {
		t.Fatal(err, string(out))
	}
	c.Git("-c", "gpg.format=ssh", "-c", "user.signingkey="+key, "tag", "-s", "-m", "release", "v1.0.0")
	c.Push()
	public, err := os.ReadFile(key + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	keys, err := ParseKeys([]string{string(public)})
	if err != nil {
		t.Fatal(err)
	}
	r := Repository{URL: s.URL("api"), Insecure: true}
	tags, err := r.Tags(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if by, err := r.Verify(t.Context(), find(t, tags, "v1.0.0"), keys); err != nil || !strings.HasPrefix(by, "SSH SHA256:") {
		t.Errorf("%q %v", by, err)
	}
}

func TestParseKeys_SaysWhatIsNoPublicKey(t *testing.T) {
	for text, says := range map[string]string{
		"-----BEGIN OPENSSH PRIVATE KEY-----\nabc":    "is a private key",
		"-----BEGIN PGP PRIVATE KEY BLOCK-----\nabc":  "is a private key",
		"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nabc": "no OpenPGP key",
		"ssh-ed25519 AAAA":                            "no public key",
		"nonsense":                                    "no public key",
	} {
		if _, err := ParseKeys([]string{text}); choose.ReasonOf(err) != choose.BadRule || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if k, err := ParseKeys(nil); err != nil || k.Set() {
		t.Error(k, err)
	}
}
