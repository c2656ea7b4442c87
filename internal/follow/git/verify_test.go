package git

import (
	"bytes"
	"compress/zlib"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha1"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
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

// bomb serves a repository whose one tag comes in a pack that says of itself what it wants.
func bomb(t *testing.T, kind byte, declared, inflates int) Repository {
	t.Helper()
	var pack bytes.Buffer
	pack.WriteString("PACK\x00\x00\x00\x02\x00\x00\x00\x01")
	head := []byte{kind<<4 | byte(declared&15)}
	for n := declared >> 4; n > 0; n >>= 7 {
		head[len(head)-1] |= 0x80
		head = append(head, byte(n&127))
	}
	pack.Write(head)
	z := zlib.NewWriter(&pack)
	for left, zeros := inflates, make([]byte, 1<<16); left > 0; left -= len(zeros) {
		if _, err := z.Write(zeros[:min(left, len(zeros))]); err != nil {
			t.Fatal(err)
		}
	}
	z.Close()
	sum := sha1.Sum(pack.Bytes())
	pack.Write(sum[:])
	line := func(s string) string { return fmt.Sprintf("%04x%s", len(s)+4, s) }
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/info/refs") {
			w.Header().Set("Content-Type", "application/x-git-upload-pack-advertisement")
			fmt.Fprint(w, line("# service=git-upload-pack\n"), "0000",
				line(strings.Repeat("1", 40)+" refs/tags/v1.0.0\x00ofs-delta\n"), line(strings.Repeat("2", 40)+" refs/tags/v1.0.0^{}\n"), "0000")
			return
		}
		w.Header().Set("Content-Type", "application/x-git-upload-pack-result")
		fmt.Fprint(w, line("NAK\n"))
		w.Write(pack.Bytes())
	}))
	t.Cleanup(s.Close)
	return Repository{URL: s.URL + "/api.git", Insecure: true}
}

// TestVerify_IsNotBlownUp: a pack of some kilobytes that stands for a gigabyte is not unpacked, and nothing else is kept of a pack than the tag.
func TestVerify_IsNotBlownUp(t *testing.T) {
	keys, err := ParseKeys([]string{sshSigner(t, "git").public})
	if err != nil {
		t.Fatal(err)
	}
	const blob, tag = 3, 4
	for name, tt := range map[string]struct {
		kind               byte
		declared, inflates int
		says               string
	}{
		"a huge file":                      {blob, 1 << 30, 100 << 20, "more than is read"},
		"a huge tag":                       {tag, 1 << 30, 100 << 20, "more than is read"},
		"a tag larger than it says":        {tag, 100, 100 << 20, "no answer that git understands"},
		"a tag that is not the one wanted": {tag, 100, 100, "did not send the tag"},
		"no tag":                           {blob, 100, 100, "did not send the tag"},
	} {
		t.Run(name, func(t *testing.T) {
			r := bomb(t, tt.kind, tt.declared, tt.inflates)
			tags, err := r.Tags(t.Context())
			if err != nil || len(tags) != 1 {
				t.Fatalf("%v, %v", tags, err)
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err = r.Verify(t.Context(), tags[0], keys)
			runtime.ReadMemStats(&after)
			if err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v", err)
			}
			if used := after.TotalAlloc - before.TotalAlloc; used > 16<<20 {
				t.Errorf("took %d bytes of memory", used)
			}
		})
	}
}
