package proxy

import (
	"fmt"
	"net/http"
	"testing"

	"gapless.dev/gapless/internal/app"
	"gapless.dev/gapless/internal/rollout"
)

func TestUsers_StayWhereTheirFirstRequestWent(t *testing.T) {
	w := newWorld(t, app.App{})
	for _, v := range []rollout.Version{"1", "2"} {
		w.add(v, func(rw http.ResponseWriter, _ *http.Request) { fmt.Fprint(rw, v) })
	}
	share := func(n int) {
		w.a.SetRoute(rollout.Route{Weights: rollout.Weights{"1": 100}, To: "2", Match: &rollout.Match{Users: n}})
	}
	type user struct {
		on     string
		cookie *http.Cookie
	}
	var users []user
	arrive := func(n int) int {
		candidate := 0
		for range n {
			res, on := w.do("GET", "/", nil)
			if len(res.Cookies()) != 1 || !res.Cookies()[0].HttpOnly {
				t.Fatalf("cookies %v", res.Cookies())
			}
			users = append(users, user{on, res.Cookies()[0]})
			if on == "2" {
				candidate++
			}
		}
		return candidate
	}
	stay := func() {
		t.Helper()
		for _, u := range users {
			if res, on := w.do("GET", "/", func(r *http.Request) { r.AddCookie(u.cookie) }); on != u.on || len(res.Cookies()) > 0 {
				t.Fatalf("a user was on %s and is on %s; cookies %v", u.on, on, res.Cookies())
			}
		}
	}
	share(20)
	if n := arrive(50); n != 10 {
		t.Errorf("%d of 50 new users are on the candidate at 20 %%", n)
	}
	stay()
	share(50)
	stay() // nobody is moved; new ones come in at the new share
	if n := arrive(50); n != 25 {
		t.Errorf("%d of 50 new users are on the candidate at 50 %%", n)
	}
	stay()

	w.route(rollout.Weights{"2": 100})
	for _, u := range users[:5] {
		if _, on := w.do("GET", "/", func(r *http.Request) { r.AddCookie(u.cookie) }); on != "2" {
			t.Errorf("on %s when 2 has all", on)
		}
	}
	share(20)
	if res, _ := w.do("GET", "/", func(r *http.Request) { r.AddCookie(&http.Cookie{Name: "gapless-" + w.a.name, Value: "nonsense"}) }); len(res.Cookies()) != 1 {
		t.Error("a cookie that says nothing was kept")
	}
}
