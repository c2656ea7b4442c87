package git

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"

	"gapless.dev/gapless/internal/follow/choose"
)

// Keys are those whose signature on a tag counts.
type Keys struct {
	pgp openpgp.EntityList
	ssh []ssh.PublicKey
}

// Set tells whether there is any.
func (k Keys) Set() bool { return len(k.pgp)+len(k.ssh) > 0 }

// ParseKeys reads public keys: OpenPGP in ASCII armor, or SSH as lines of an authorized_keys file.
func ParseKeys(texts []string) (Keys, error) {
	var k Keys
	for i, text := range texts {
		text = strings.TrimSpace(text)
		switch {
		case strings.Contains(text, "PRIVATE KEY"):
			return Keys{}, failed(choose.BadRule, "keys[%d] is a private key: give the public one, and make a new pair, since this one has been shown", i)
		case strings.HasPrefix(text, "-----BEGIN PGP PUBLIC KEY BLOCK-----"):
			all, err := openpgp.ReadArmoredKeyRing(strings.NewReader(text))
			if err != nil {
				return Keys{}, failed(choose.BadRule, "keys[%d] is no OpenPGP key: give what gpg --armor --export prints", i)
			}
			k.pgp = append(k.pgp, all...)
		default:
			rest := []byte(text)
			for len(bytes.TrimSpace(rest)) > 0 {
				key, _, _, more, err := ssh.ParseAuthorizedKey(rest)
				if err != nil {
					return Keys{}, failed(choose.BadRule, "keys[%d] is no public key: give a line such as ssh-ed25519 AAAA..., or what gpg --armor --export prints", i)
				}
				k.ssh, rest = append(k.ssh, key), more
			}
		}
	}
	return k, nil
}

// Verify tells whether a tag carries a signature by one of the keys, for this name and this commit. It says by which.
func (r Repository) Verify(ctx context.Context, t Tag, keys Keys) (string, error) {
	if t.Object == t.Commit {
		return "", failed(choose.Unverified, "the tag %s carries no signature, since it is no object of its own: make it with git tag -s", t.Name)
	}
	ctx, cancel := context.WithTimeout(ctx, r.within())
	defer cancel()
	tag, err := r.tagObject(ctx, t)
	if err != nil {
		return "", err
	}
	// A right signature of another tag proves nothing of this one.
	if tag.Name != t.Name || tag.TargetType != plumbing.CommitObject || tag.Target.String() != t.Commit {
		return "", failed(choose.Unverified, "the tag %s holds the signature of another name or commit", t.Name)
	}
	return keys.signer(tag)
}

func (r Repository) tagObject(ctx context.Context, t Tag) (*object.Tag, error) {
	u, err := r.address()
	if err != nil {
		return nil, err
	}
	id, err := hash(t.Object)
	if err != nil {
		return nil, err
	}
	notSent := failed(choose.Refused, "%s did not send the tag %s", r.Name(), t.Name)
	if u.Scheme == "file" {
		store, err := r.store(ctx, t, "")
		if err != nil {
			return nil, err
		}
		tag, err := object.GetTag(store, id)
		if err != nil {
			return nil, notSent
		}
		return tag, nil
	}
	var found *plumbing.MemoryObject
	err = r.fetch(ctx, t.Object, false, maxObject, func(objects io.Reader) (err error) {
		if found, err = tagIn(id, objects); errors.Is(err, plumbing.ErrObjectNotFound) {
			return nil
		}
		return err
	})
	switch {
	case err != nil:
		return nil, err
	case found == nil:
		return nil, notSent
	}
	tag := &object.Tag{}
	if err := tag.Decode(found); err != nil {
		return nil, failed(choose.Refused, "the tag %s cannot be read", t.Name)
	}
	return tag, nil
}

func (k Keys) signer(tag *object.Tag) (string, error) {
	signed := &plumbing.MemoryObject{}
	if err := tag.EncodeWithoutSignature(signed); err != nil {
		return "", failed(choose.Refused, "the tag %s cannot be read", tag.Name)
	}
	message, err := signed.Reader()
	if err != nil {
		return "", failed(choose.Refused, "the tag %s cannot be read", tag.Name)
	}
	defer message.Close()
	switch {
	case tag.PGPSignature == "":
		return "", failed(choose.Unverified, "the tag %s is not signed: make it with git tag -s", tag.Name)
	case strings.HasPrefix(tag.PGPSignature, "-----BEGIN SSH SIGNATURE-----"):
		return k.sshSigner(tag, message)
	}
	entity, err := openpgp.CheckArmoredDetachedSignature(k.pgp, message, strings.NewReader(tag.PGPSignature), nil)
	if err != nil || entity == nil {
		return "", failed(choose.Unverified, "the signature of the tag %s is not by one of the keys", tag.Name)
	}
	return "OpenPGP " + entity.PrimaryKey.KeyIdString(), nil
}

func (k Keys) sshSigner(tag *object.Tag, message io.Reader) (string, error) {
	bad := failed(choose.Unverified, "the signature of the tag %s is not by one of the keys", tag.Name)
	sig, err := sshsig.Unarmor([]byte(tag.PGPSignature))
	if err != nil {
		return "", bad
	}
	for _, key := range k.ssh {
		if bytes.Equal(key.Marshal(), sig.PublicKey.Marshal()) {
			if sshsig.Verify(message, sig, key, sig.HashAlgorithm, "git") != nil {
				return "", bad
			}
			return "SSH " + ssh.FingerprintSHA256(key), nil
		}
	}
	return "", bad
}
