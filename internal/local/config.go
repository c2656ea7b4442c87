package local

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

const envConfig = "GAPLESS_CONFIG"

// configDir is the folder with a template's config files. It is named after what they hold, so that each version finds its own;
// "" where there are none.
func (s *service) configDir(t template) string {
	if len(t.Config) == 0 {
		return ""
	}
	text, err := json.Marshal(t.Config)
	if err != nil {
		return ""
	}
	return filepath.Join(s.dir, "config", hash(string(text)))
}

// pruneConfig removes the folders that no template and no instance leads to. The lock is held.
func (s *service) pruneConfig() {
	used := map[string]bool{}
	for _, t := range s.book.Templates {
		used[s.configDir(t)] = true
	}
	for _, in := range s.sets {
		for _, i := range in.all {
			used[s.configDir(i.plate)] = true
		}
	}
	dirs, _ := filepath.Glob(filepath.Join(s.dir, "config", "*"))
	for _, dir := range dirs {
		if !used[dir] {
			_ = os.RemoveAll(dir)
		}
	}
}

// writeConfig makes the folder with a template's config files, for its owner only. A folder that is there is whole.
func (s *service) writeConfig(t template) error {
	dir := s.configDir(t)
	if dir == "" {
		return nil
	}
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return err
	}
	making, err := os.MkdirTemp(filepath.Dir(dir), ".making-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(making)
	for _, f := range t.Config {
		if err := os.WriteFile(filepath.Join(making, f.Name), []byte(f.Text), 0o600); err != nil {
			return fmt.Errorf("config.%s: %w", f.Name, err)
		}
	}
	if err := os.Rename(making, dir); err != nil {
		if _, there := os.Stat(dir); there == nil {
			return nil // another instance made it meanwhile
		}
		return err
	}
	return nil
}
