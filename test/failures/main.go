// Failures passes on what go test -v says, and adds to a file which tests failed and what each said last. In the output of stories told side by
// side that is hard to find, and whoever sees only the end of a log would not see it.
//
//	program.test -test.v | failures FILE
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"regexp"
	"slices"
	"strings"
)

const (
	reasons = 2   // of each test
	wide    = 300 // bytes of each reason
)

var (
	turn   = regexp.MustCompile(`^=== (?:RUN|CONT|NAME) +(\S+)`)
	ended  = regexp.MustCompile(`^ *--- (FAIL|PASS|SKIP): (\S+)`)
	said   = regexp.MustCompile(`^ +\S+\.go:\d+: `)
	raised = regexp.MustCompile(`^(panic: |fatal error: |WARNING: DATA RACE)`)
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("failures: ")
	if len(os.Args) != 2 {
		log.Fatal("usage: failures FILE")
	}
	f, err := os.OpenFile(os.Args[1], os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		log.Fatal(err)
	}
	if err := errors.Join(collect(os.Stdin, os.Stdout, f), f.Close()); err != nil {
		log.Fatal(err)
	}
}

// collect copies in to out, and writes each failed test without a failed part, with its last reasons. What a test says once it has said
// "what stands after the failure:" is none.
func collect(in io.Reader, out, failed io.Writer) error {
	last := map[string][]string{}
	standing := map[string]bool{}
	var names []string
	current, panicked := "", false
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadString('\n')
		if _, err := io.WriteString(out, line); err != nil {
			return err
		}
		text := strings.TrimRight(line, "\n")
		switch {
		case turn.MatchString(text):
			current = turn.FindStringSubmatch(text)[1]
		case ended.MatchString(text):
			if m := ended.FindStringSubmatch(text); m[1] == "FAIL" && !slices.Contains(names, m[2]) {
				names = append(names, m[2])
			}
		case raised.MatchString(text) && !panicked:
			panicked = true
			last[current] = append(last[current], text)
			if !slices.Contains(names, current) {
				names = append(names, current)
			}
		case said.MatchString(text) && strings.HasSuffix(text, "what stands after the failure:"):
			standing[current] = true
		case said.MatchString(text) && !standing[current]:
			last[current] = append(last[current], strings.TrimSpace(text))
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	for _, name := range names {
		if slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(n, name+"/") }) {
			continue
		}
		said := last[name]
		for i, s := range said {
			said[i] = s[:min(len(s), wide)]
		}
		said = said[max(0, len(said)-reasons):]
		if _, err := fmt.Fprintf(failed, "%s\n\t%s\n", name, strings.Join(said, "\n\t")); err != nil {
			return err
		}
	}
	return nil
}
