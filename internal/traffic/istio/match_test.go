package istio

import (
	"testing"

	"gapless.dev/gapless/internal/traffic/traffictest"
)

// Istio's expressions are about the whole of a header.
func FuzzCookiePattern(f *testing.F) {
	traffictest.FuzzCookie(f, func(name, value string) string { return "^(?:" + cookiePattern(name, value) + ")$" })
}
