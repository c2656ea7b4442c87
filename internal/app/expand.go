package app

import (
	"strconv"
	"strings"

	"gapless.dev/gapless/internal/rollout"
)

// Expand replaces {version}, {port} and {port.NAME} in a word of a command, a directory or a variable. Ports are the loopback
// ports of one process by name, in the order of the app's ports; {port} is the first.
func (a App) Expand(word string, v rollout.Version, ports map[string]int) string {
	pairs := []string{"{version}", string(v)}
	for i, p := range a.Ports {
		n := strconv.Itoa(ports[p.Name])
		if i == 0 {
			pairs = append(pairs, "{port}", n)
		}
		pairs = append(pairs, "{port."+p.Name+"}", n)
	}
	return strings.NewReplacer(pairs...).Replace(word)
}
