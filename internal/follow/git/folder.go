package git

import (
	"errors"
	"fmt"
	"strings"

	"github.com/go-git/go-billy/v5"
	gogit "github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/config"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/storer"
	"github.com/go-git/go-git/v5/storage"
	"github.com/go-git/go-git/v5/storage/memory"

	"gapless.dev/gapless/internal/follow/choose"
)

// tagsOfFolder lists the tags of a repository on this machine.
func (r Repository) tagsOfFolder(path string) ([]Tag, error) {
	repo, err := gogit.PlainOpenWithOptions(path, &gogit.PlainOpenOptions{DetectDotGit: true})
	if err != nil {
		return nil, failed(choose.BadRule, "%s is no git repository: %v", path, err)
	}
	refs, err := repo.Tags()
	if err != nil {
		return nil, failed(choose.Unreachable, "%s: %v", path, err)
	}
	defer refs.Close()
	var all []Tag
	err = refs.ForEach(func(ref *plumbing.Reference) error {
		commit, err := commitOf(repo.Storer, ref.Hash().String())
		if err != nil {
			return nil // a tag of something else is not followed
		}
		all = append(all, Tag{Tag: choose.Tag{Name: strings.TrimPrefix(ref.Name().String(), "refs/tags/"), Commit: commit.String()}, Object: ref.Hash().String()})
		if len(all) > MaxTags {
			return failed(choose.Refused, "the repository has more than %d tags, which is more than is read: take old ones away, or follow another one", MaxTags)
		}
		return nil
	})
	return all, err
}

// commitOf follows a tag object, or a tag of a tag, to its commit.
func commitOf(store storage.Storer, name string) (plumbing.Hash, error) {
	id, err := hash(name)
	if err != nil {
		return id, err
	}
	for range 5 {
		if _, err := object.GetCommit(store, id); err == nil {
			return id, nil
		}
		tag, err := object.GetTag(store, id)
		if err != nil {
			return id, err
		}
		id = tag.Target
	}
	return id, errors.New("a tag of a tag of a tag")
}

// checkout writes the files of a commit.
func checkout(store storage.Storer, files billy.Filesystem, commit plumbing.Hash) error {
	repo, err := gogit.Init(besides(store), files)
	if err != nil {
		return err
	}
	w, err := repo.Worktree()
	if err != nil {
		return err
	}
	if err := w.Checkout(&gogit.CheckoutOptions{Hash: commit, Force: true}); err != nil {
		return fmt.Errorf("checkout: %w", err)
	}
	return nil
}

// layered has the objects of one store and everything else of another.
type layered struct {
	storer.EncodedObjectStorer
	storer.ReferenceStorer
	storer.ShallowStorer
	storer.IndexStorer
	config.ConfigStorer
	storage.ModuleStorer
}

// besides keeps what a checkout writes, an index and a HEAD, beside a store: the user's repository is not ours to change.
func besides(store storage.Storer) storage.Storer {
	m := memory.NewStorage()
	return layered{store, m, m, m, m, m}
}
