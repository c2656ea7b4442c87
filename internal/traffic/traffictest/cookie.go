package traffictest

import (
	"net/http"
	"regexp"
	"testing"
)

// FuzzCookie holds the pattern by which a router finds a cookie with a value in a Cookie header against what a browser would send.
func FuzzCookie(f *testing.F, pattern func(name, value string) string) {
	f.Add("group", "beta", "group", "beta")
	f.Add("group", "a.b", "group", "axb")
	f.Add("group", "a", "mygroup", "a")
	f.Add("group", "a", "x", "group=a")
	f.Add("a+", "(", "a", "((")
	f.Add("a", "", "b", "")
	f.Fuzz(func(t *testing.T, name, value, other, says string) {
		wanted, beside := cookieAsIs(name, value), cookieAsIs(other, says)
		if wanted == nil || beside == nil {
			return // no browser sends it so
		}
		p, err := regexp.Compile(pattern(name, value))
		if err != nil {
			t.Fatalf("%s=%s: %v", name, value, err)
		}
		for _, sent := range [][]*http.Cookie{{beside}, {wanted}, {wanted, beside}, {beside, wanted}, {beside, wanted, beside}} {
			r := &http.Request{Header: http.Header{}}
			has := false
			for _, c := range sent {
				r.AddCookie(c)
				has = has || c.Name == name && c.Value == value
			}
			if line := r.Header.Get("Cookie"); p.MatchString(line) != has {
				t.Fatalf("%s=%s in %q by %s: %v", name, value, line, p, !has)
			}
		}
	})
}

// cookieAsIs is a cookie that is sent as it is written, or nil.
func cookieAsIs(name, value string) *http.Cookie {
	c := &http.Cookie{Name: name, Value: value}
	r := &http.Request{Header: http.Header{}}
	r.AddCookie(c)
	if c.Valid() != nil || r.Header.Get("Cookie") != name+"="+value {
		return nil
	}
	return c
}
