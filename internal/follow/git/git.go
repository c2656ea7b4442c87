// Package git reads the tags of a repository, from anywhere and without a copy of it. It trusts no server: answers are bounded in time,
// size and number, nothing is sent to another host than the one that was named, and no credential gets into an error.
package git

import (
	"context"
	"errors"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/transport"

	"gapless.dev/gapless/internal/follow/choose"
)

// Bounds of what a server may answer.
const (
	// MaxTags is twice what a large repository has.
	MaxTags = 20_000
	// maxList is the size of a list of references, branches and all.
	maxList = 32 << 20
	// maxObject is the size of the pack that is fetched to verify one tag, and maxInflated of what is unpacked of it.
	maxObject   = 8 << 20
	maxInflated = 64 << 20
	// maxTag is the size of a tag object, its message included.
	maxTag = 1 << 20
	// maxTree is the size of a tree that is built from.
	maxTree = 1 << 30

	listTime = 30 * time.Second
	treeTime = 10 * time.Minute
)

func failed(reason choose.Reason, format string, args ...any) error {
	return choose.Wrong(reason, format, args...)
}

// A Tag is a tag with the object that its name leads to: the commit, or a tag object that leads to the commit.
type Tag struct {
	choose.Tag
	Object string
}

// A Repository is where tags come from.
type Repository struct {
	// URL is https://, ssh:// or USER@HOST:PATH; http:// if Insecure; or a folder of this machine if Local.
	URL string
	// Credentials for it. May be zero.
	Credentials Credentials
	// Insecure lets it be reached over plain HTTP, where anybody on the way can read and change what is said.
	Insecure bool
	// Local lets it be a folder of this machine.
	Local bool

	patience time.Duration // for a list or a tag; listTime, but in tests
}

func (r Repository) within() time.Duration {
	if r.patience > 0 {
		return r.patience
	}
	return listTime
}

// Credentials reach a repository. They never get into an error or a log.
type Credentials struct {
	// Username and Password are for HTTPS; a token is a password with any name.
	Username, Password string
	// SSHKey is a private key in PEM form, and KnownHosts the lines that tell the host's own key.
	SSHKey, KnownHosts []byte
	// CA is the certificate of an authority in PEM form, beside those of the system.
	CA []byte
}

// A connection speaks to a repository.
type connection interface {
	// advertised is the list of references.
	advertised(context.Context) (*packp.AdvRefs, error)
	// pack is the objects asked for.
	pack(context.Context, *packp.UploadPackRequest) (pack, error)
	close()
}

type pack interface {
	Read([]byte) (int, error)
	Close() error
}

// Check tells what is wrong with the address, without asking anybody.
func (r Repository) Check() error {
	_, err := r.address()
	return err
}

// address is the URL, parsed, with the short form of SSH written out.
func (r Repository) address() (*url.URL, error) {
	text := r.URL
	if user, rest, ok := strings.Cut(text, "@"); ok && !strings.Contains(text, "://") && !strings.ContainsAny(user, "/:") {
		host, path, ok := strings.Cut(rest, ":")
		if !ok {
			return nil, failed(choose.BadRule, "the repository is not an address: write https://HOST/PATH or ssh://USER@HOST/PATH")
		}
		text = "ssh://" + user + "@" + host + "/" + strings.TrimPrefix(path, "/")
	}
	if r.Local && !strings.Contains(text, "://") {
		return &url.URL{Scheme: "file", Path: text}, nil
	}
	u, err := url.Parse(text)
	if err != nil {
		return nil, failed(choose.BadRule, "the repository is not an address: write https://HOST/PATH or ssh://USER@HOST/PATH")
	}
	_, password := u.User.Password()
	switch {
	case password || u.User != nil && u.Scheme != "ssh":
		return nil, failed(choose.BadRule, "the repository's address holds a name or password: write it without, and put them into the Secret")
	case u.Scheme == "http" && !r.Insecure:
		return nil, failed(choose.BadRule, "http://%s is not encrypted, so that anybody on the way could put a version of their own in its place: write https://, or insecure: true if that is meant", u.Host)
	case u.Scheme != "https" && u.Scheme != "http" && u.Scheme != "ssh" && !(u.Scheme == "file" && r.Local):
		return nil, failed(choose.BadRule, "the scheme %q is not one that is followed: write https:// or ssh://", u.Scheme)
	case u.Host == "" && u.Scheme != "file":
		return nil, failed(choose.BadRule, "the repository's address names no host: write https://HOST/PATH or ssh://USER@HOST/PATH")
	case u.RawQuery != "" || u.Fragment != "":
		return nil, failed(choose.BadRule, "the repository's address has a query or a fragment: write it without")
	}
	if addr, err := netip.ParseAddr(u.Hostname()); err == nil && (addr.IsLinkLocalUnicast() || addr.IsMulticast() || addr.IsUnspecified()) {
		return nil, failed(choose.BadRule, "%s is not an address of a git server", u.Hostname())
	}
	return u, nil
}

// Name is the repository as it may be shown.
func (r Repository) Name() string {
	u, err := r.address()
	if err != nil {
		return "the repository"
	}
	if u.Scheme == "file" {
		return u.Path
	}
	return u.Redacted()
}

// IsFolder tells whether the repository is a folder of this machine.
func (r Repository) IsFolder() bool {
	u, err := r.address()
	return err == nil && u.Scheme == "file"
}

// connect reads at most so many bytes in one answer, or over SSH in all.
func (r Repository) connect(ctx context.Context, most int64) (connection, error) {
	u, err := r.address()
	if err != nil {
		return nil, err
	}
	switch u.Scheme {
	case "file":
		return nil, failed(choose.BadRule, "a folder is read, not asked")
	case "ssh":
		return r.overSSH(ctx, u, most)
	}
	return r.overHTTP(u, most)
}

// Tags lists the tags.
func (r Repository) Tags(ctx context.Context) ([]Tag, error) {
	ctx, cancel := context.WithTimeout(ctx, r.within())
	defer cancel()
	if u, err := r.address(); err != nil {
		return nil, err
	} else if u.Scheme == "file" {
		return r.tagsOfFolder(u.Path)
	}
	c, err := r.connect(ctx, maxList)
	if err != nil {
		return nil, err
	}
	defer c.close()
	refs, err := c.advertised(ctx)
	if errors.Is(err, transport.ErrEmptyRemoteRepository) {
		return nil, nil
	}
	if err != nil {
		return nil, r.explain(ctx, err)
	}
	return tagsOf(refs)
}

func tagsOf(refs *packp.AdvRefs) ([]Tag, error) {
	var all []Tag
	if refs == nil {
		return nil, nil
	}
	for ref, hash := range refs.References {
		name, is := strings.CutPrefix(ref, "refs/tags/")
		if !is || strings.HasSuffix(name, "^{}") {
			continue
		}
		commit := hash
		if peeled, has := refs.Peeled[ref]; has {
			commit = peeled
		}
		all = append(all, Tag{Tag: choose.Tag{Name: name, Commit: commit.String()}, Object: hash.String()})
		if len(all) > MaxTags {
			return nil, failed(choose.Refused, "the repository has more than %d tags, which is more than is read: take old ones away, or follow another one", MaxTags)
		}
	}
	return all, nil
}

// hash is an object's name, if it is one.
func hash(s string) (plumbing.Hash, error) {
	if !plumbing.IsHash(s) {
		return plumbing.ZeroHash, failed(choose.Refused, "%q is not the name of an object", s)
	}
	return plumbing.NewHash(s), nil
}
