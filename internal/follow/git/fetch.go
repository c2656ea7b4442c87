package git

import (
	"context"
	"io"
	"os"
	"path/filepath"

	"github.com/go-git/go-billy/v5/osfs"
	gogit "github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/sideband"
	"github.com/go-git/go-git/v5/storage"
	"github.com/go-git/go-git/v5/storage/filesystem"

	"gapless.dev/gapless/internal/follow/choose"
	"gapless.dev/gapless/internal/follow/limit"
)

// fetch has the pack of one object and what it leads to unpacked, at most so many bytes of it; without trees only a tag and its commit.
func (r Repository) fetch(ctx context.Context, object string, trees bool, most int64, unpack func(io.Reader) error) error {
	want, err := hash(object)
	if err != nil {
		return err
	}
	c, err := r.connect(ctx, maxList+most) // the list comes first
	if err != nil {
		return err
	}
	defer c.close()
	refs, err := c.advertised(ctx)
	if err != nil {
		return r.explain(ctx, err)
	}
	req := packp.NewUploadPackRequestFromCapabilities(refs.Capabilities)
	req.Wants = []plumbing.Hash{want}
	if refs.Capabilities.Supports(capability.Shallow) {
		req.Depth = packp.DepthCommits(1)
		if err := req.Capabilities.Set(capability.Shallow); err != nil {
			return r.explain(ctx, err)
		}
	}
	if !trees && refs.Capabilities.Supports(capability.Filter) {
		req.Filter = packp.FilterTreeDepth(0)
		if err := req.Capabilities.Set(capability.Filter); err != nil {
			return r.explain(ctx, err)
		}
	}
	answer, err := c.pack(ctx, req)
	if err != nil {
		return r.explain(ctx, err)
	}
	defer answer.Close()
	var objects io.Reader = answer
	switch {
	case req.Capabilities.Supports(capability.Sideband64k):
		objects = sideband.NewDemuxer(sideband.Sideband64k, answer)
	case req.Capabilities.Supports(capability.Sideband):
		objects = sideband.NewDemuxer(sideband.Sideband, answer)
	}
	if err := unpack(limit.Reader(objects, most)); err != nil {
		return r.explain(ctx, err)
	}
	return nil
}

// tagIn finds one tag object in a pack, unpacking nothing else: the pack is the server's, and a few bytes of it can stand for more than there is
// memory. A tag never is a difference to another object, since there is no second tag in the pack.
func tagIn(want plumbing.Hash, objects io.Reader) (*plumbing.MemoryObject, error) {
	scanner := packfile.NewScanner(objects)
	_, n, err := scanner.Header()
	if err != nil {
		return nil, err
	}
	rest := &sink{left: maxInflated}
	for range n {
		h, err := scanner.NextObjectHeader()
		if err != nil {
			return nil, err
		}
		if h.Type != plumbing.TagObject || h.Length > maxTag {
			if _, _, err := scanner.NextObject(rest); err != nil {
				return nil, err
			}
			continue
		}
		o := &plumbing.MemoryObject{}
		o.SetType(h.Type)
		o.SetSize(h.Length)
		if _, _, err := scanner.NextObject(o); err != nil {
			return nil, err
		}
		// Known by the hash of what it holds, so that a server cannot give one for another.
		if o.Hash() == want {
			return o, nil
		}
	}
	return nil, plumbing.ErrObjectNotFound
}

// A sink takes so many bytes and no more.
type sink struct{ left int }

func (s *sink) Write(p []byte) (int, error) {
	if s.left -= len(p); s.left < 0 {
		return 0, limit.ErrTooLarge
	}
	return len(p), nil
}

// Tree writes the files of a tag into a folder that is not there yet. The folder is complete, or there is none.
func (r Repository) Tree(ctx context.Context, t Tag, dir string) error {
	ctx, cancel := context.WithTimeout(ctx, treeTime)
	defer cancel()
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return err
	}
	making, err := os.MkdirTemp(filepath.Dir(dir), ".making-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(making)
	commit, err := hash(t.Commit)
	if err != nil {
		return err
	}
	objects, err := os.MkdirTemp(filepath.Dir(dir), ".objects-*") // not within the tree: a build must not take it for a repository
	if err != nil {
		return err
	}
	defer os.RemoveAll(objects)
	store, err := r.store(ctx, t, objects)
	if err != nil {
		return err
	}
	found, err := commitOf(store, t.Object)
	if err != nil || found != commit {
		return failed(choose.Refused, "%s says that %s leads to %s, and sent something else", r.Name(), t.Name, choose.Short(t.Commit))
	}
	if err := checkout(store, osfs.New(making), commit); err != nil {
		return failed(choose.Refused, "the files of %s cannot be written: %v", t.Name, err)
	}
	return os.Rename(making, dir)
}

// store holds the objects of a tag: in a folder of their own, or in the one that the repository is.
func (r Repository) store(ctx context.Context, t Tag, dir string) (storage.Storer, error) {
	u, err := r.address()
	if err != nil {
		return nil, err
	}
	if u.Scheme == "file" {
		repo, err := gogit.PlainOpenWithOptions(u.Path, &gogit.PlainOpenOptions{DetectDotGit: true})
		if err != nil {
			return nil, failed(choose.BadRule, "%s is no git repository: %v", u.Path, err)
		}
		return repo.Storer, nil
	}
	store := filesystem.NewStorage(osfs.New(dir), cache.NewObjectLRUDefault())
	// Each object is stored under the hash of what it holds, so that a server cannot give one for another.
	return store, r.fetch(ctx, t.Object, true, maxTree, func(objects io.Reader) error { return packfile.UpdateObjectStorage(store, objects) })
}
