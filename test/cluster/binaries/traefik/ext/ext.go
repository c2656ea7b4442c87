// Package ext stands in for a module that Traefik's repository replaces by one of its folders, and that no proxy serves.
package ext

type (
	// HTTP extends nothing.
	HTTP struct{}
	// Router extends nothing.
	Router struct{}
)
