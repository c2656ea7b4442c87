package proxy

import (
	"hash/fnv"
	"net/http"
	"strconv"

	"gapless.dev/gapless/internal/rollout"
)

// usersCookie is the cookie that says which version a user is on, while a step is a share of the users.
func (a *App) usersCookie() string { return "gapless-" + a.name }

// userOf is what the cookie of a user on a version says.
func userOf(v rollout.Version) string {
	h := fnv.New64a()
	_, _ = h.Write([]byte(v))
	return strconv.FormatUint(h.Sum64(), 36)
}

// matched tells whether a request goes to the route's To. A user whose first request this is goes where the share says.
func (a *App) matched(now *routing, r *http.Request) bool {
	m := now.route.Match
	switch {
	case now.to == nil || m == nil:
		return false
	case m.Users == 0:
		return matches(m, r)
	}
	if c, err := r.Cookie(a.usersCookie()); err == nil {
		if on, known := now.users[c.Value]; known {
			return on == now.to.version
		}
	}
	return now.share[a.user.Add(1)%uint64(len(now.share))] == 1
}

// keep gives a user the cookie of the version that answered, where users are to stay.
func (x *exchange) keep(r *http.Request, res *http.Response) {
	m := x.app.now.Load().route.Match
	if m == nil || m.Users == 0 {
		return
	}
	value := userOf(x.on.version)
	if c, err := r.Cookie(x.app.usersCookie()); err == nil && c.Value == value {
		return
	}
	c := http.Cookie{Name: x.app.usersCookie(), Value: value, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode}
	res.Header.Add("Set-Cookie", c.String())
}
