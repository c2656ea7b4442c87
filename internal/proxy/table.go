package proxy

import (
	"net"
	"slices"
	"strings"
)

// A table finds the app of a request: exact host before any host, then the longest path.
type table struct {
	byHost map[string][]entry // "" is any host
}

type entry struct {
	path string // "" or "/a/b", no slash at the end
	target
}

type target struct {
	app  *App
	port string // the name under which the app's instances know it
	// preview leads to the version that is shown to whoever asks for it by that name.
	preview bool
}

// add returns the target that has the place already, if any.
func (t *table) add(host, path string, to target) *target {
	if t.byHost == nil {
		t.byHost = map[string][]entry{}
	}
	host, path = plainHost(host), strings.TrimRight(path, "/")
	list := t.byHost[host]
	for i := range list {
		if list[i].path == path {
			return &list[i].target
		}
	}
	list = append(list, entry{path, to})
	slices.SortStableFunc(list, func(a, b entry) int { return len(b.path) - len(a.path) })
	t.byHost[host] = list
	return nil
}

// has tells whether anything is found under a host's own name.
func (t *table) has(host string) bool { return len(t.byHost[plainHost(host)]) > 0 }

func (t *table) find(host, path string) *target {
	if found := longest(t.byHost[plainHost(host)], path); found != nil {
		return found
	}
	return longest(t.byHost[""], path)
}

func longest(list []entry, path string) *target {
	for i := range list {
		if under(path, list[i].path) {
			return &list[i].target
		}
	}
	return nil
}

// under tells whether path is prefix or below it: /v1/users is not below /v1/use.
func under(path, prefix string) bool {
	return strings.HasPrefix(path, prefix) && (len(path) == len(prefix) || path[len(prefix)] == '/')
}

// plainHost is a host without port, in lower case, without the dot that makes a name absolute.
func plainHost(host string) string {
	if strings.IndexByte(host, ':') >= 0 {
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}
