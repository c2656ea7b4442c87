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
)

// fetch puts one object and what it leads to into a store; without trees only a tag and its commit.
func (r Repository) fetch(ctx context.Context, object string, trees bool, most int64, into storage.Storer) error {
	want, err := hash(object)
	if err != nil {
		return err
	}
	c, err := r.connect(ctx, most)
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
	// Each object is stored under the hash of what it holds, so that a server cannot give one for another.
	if err := packfile.UpdateObjectStorage(into, objects); err != nil {
		return r.explain(ctx, err)
	}
	return nil
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
	return store, r.fetch(ctx, t.Object, true, maxTree, store)
}
