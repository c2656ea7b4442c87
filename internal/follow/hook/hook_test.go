package hook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func sum(body, secret string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(body))
	return hex.EncodeToString(mac.Sum(nil))
}

func TestReceiver_LooksOnlyForWhoKnowsTheSecret(t *testing.T) {
	const body, secret = `{"ref":"refs/tags/v2.0.0"}`, "s3cr3t"
	for name, c := range map[string]struct {
		method, path, body string
		header             [2]string
		code               int
		looks              bool
	}{
		"GitHub":              {"POST", "/hooks/shop/api", body, [2]string{"X-Hub-Signature-256", "sha256=" + sum(body, secret)}, 202, true},
		"Gitea":               {"POST", "/hooks/shop/api", body, [2]string{"X-Gitea-Signature", sum(body, secret)}, 202, true},
		"GitLab":              {"POST", "/hooks/shop/api", body, [2]string{"X-Gitlab-Token", secret}, 202, true},
		"another body":        {"POST", "/hooks/shop/api", body + " ", [2]string{"X-Hub-Signature-256", "sha256=" + sum(body, secret)}, 403, false},
		"another secret":      {"POST", "/hooks/shop/api", body, [2]string{"X-Hub-Signature-256", "sha256=" + sum(body, "other")}, 403, false},
		"another token":       {"POST", "/hooks/shop/api", body, [2]string{"X-Gitlab-Token", "other"}, 403, false},
		"no hex":              {"POST", "/hooks/shop/api", body, [2]string{"X-Hub-Signature-256", "sha256=zz"}, 403, false},
		"nothing":             {"POST", "/hooks/shop/api", body, [2]string{}, 403, false},
		"the secret is empty": {"POST", "/hooks/shop/open", body, [2]string{"X-Hub-Signature-256", "sha256=" + sum(body, "")}, 403, false},
		"no such app":         {"POST", "/hooks/shop/none", body, [2]string{"X-Hub-Signature-256", "sha256=" + sum(body, secret)}, 403, false},
		"GET":                 {"GET", "/hooks/shop/api", "", [2]string{}, 405, false},
		"elsewhere":           {"POST", "/metrics", body, [2]string{}, 404, false},
		"too long":            {"POST", "/hooks/shop/api", strings.Repeat("x", maxBody+1), [2]string{"X-Gitlab-Token", secret}, 413, false},
	} {
		looked := false
		h := &Receiver{
			Secret: func(_ *http.Request, name string) ([]byte, error) {
				switch name {
				case "shop/api":
					return []byte(secret), nil
				case "shop/open":
					return nil, nil
				}
				return nil, errors.New("none")
			},
			Look: func(*http.Request, string) error { looked = true; return nil },
		}
		r := httptest.NewRequest(c.method, c.path, strings.NewReader(c.body))
		if c.header[0] != "" {
			r.Header.Set(c.header[0], c.header[1])
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != c.code || looked != c.looks || strings.Contains(w.Body.String(), secret) {
			t.Errorf("%s: %d, looked %v: %s", name, w.Code, looked, w.Body)
		}
	}
}

func TestReceiver_IsNotHadToWork(t *testing.T) {
	now, asked, looks := time.Unix(0, 0), 0, 0
	h := &Receiver{
		Now:    func() time.Time { return now },
		Secret: func(*http.Request, string) ([]byte, error) { asked++; return []byte("s"), nil },
		Look:   func(*http.Request, string) error { looks++; return nil },
	}
	call := func() int {
		r := httptest.NewRequest(http.MethodPost, "/hooks/a", nil)
		r.Header.Set("X-Gitlab-Token", "s")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Code
	}
	for range 200 {
		call()
	}
	if looks != 1 || asked != tries {
		t.Errorf("200 calls at once: %d looks, the secret was read %d times", looks, asked)
	}
	now = now.Add(every)
	if code := call(); code != http.StatusAccepted || looks != 2 {
		t.Errorf("later: %d, %d looks", code, looks)
	}
}
