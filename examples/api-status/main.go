// Command api-status is the service of the demo: it says which version it is, and can be told to be unwell.
package main

import (
	"os"

	"gapless.dev/gapless/examples/api-status/apistatus"
)

// version is set when the program is built: go build -ldflags "-X main.version=2.0.0".
var version = "1.0.0"

func main() {
	os.Exit(apistatus.Main(version, os.Args[1:], serveGRPC))
}
