package app

import (
	"slices"
	"strings"
)

// habits are the words that people bring from Kubernetes and Compose, and what they are called here.
var habits = map[string]string{
	"cmd":                           "it is called command",
	"args":                          "write the arguments into command, each as a word",
	"entrypoint":                    "it is called command",
	"environment":                   "it is called env",
	"workingDir":                    "it is called dir",
	"working_dir":                   "it is called dir",
	"readinessProbe":                "write it as health: {ready: /path}",
	"livenessProbe":                 "write it as health: {live: /path}",
	"startupProbe":                  "write it as health: {startup: 60s}",
	"terminationGracePeriodSeconds": "write it as stop: {grace: 30s}",
	"progressDeadlineSeconds":       "write it as deadline: 10m",
	"initialDelaySeconds":           "it is called initialDelay, with a unit: 5s",
	"periodSeconds":                 "it is called period, with a unit: 1s",
	"timeoutSeconds":                "it is called timeout, with a unit: 1s",
	"httpGet":                       "write path, port and headers without it",
	"sidecars":                      "they are called helpers",
	"autoscale":                     "write it as replicas: {min: 2, max: 10}",
	"depends_on":                    "it is called after",
	"dependsOn":                     "it is called after",
	"requests":                      "write cpu and memory straight into resources",
	"setWeight":                     "it is called weight",
}

// suggestion is the way out of an unknown word.
func suggestion(word string, known []string) string {
	if fix, ok := habits[word]; ok {
		return fix
	}
	if n := nearest(word, known); n != "" {
		return "did you mean " + n + "?"
	}
	sorted := slices.Sorted(slices.Values(known))
	return "known here: " + strings.Join(sorted, ", ")
}

// nearest is the known word that is the fewest slips of a finger away, or empty when all are too far to be meant.
func nearest(word string, known []string) string {
	if len(word) > 64 {
		return ""
	}
	best, least := "", 1+max(1, len(word)/3)
	for _, k := range known {
		if d := distance(strings.ToLower(word), strings.ToLower(k)); d < least {
			best, least = k, d
		}
	}
	return best
}

// distance counts the letters to add, drop, change or swap with a neighbour.
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
