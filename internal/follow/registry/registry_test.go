package registry

import (
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"gapless.dev/gapless/internal/follow/choose"
	"gapless.dev/gapless/internal/follow/followtest"
)

func TestDigest_IsTheRegistrysOwn(t *testing.T) {
	s := followtest.Serve(t, "127.0.0.1:0")
	image := s.Image("api") + ":2.0.0"
	if _, err := (Registry{}).Digest(t.Context(), image); choose.ReasonOf(err) != choose.NoImage || !strings.Contains(err.Error(), "does not exist yet") {
		t.Errorf("before: %v", err)
	}
	want := s.PushImage(image, map[string][]byte{"api": []byte("program")}, "/api")
	if got, err := (Registry{}).Digest(t.Context(), image); err != nil || got != want {
		t.Errorf("got %q %v, want %q", got, err, want)
	}
	again := s.PushImage(image, map[string][]byte{"api": []byte("another program")}, "/api")
	if got, _ := (Registry{}).Digest(t.Context(), image); got != again || again == want {
		t.Errorf("after it moved: %q, want %q", got, again)
	}
}

const password = "s3cr3t-Passw0rd"

func TestDigest_SaysWhatIsWrongAndShowsNoPassword(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	server := func(f http.HandlerFunc) string {
		h := httptest.NewServer(f)
		t.Cleanup(h.Close)
		return strings.TrimPrefix(h.URL, "http://")
	}
	v2 := func(f http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/v2/" {
				f(w, r)
			}
		}
	}
	for name, c := range map[string]struct {
		host   string
		reason choose.Reason
		says   string
	}{
		"nobody there": {closed.Addr().String(), choose.Unreachable, "nobody answers"},
		"denied":       {server(v2(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, password, http.StatusUnauthorized) })), choose.Denied, "does not show"},
		"forbidden":    {server(v2(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, password, http.StatusForbidden) })), choose.Denied, "does not show"},
		"broken":       {server(v2(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, password, 500) })), choose.Unreachable, "answers 500"},
		"no registry":  {server(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, password) }), choose.Refused, "is no image"},
		"endless": {server(v2(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
			for r.Method == http.MethodGet {
				if _, err := w.Write(make([]byte, 1<<16)); err != nil {
					return
				}
			}
		})), choose.Refused, "more than is read"},
	} {
		auth := base64.StdEncoding.EncodeToString([]byte("robot:" + password))
		r := Registry{DockerConfig: fmt.Appendf(nil, `{"auths":{"http://%s":{"auth":%q}}}`, c.host, auth)}
		digest, err := r.Digest(t.Context(), c.host+"/api:1.0.0")
		if err == nil || digest != "" || choose.ReasonOf(err) != c.reason || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %q, %s: %v", name, digest, choose.ReasonOf(err), err)
		}
		if err != nil && (strings.Contains(err.Error(), password) || strings.Contains(err.Error(), auth)) {
			t.Errorf("%s: the error shows the password: %v", name, err)
		}
	}
	if _, err := (Registry{DockerConfig: []byte(password)}).Digest(t.Context(), "example.org/api:1"); choose.ReasonOf(err) != choose.Denied || strings.Contains(err.Error(), password) {
		t.Errorf("got %v", err)
	}
}

func TestDigest_GivesTheCredentialsOfThatRegistryOnly(t *testing.T) {
	var got []string
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, pass, _ := r.BasicAuth()
		got = append(got, user+":"+pass)
		w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
		http.Error(w, "", http.StatusUnauthorized)
	}))
	defer h.Close()
	host := strings.TrimPrefix(h.URL, "http://")
	for config, want := range map[string]bool{
		fmt.Sprintf(`{"auths":{%q:{"username":"robot","password":%q}}}`, host, password):  true,
		fmt.Sprintf(`{"auths":{"ghcr.io":{"username":"robot","password":%q}}}`, password): false,
	} {
		got = nil
		_, _ = Registry{DockerConfig: []byte(config)}.Digest(t.Context(), host+"/api:1.0.0")
		if sent := strings.Contains(strings.Join(got, " "), password); sent != want {
			t.Errorf("%s: sent %v: %v", config, sent, got)
		}
	}
}

func TestCheck_WantsATag(t *testing.T) {
	for image, ok := range map[string]bool{
		"registry.example.org/api:2.0.0": true, "registry.example.org/api": false, "registry.example.org/API:1": false, "": false,
		"registry.example.org/api:2.0.0+b": false, "registry.example.org/api@sha256:" + strings.Repeat("a", 64): false,
	} {
		if err := (Registry{}).Check(image); (err == nil) != ok {
			t.Errorf("%q: %v", image, err)
		}
	}
}
