package proxy

import (
	"bufio"
	"net/http"
	"strings"
	"testing"

	"gapless.dev/gapless/internal/app"
	"gapless.dev/gapless/internal/rollout"
)

// Whatever a client writes into its request line, headers and cookies: it finds a version, it finds the candidate only by saying what the
// match asks for, and nothing breaks.
func FuzzRequest_FindsAVersionWhateverItSays(f *testing.F) {
	for _, head := range []string{
		"Host: api.localhost\r\n", "Host: api.localhost:8080\r\nX-Group: beta\r\n", "Host: API.localhost.\r\nCookie: group=beta\r\n",
		"Host: api.localhost\r\nCookie: a=1; group=\"beta\"; b=2\r\nCookie: group=beta\r\n", "Host: [::1]:80\r\nCookie: ;;=;group\r\n",
		"Host: \r\nX-Group:\r\n beta\r\n", "Host: a\r\nCookie: stay=x; gapless-api=3; gapless-api=y\r\n", "Host: a:b:c\r\nCookie: stay\x00=\xff\r\n",
	} {
		f.Add("/v1/users", head)
	}
	f.Add("//x/../%2e%2e/", "Host: x\r\n")
	f.Add("http://other/v1", "Host: x\r\n")
	f.Add("*", "Host: x\r\n")
	a := newApp(app.App{Name: "api", Route: app.Route{Sticky: "stay"}})
	defer a.close()
	for _, v := range []rollout.Version{"1", "2"} {
		a.Add(v, string(v), map[string]string{"http": "127.0.0.1:1"})
	}
	paths := &table{}
	paths.add("api.localhost", "/v1", target{app: a})
	paths.add("", "", target{app: a, preview: true})

	by := rollout.Route{Weights: rollout.Weights{"1": 100}, To: "2", Match: &rollout.Match{Header: map[string]string{"X-Group": "beta"}}}
	cookie, users := by, by
	cookie.Match = &rollout.Match{Cookie: map[string]string{"group": "beta"}}
	users.Match = &rollout.Match{Users: 30}
	f.Fuzz(func(t *testing.T, path, head string) {
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader("GET " + path + " HTTP/1.1\r\n" + head + "\r\n")))
		if err != nil {
			return // net/http refuses it before anybody sees it
		}
		here := paths.find(r.Host, r.URL.Path)
		if again := paths.find(strings.ToUpper(r.Host), r.URL.Path); here == nil && strings.HasPrefix(r.URL.Path, "/") || isASCII(r.Host) && again != here {
			t.Fatalf("host %q, path %q: %+v, in capitals %+v", r.Host, r.URL.Path, here, again)
		}
		for _, route := range []rollout.Route{by, cookie, users} {
			a.SetRoute(route)
			i := a.pick(r, nil, false)
			if i == nil {
				t.Fatal("no version for the request")
			}
			i.leave()
			if route.Match.Users == 0 && i.version == "2" && !strings.Contains(head, "beta") {
				t.Fatalf("%+v is seen in %q", *route.Match, head)
			}
			x := &exchange{app: a, on: i}
			if route.Match.Users > 0 {
				x.staysOn(t, r)
			}
		}
	})
}

// staysOn asks again with the cookie that the answer set.
func (x *exchange) staysOn(t *testing.T, r *http.Request) {
	res := &http.Response{Header: http.Header{}}
	x.keep(r, res)
	for _, c := range res.Cookies() {
		again := r.Clone(r.Context())
		again.Header.Set("Cookie", c.Name+"="+c.Value)
		i := x.app.pick(again, nil, false)
		i.leave()
		if i.version != x.on.version {
			t.Fatalf("a user of %s is sent to %s", x.on.version, i.version)
		}
	}
}

func isASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r > 127 }) < 0
}
