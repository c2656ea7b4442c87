package load_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"gapless.dev/kit/load"
)

func ExampleRun() {
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set(load.VersionHeader, "1.0.0")
	}))
	defer service.Close()

	versions, losses := map[string]int{}, map[load.Class]int{}
	err := load.Run(context.Background(), load.Options{
		URL:  service.URL,
		Rate: 100,
		For:  200 * time.Millisecond,
		New:  0.5, // half of the requests on a connection of their own
	}, func(r load.Result) {
		if r.Class.Lost() {
			losses[r.Class]++
			return
		}
		versions[r.Version]++
	})
	fmt.Println(versions, losses, err)
	// Output: map[1.0.0:20] map[] <nil>
}
