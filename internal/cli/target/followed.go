package target

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"gapless.dev/gapless/internal/cli/exit"
	"gapless.dev/gapless/internal/follow"
	"gapless.dev/gapless/internal/follow/choose"
)

// The files in which a gapless follow of this machine remembers. The yes is a file of its own: it is written by somebody else.
const (
	MemoryFile = "follow.json"
	YesFile    = "yes.json"
)

// Followed is what a gapless follow of this machine remembers of an app.
type Followed struct {
	follow.Memory
	// Asked is the tag that a person has to say yes to.
	Asked *choose.Tag `json:"asked,omitempty"`
}

// ReadFollow reads what is remembered in a folder, with the yes that lies there.
func ReadFollow(dir string) (Followed, error) {
	var f Followed
	if err := read(filepath.Join(dir, MemoryFile), &f); err != nil {
		return f, err
	}
	f.Yes = nil
	return f, read(filepath.Join(dir, YesFile), &f.Yes)
}

func read(file string, into any) error {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("%s is damaged (%w): move it away", file, err)
	}
	return nil
}

// Accept says yes to the tag that gapless follow asks for, and returns it.
func (m *machine) Accept(ctx context.Context, name, tag string) (choose.Tag, error) {
	ping, err := m.client.Ping(ctx)
	if err != nil {
		return choose.Tag{}, Failed(err)
	}
	dir := filepath.Join(ping.StateDir, "follow", name)
	f, err := ReadFollow(dir)
	if err != nil {
		return choose.Tag{}, err
	}
	if err := askedFor(name, tag, f.Asked); err != nil {
		return choose.Tag{}, err
	}
	text, err := json.Marshal(f.Asked)
	if err != nil {
		return choose.Tag{}, err
	}
	return *f.Asked, os.WriteFile(filepath.Join(dir, YesFile), text, 0o600)
}

// askedFor refuses a yes to what nobody has asked for.
func askedFor(name, tag string, asked *choose.Tag) error {
	switch {
	case asked == nil:
		return exit.Usagef("%s: nothing is asked: a yes is needed for a tag that has moved, for going back, and for two tags that say the same", name)
	case tag != "" && tag != asked.Name:
		return exit.Usagef("%s: %s is asked for, and not %s: gapless accept %s %s", name, asked.Name, tag, name, asked.Name)
	}
	return nil
}
