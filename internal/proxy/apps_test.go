package proxy

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"gapless.dev/gapless/internal/app"
	"gapless.dev/gapless/internal/rollout"
)

// serveTogether has apps share one port, each with a server that answers with the app's name and its version.
func serveTogether(t *testing.T, apps ...app.App) (p *Proxy, ask func(host, path string) string) {
	t.Helper()
	var err error
	for range 10 { // somebody else may take the port before we do
		l, free := net.Listen("tcp", "127.0.0.1:0")
		if free != nil {
			t.Fatal(free)
		}
		l.Close()
		for n := range apps {
			apps[n].Ports = []app.Port{{Name: "http", Public: l.Addr().(*net.TCPAddr).Port}}
		}
		if p, err = New("", apps); err == nil {
			break
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	serve(t, p)
	for _, a := range apps {
		for _, v := range []rollout.Version{"1", "2"} {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				fmt.Fprintf(w, "%s %s", a.Name, v)
			}))
			t.Cleanup(s.Close)
			p.App(a.Name).Add(v, s.URL, map[string]string{"http": s.Listener.Addr().String()})
		}
		p.App(a.Name).SetRoute(rollout.Route{Weights: rollout.Weights{"1": 100}})
	}
	return p, func(host, path string) string {
		t.Helper()
		req, err := http.NewRequest(http.MethodGet, "http://"+p.Ports()[0].Address+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = host
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		text := bodyOf(t, res)
		if res.StatusCode != 200 {
			return fmt.Sprint(res.StatusCode, " ", text)
		}
		return text
	}
}

func TestApps_ShareAPortByHostPathAndName(t *testing.T) {
	_, ask := serveTogether(t,
		app.App{Name: "shop", Route: app.Route{Host: "shop.example.com"}},
		app.App{Name: "users", Route: app.Route{Host: "shop.example.com", Path: "/v1/users"}},
	)
	for _, c := range []struct{ host, path, want string }{
		{"shop.example.com", "/", "shop 1"},
		{"SHOP.example.com:8080", "/v1/use", "shop 1"},
		{"shop.example.com", "/v1/users", "users 1"},
		{"shop.example.com", "/v1/users/7?x=/", "users 1"},
		{"shop.example.com", "/v1/usersX", "shop 1"},
		{"shop.localhost", "/v1/users", "shop 1"},
		{"users.localhost", "/", "users 1"},
		{"other.example.com", "/", `404 gapless: no app has a route for host "other.example.com"`},
	} {
		if got := ask(c.host, c.path); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s%s: %q, want %q", c.host, c.path, got, c.want)
		}
	}
}

func TestPreview_LeadsToWhatIsShownWhateverItsWeight(t *testing.T) {
	blueGreen := rollout.Plan{Strategy: rollout.BlueGreen}
	p, ask := serveTogether(t, app.App{Name: "shop", Route: app.Route{Host: "shop.example.com"}, Plan: blueGreen})
	const preview = "shop-preview.localhost"
	if got := ask(preview, "/"); !strings.HasPrefix(got, "404 gapless: shop has no candidate") {
		t.Errorf("of nothing: %q", got)
	}
	p.App("shop").Show("2")
	for range 4 {
		if got := ask(preview, "/any"); got != "shop 2" {
			t.Errorf("the preview: %q", got)
		}
		if got := ask("shop.localhost", "/"); got != "shop 1" {
			t.Errorf("the app: %q", got)
		}
	}
	p.App("shop").Show("3")
	if got := ask(preview, "/"); !strings.HasPrefix(got, "503 ") {
		t.Errorf("of a version without instances: %q", got)
	}
}

func TestPreview_LeavesANameToTheAppThatHasIt(t *testing.T) {
	blueGreen := rollout.Plan{Strategy: rollout.BlueGreen}
	shop := app.App{Name: "shop", Route: app.Route{Host: "shop.example.com"}, Plan: blueGreen}
	for _, other := range []app.App{
		{Name: "shop-preview", Route: app.Route{Host: "preview.example.com"}},
		{Name: "other", Route: app.Route{Host: "shop-preview.localhost"}},
	} {
		for _, apps := range [][]app.App{{shop, other}, {other, shop}} {
			p, ask := serveTogether(t, apps...)
			p.App("shop").Show("2")
			if got := ask("shop-preview.localhost", "/"); got != other.Name+" 1" {
				t.Errorf("%q, want %s", got, other.Name)
			}
		}
	}
}
