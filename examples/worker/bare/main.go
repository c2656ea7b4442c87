// Command bare is the worker without kit: SIGTERM ends it with an item in its hands, which nobody does then.
package main

import (
	"cmp"
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"gapless.dev/gapless/examples/worker/queue"
)

func main() {
	q, err := queue.Open(cmp.Or(os.Getenv("QUEUE"), "/queue"))
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(q.Consume(context.Background(), func(text string) error {
		time.Sleep(300 * time.Millisecond)
		fmt.Println("did", text)
		return nil
	}))
}
