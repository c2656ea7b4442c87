package kittest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"time"

	"gapless.dev/kit/load"
)

var z17Workers = Rule{
	ID: "Z17", Needs: []string{"Z3", "Z1"},
	Title: "consumers and timers start nothing after SIGTERM, and finish or hand back what they are at",
	Why:   "an item that is taken and not finished is lost, or done twice",
	Fix:   "run them by kit's Go: their context ends when the drain starts, and they are waited for",
	How:   "by the service's log: a line with work=begin id=7 for what is taken, work=end id=7 or work=back id=7 for what is done or handed back; as fields of JSON lines, too",
	Run:   everyStop(judgeWork),
}

// workLine is the log contract: the words in any line, as logfmt or JSON.
var (
	workWord = regexp.MustCompile(`\bwork"?[=:]\s*"?(begin|end|back)\b`)
	workID   = regexp.MustCompile(`\bid"?[=:]\s*"?([^\s",}]+)`)
)

func judgeWork(_ *Session, e *episode) Result {
	open := make(map[string]time.Time)
	var late []string
	items := 0
	for _, line := range e.lines {
		word, id := workWord.FindStringSubmatch(line.Text), workID.FindStringSubmatch(line.Text)
		if word == nil || id == nil {
			continue
		}
		if word[1] != "begin" {
			delete(open, id[1])
			continue
		}
		items++
		open[id[1]] = line.At
		if line.At.After(e.stopped.Add(e.slack)) {
			late = append(late, fmt.Sprintf("%s: began item %s", e.after(line.At), id[1]))
		}
	}
	switch {
	case items == 0:
		return skip("not judged: the service writes no lines work=begin id=...")
	case len(late) > 0:
		return fail(late, "%d items of work were begun after SIGTERM", len(late))
	case len(open) > 0:
		var left []string
		for id, at := range open {
			left = append(left, fmt.Sprintf("%s: began item %s, and nothing says that it was finished or handed back", e.after(at), id))
		}
		slices.Sort(left)
		return fail(left, "%d of %d items of work were neither finished nor handed back", len(open), items)
	}
	return pass("%d items of work, all finished or handed back, none begun after SIGTERM", items)
}

var z18Dependencies = Rule{
	ID: "Z18", Must: true, Needs: []string{"Z3", "Z1"},
	Title: "dependencies stay usable until the last request has ended",
	Why:   "a request in flight that finds the database closed fails as surely as one that was cut",
	Fix:   "close in reverse order of need, after requests in flight (kit: OnStop)",
	How:   "a slow request that needs a dependency at its end is under way at SIGTERM",
	Run: everyStop(func(s *Session, e *episode) Result {
		if s.Spec.DependPath == "" {
			return skip("not judged: no path is named that takes long and then uses a dependency (Spec.DependPath, check --depends)")
		}
		if r := e.depend; r.err != nil || r.status >= 400 {
			return fail([]string{fmt.Sprintf("begun %s, ended %s: %v", e.after(r.began), e.after(r.ended), r)},
				"a request in flight did not find its dependency usable")
		}
		return pass("a request of %v found its dependency usable at %s", e.depend.lasts, e.after(e.depend.ended))
	}),
}

var z19ExactlyOnce = Rule{
	ID: "Z19", Needs: []string{"Z3", "Z1"},
	Title: "what the service did equals what its clients were told",
	Why:   "a retried request that had been carried out is carried out twice",
	Fix:   "idempotency keys; retry only what is known not to have begun",
	How:   "POST requests are sent until the drain is nearly over, and the service is asked how many it carried out",
	Run: func(ctx context.Context, s *Session) Result {
		if s.Spec.CountPath == "" {
			return skip("not judged: no path is named that says how many POST were carried out (Spec.CountPath, check --count)")
		}
		if s.Spec.ReadOnly {
			return skip("not judged: no POST is to be sent")
		}
		return s.fairly(ctx, func() (result Result) {
			err := s.useReady(ctx, func(ctx context.Context, in Instance) (err error) {
				s.doing("stop under POST requests that are counted")
				result, err = s.countEffects(ctx, in)
				return err
			})
			if err != nil {
				return fail(nil, "%v", err)
			}
			return result
		})
	},
}

func (s *Session) countEffects(ctx context.Context, in Instance) (Result, error) {
	before, err := s.count(ctx, in.Addr())
	if err != nil {
		return Result{}, err
	}
	var told, unknown int
	loading, stop := context.WithCancel(ctx)
	defer stop()
	var loads sync.WaitGroup
	opts := load.Options{URL: "http://" + in.Addr() + s.Spec.Path, Rate: s.Spec.Rate, New: 0.5, Post: 1}
	loads.Go(func() {
		err = load.Run(loading, opts, func(r load.Result) {
			switch r.Class {
			case load.Answered:
				told++
			case load.Refused, load.ConnectTimeout, load.Overload, load.Unprocessed:
			default:
				unknown++ // it may have been carried out
			}
		})
	})
	pause(ctx, time.Second)
	stopped := time.Now().Add(s.Spec.hook())
	if err := terminate(in); err != nil {
		return Result{}, err
	}
	pause(ctx, time.Until(stopped.Add(s.Spec.drain()/2)))
	stop()
	loads.Wait()
	if err != nil {
		return Result{}, err
	}
	after, err := s.count(ctx, in.Addr())
	if err != nil {
		return skip("not judged: the count could not be asked for in the drain: %v", err), ctx.Err()
	}
	did := after - before
	if did < told || did > told+unknown {
		return fail(nil, "%d POST were carried out; clients were told so of %d, and do not know of %d", did, told, unknown), nil
	}
	return pass("%d POST were carried out; clients were told so of %d, and do not know of %d", did, told, unknown), nil
}

var number = regexp.MustCompile(`\d+`)

// count asks how many POST were carried out: the first number in the answer.
func (s *Session) count(ctx context.Context, addr string) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+s.Spec.CountPath, nil)
	if err != nil {
		return 0, err
	}
	resp, err := once(3 * patience).Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(number.FindString(string(text)))
	if err != nil || resp.StatusCode != http.StatusOK {
		return 0, errors.Join(fmt.Errorf("GET %s: status %d, and no number in %.60q", s.Spec.CountPath, resp.StatusCode, text))
	}
	return n, nil
}
