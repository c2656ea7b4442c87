// Broken is a service that does one thing wrong, to see what gapless check
// says of it.
//
//	gapless check -- broken -fault z5
package main

import (
	"flag"
	"fmt"
	"os"

	"gapless.dev/kit/kittest/faulty"
)

func main() {
	name := flag.String("fault", "good", "what it does wrong: good, z1 to z22, talk, shutdown, deaf or wait")
	list := flag.Bool("list", false, "list them")
	flag.Parse()
	if *list {
		for _, f := range faulty.Faults() {
			fmt.Printf("%-9s %-4s %s\n", f.Name, f.Rule, f.What)
		}
		return
	}
	fault, err := faulty.Find(*name)
	if err != nil {
		fmt.Fprintln(os.Stderr, "broken:", err)
		os.Exit(2)
	}
	os.Exit(fault.Serve())
}
