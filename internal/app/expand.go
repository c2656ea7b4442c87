package app

import (
	"strconv"
	"strings"

	"gapless.dev/gapless/internal/rollout"
)

// A Setting is what an instance is put into.
type Setting struct {
	Version rollout.Version
	// Ports that the instance listens on, by name.
	Ports map[string]int
	// Config is the folder with its config files.
	Config string
}

// Expand replaces {version}, {config}, {port} and {port.NAME} in a word of a command, a directory or a variable; {port} is the first.
func (a App) Expand(word string, s Setting) string {
	pairs := []string{"{version}", string(s.Version), "{config}", s.Config}
	for i, p := range a.Ports {
		n := strconv.Itoa(s.Ports[p.Name])
		if i == 0 {
			pairs = append(pairs, "{port}", n)
		}
		pairs = append(pairs, "{port."+p.Name+"}", n)
	}
	return strings.NewReplacer(pairs...).Replace(word)
}
