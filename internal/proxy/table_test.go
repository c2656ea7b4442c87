package proxy

import (
	"strings"
	"testing"

	"gapless.dev/gapless/internal/app"
)

func TestTable_PrefersTheHostThenTheLongestPath(t *testing.T) {
	var tb table
	for _, r := range []struct{ host, path, app string }{
		{"", "", "any"},
		{"", "/docs", "docs"},
		{"api.example.com", "", "api"},
		{"api.example.com", "/v1/users", "users"},
		{"api.example.com", "/v1/users/admin/", "admin"},
		{"users.localhost", "", "users"},
	} {
		if tb.add(r.host, r.path, target{app: &App{name: r.app}}) != nil {
			t.Fatalf("%+v is taken", r)
		}
	}
	for _, c := range []struct{ host, path, want string }{
		{"api.example.com", "/", "api"},
		{"API.example.com.:8443", "/v1/users", "users"},
		{"api.example.com", "/v1/users/7", "users"},
		{"api.example.com", "/v1/usersonly", "api"},
		{"api.example.com", "/v1/users/admin", "admin"},
		{"api.example.com", "/v1/users/admins", "users"},
		{"users.localhost:80", "/anything", "users"},
		{"other.example.com", "/docs/x", "docs"},
		{"[::1]:8080", "/", "any"},
	} {
		if got := tb.find(c.host, c.path); got == nil || got.app.name != c.want {
			t.Errorf("%s%s: %v, want %s", c.host, c.path, got, c.want)
		}
	}
	if other := tb.add("API.example.com", "/v1/users/", target{}); other == nil || other.app.name != "users" {
		t.Errorf("the same place was given twice")
	}
}

func TestNew_SharesAPortAndExplainsWhatCannotBeShared(t *testing.T) {
	one := app.App{Name: "one", Ports: []app.Port{{Name: "http", Public: freePort(t)}}, Route: app.Route{Path: "/one"}}
	two := app.App{Name: "two", Ports: one.Ports, Route: app.Route{Path: "/two"}}
	p, err := New("", []app.App{one, two})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New("", []app.App{one}); err == nil || !strings.Contains(err.Error(), "apps.one.ports.http: cannot listen on port") {
		t.Errorf("a taken port: %v", err)
	}
	p.closeListeners()
	two.Route = one.Route
	if _, err := New("", []app.App{one, two}); err == nil || !strings.Contains(err.Error(), `apps.two.route: host "" with path "/one"`) {
		t.Errorf("the same route: %v", err)
	}
	two.TLS = app.TLS{Cert: "none.pem", Key: "none.pem"}
	if _, err := New("", []app.App{two}); err == nil || !strings.Contains(err.Error(), "apps.two.tls") {
		t.Errorf("no certificate: %v", err)
	}
}

func TestSpread_IsEven(t *testing.T) {
	for _, c := range []struct {
		weights []int
		want    string
	}{
		{[]int{75, 25}, "0010"},
		{[]int{50, 50}, "01"},
		{[]int{100, 0}, "0"},
		{[]int{0, 0}, ""},
		{[]int{60, 20, 20}, "01020"},
	} {
		var got strings.Builder
		for _, n := range spread(c.weights) {
			got.WriteByte('0' + n)
		}
		if got.String() != c.want {
			t.Errorf("%v: %s, want %s", c.weights, got.String(), c.want)
		}
	}
}
