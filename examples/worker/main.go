// Command worker takes items from a queue and can be replaced without loss: asked to stop, it takes no more, finishes the one at hand
// and ends. It serves nothing but its health.
//
//	worker ready    exits with 0 while the worker of this container is ready: for an exec probe in an image without a shell
package main

import (
	"cmp"
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"gapless.dev/gapless/examples/worker/queue"
	"gapless.dev/kit"
)

func main() {
	readyFile := cmp.Or(os.Getenv("GAPLESS_READY_FILE"), "/tmp/ready")
	if len(os.Args) > 1 && os.Args[1] == "ready" {
		if _, err := os.Stat(readyFile); err != nil {
			log.Fatal(err)
		}
		return
	}
	q, err := queue.Open(cmp.Or(os.Getenv("QUEUE"), "/queue"))
	if err != nil {
		log.Fatal(err)
	}
	svc := kit.New()
	svc.Health(":8081")
	svc.Go("consumer", func(ctx context.Context) error { return q.Consume(ctx, work) })
	os.Exit(svc.Run(context.Background()))
}

// work takes its time.
func work(text string) error {
	time.Sleep(300 * time.Millisecond)
	fmt.Println("did", text)
	return nil
}
