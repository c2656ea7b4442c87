package traefik

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"gapless.dev/gapless/internal/rollout"
	"gapless.dev/gapless/internal/traffic"
	"gapless.dev/gapless/internal/traffic/traffictest"
)

func TestMatchRule_SaysHeadersAndCookies(t *testing.T) {
	m := rollout.Match{Header: map[string]string{"X-Beta": "yes", "A": "b`c"}, Cookie: map[string]string{"group": "a.b"}}
	want := "Header(`A`, \"b`c\") && Header(`X-Beta`, `yes`) && HeaderRegexp(`Cookie`, `(^|;\\s*)group=a\\.b(;|$)`)"
	if got := matchRule(m, false); got != want {
		t.Errorf("\n%s\n%s", got, want)
	}
	if got := matchRule(m, true); !strings.Contains(got, "Headers(`X-Beta`") || !strings.Contains(got, "HeadersRegexp(") {
		t.Error(got)
	}
}

func TestCookiePattern_FindsOneCookieWithOneValue(t *testing.T) {
	p := regexp.MustCompile(cookiePattern("group", "a"))
	for cookie, want := range map[string]bool{
		"group=a": true, "x=1; group=a": true, "x=1;group=a; y=2": true, "group=ab": false, "mygroup=a": false, "x=group=a": false, "": false,
	} {
		if p.MatchString(cookie) != want {
			t.Errorf("%q: %v", cookie, !want)
		}
	}
}

func TestPriority_IsNeverTakenForUnset(t *testing.T) {
	for _, tt := range []struct{ set, above, want int64 }{{0, -1, 9}, {10, -1, 9}, {1, -1, -1}, {-1, 1, 1}, {5, 2, 7}} {
		route := map[string]any{"match": "0123456789"}
		if tt.set != 0 {
			route["priority"] = tt.set
		}
		if got := priority(route, tt.above); got != tt.want {
			t.Errorf("%d%+d: %d", tt.set, tt.above, got)
		}
	}
}

// rawdata is what Traefik tells of an IngressRoute demo that is divided with a weight.
func rawdata(theirs, twins int) configuration {
	text := `{"routers": {"shop-demo-0123456789abcdef0123@kubernetescrd": {"service": "shop-demo-0123456789abcdef0123", "status": "enabled"}},
	"services": {
	 "shop-demo-0123456789abcdef0123@kubernetescrd": {"weighted": {"services": [{"name": "shop-api-80", "weight": THEIRS}, {"name": "shop-api-candidate-80", "weight": TWINS}, {"name": "shop-web-80", "weight": 100}]}},
	 "shop-api-80@kubernetescrd": {"loadBalancer": {"servers": [{"url": "http://10.0.1.1:8080"}, {"url": "http://10.0.1.2:8080"}]}},
	 "shop-api-candidate-80@kubernetescrd": {"loadBalancer": {"servers": [{"url": "http://10.0.2.1:8080"}]}},
	 "shop-web-80@kubernetescrd": {"loadBalancer": {"servers": [{"url": "http://10.0.9.1:8080"}]}}}}`
	n := func(i int) string { b, _ := json.Marshal(i); return string(b) }
	var c configuration
	if err := json.Unmarshal([]byte(strings.NewReplacer("THEIRS", n(theirs), "TWINS", n(twins)).Replace(text)), &c); err != nil {
		panic(err)
	}
	return c
}

func TestDiffers_ComparesWhatReachesWhichPods(t *testing.T) {
	o := &unstructured.Unstructured{Object: map[string]any{}}
	o.SetName("demo")
	app := traffic.App{Namespace: "shop", Theirs: map[string]bool{"10.0.1.1": true, "10.0.1.2": true}, Twins: map[string]bool{"10.0.2.1": true}}
	routes := []string{"demo"}
	for _, tt := range []struct {
		name string
		c    configuration
		s    traffic.Split
		says string
	}{
		{"as told", rawdata(75, 25), traffic.Split{Twins: 25}, ""},
		{"users", rawdata(75, 25), traffic.Split{Match: &rollout.Match{Users: 25}}, ""},
		{"not yet", rawdata(99, 1), traffic.Split{Twins: 25}, "gives the candidate's Service 1 %, and is to give 25 %"},
		{"no route", configuration{}, traffic.Split{Twins: 25}, "it has no route of IngressRoute demo"},
		{"no route for the match", rawdata(1, 0), traffic.Split{Match: &rollout.Match{Header: map[string]string{"a": "b"}}}, "demo-gapless-match"},
	} {
		if got := tt.c.differs(routes, o, app, tt.s); (got == "") != (tt.says == "") || !strings.Contains(got, tt.says) {
			t.Errorf("%s: %q", tt.name, got)
		}
	}
}

func TestAcknowledge_WaitsForAnAnswerAndSaysSo(t *testing.T) {
	o := &unstructured.Unstructured{Object: map[string]any{}}
	o.SetName("demo")
	app := traffic.App{Namespace: "shop", Theirs: map[string]bool{"10.0.1.1": true, "10.0.1.2": true}, Twins: map[string]bool{"10.0.2.1": true}}
	answer := http.StatusOK
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/base/api/rawdata" {
			t.Errorf("asked for %s", r.URL.Path)
		}
		w.WriteHeader(answer)
		_ = json.NewEncoder(w).Encode(map[string]any{})
	}))
	k := IngressRoute{API: &API{URL: s.URL + "/base/"}}
	for _, tt := range []struct {
		status int
		says   string
	}{{200, "no route of IngressRoute demo"}, {404, "404 Not Found"}, {302, "302 Found"}} {
		answer = tt.status
		grade, waits, again := k.Acknowledge(t.Context(), o, app, traffic.Split{Twins: 25})
		if grade != rollout.NotYet || !strings.Contains(waits, tt.says) || again == 0 {
			t.Errorf("%d: %q %q %s", tt.status, grade, waits, again)
		}
	}
	s.Close()
	if grade, waits, _ := k.Acknowledge(t.Context(), o, app, traffic.Split{}); grade != rollout.NotYet || !strings.Contains(waits, "connection refused") {
		t.Errorf("%q %q", grade, waits)
	}
	if grade, _, _ := (IngressRoute{}).Acknowledge(t.Context(), o, app, traffic.Split{}); grade != rollout.Told {
		t.Errorf("without an API: %q", grade)
	}
}

func FuzzCookiePattern(f *testing.F) { traffictest.FuzzCookie(f, cookiePattern) }
