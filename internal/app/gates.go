package app

import (
	"regexp"
	"strings"
	"time"

	"gapless.dev/gapless/internal/gate/spec"
	"gapless.dev/gapless/internal/rollout"
)

var (
	gateName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$`)
	fileName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)
	hourText = regexp.MustCompile(`^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$`)
	dayText  = regexp.MustCompile(`^[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2})?$`)
	urlText  = regexp.MustCompile(`^https?://[^/@]+`)
)

var days = []string{"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"}

var gateShape = shape{
	opt("name", "Tells the gate from the others.", "its kind", textLike(gateName)),
	opt("at", "When it is asked.", "step for measures in a canary, beforePromotion for webhook and job, beforeStart for a window", listOf(oneOf("beforeStart", "step", "beforePromotion", "afterPromotion"))),
	opt("deadline", "How long it may be undecided while the rollout waits for nothing but gates; 0s: for ever.", "5m, and 0s for a window", aDuration()),
	opt("inconclusive", "What becomes of the rollout when it is not decided: abort, or pause until somebody promotes or aborts.", "abort", oneOf("abort", "pause")),
	opt("dryRun", "The gate only reports.", "false", aFlag()),
	opt("probe", "Asks the instances of both versions themselves, and the address that clients use, and compares losses and latency. {} is whole.", "", orNothing(fieldsOf("probe", probeShape))),
	opt("prometheus", "Judges numbers of a Prometheus: a query against bounds, or counters of both versions against each other.", "", fieldsOf("prometheus", prometheusShape)),
	opt("webhook", "Asks a URL.", "", fieldsOf("webhook", webhookShape)),
	opt("job", "Runs something to its end; what ends well passes.", "", fieldsOf("job", jobShape)),
	opt("window", "Is open at some hours only.", "", orNothing(fieldsOf("window", windowShape))),
}

var probeShape = shape{
	opt("path", "Asked for.", "that of health.ready, or /", textLike(pathText)),
	opt("rate", "Requests a second in all.", "10", wholeFrom(1, 1000)),
	opt("post", "The share of POST requests, in percent.", "0", wholeFrom(0, 100)),
	opt("timeout", "Of one request.", "2s", aDuration()),
	opt("slow", "From where on an answer is slow.", "half as much again as stable's usual answer takes", aDuration()),
	opt("tolerance", "By how many percentage points the candidate's share of lost requests may be above stable's.", "5", aNumber()),
	opt("header", "Sent with each request.", "", namesOf(orNothing(anyText()))),
}

var prometheusShape = shape{
	must("url", "The server, such as http://127.0.0.1:9090.", textLike(urlText)),
	opt("every", "How often it is asked. Make it the scrape interval of what is compared.", "5s", aDuration()),
	opt("timeout", "Of one query.", "5s", aDuration()),
	opt("token", "The file with a bearer token, in the folder of keys.", "", textLike(fileName)),
	opt("query", "Its value must lie within min and max. {{version}} and {{app}} are the candidate's, {{stable.version}} is stable's. No data is no success.", "", anyText()),
	opt("max", "The highest value that is good.", "", aNumber()),
	opt("min", "The lowest.", "", aNumber()),
	opt("over", "All values of so long are judged.", "the newest one", aDuration()),
	opt("failures", "So many looks in a row out of bounds are a failure.", "2", wholeFrom(1, 100)),
	opt("bad", "A query of counters of the requests that speak against a version, asked for either version with its own {{version}}.", "", anyText()),
	opt("total", "The same of all its requests.", "", anyText()),
	opt("tolerance", "By how many percentage points the candidate's share of bad requests may be above stable's.", "1", aNumber()),
	opt("warmup", "How long the candidate's requests are not counted at first.", "0s", aDuration()),
}

var webhookShape = shape{
	must("url", "Where the question is posted to.", textLike(urlText)),
	opt("timeout", "Of one try.", "10s", aDuration()),
	opt("retries", "Of a try that got no answer.", "3", wholeFrom(0, 10)),
	opt("every", "How often one that says wait is asked again.", "10s", aDuration()),
	opt("key", "The file with the key that requests are signed with, in the folder of keys.", "not signed", textLike(fileName)),
	opt("header", "Sent with each request.", "", namesOf(orNothing(anyText()))),
}

var jobShape = shape{
	opt("command", "The program and its arguments, on one machine.", "", words()),
	opt("from", "The CronJob that the Job is made of, on a cluster.", "", textLike(subdomain)),
	opt("timeout", "When it is ended and has failed.", "5m", aDuration()),
}

var windowShape = shape{
	opt("zone", "Of all times, such as Europe/Berlin.", "UTC", anyText()),
	opt("allow", "Hours of days.", "always", listOf(fieldsOf("hours", hoursShape))),
	opt("freeze", "Periods in which no rollout begins, whatever allow says.", "", listOf(fieldsOf("freeze", freezeShape))),
}

var hoursShape = shape{
	opt("days", "Of the week.", "each", listOf(oneOf(days...))),
	opt("from", "Such as 09:00.", "", textLike(hourText)),
	opt("to", "Such as 17:00; before from it means past midnight.", "", textLike(hourText)),
}

var freezeShape = shape{
	must("from", "Such as 2026-12-20 or 2026-12-20T18:00.", textLike(dayText)),
	must("to", "The same. A day at the end is in it.", textLike(dayText)),
	opt("why", "Told to whoever waits.", "", anyText()),
}

func gates(o object, p rollout.Plan) []spec.Gate {
	list, ok := o.get("gates")
	if !ok {
		return nil
	}
	var all []spec.Gate
	var at []value
	for _, item := range list.items() {
		all, at = append(all, oneGate(item)), append(at, item)
	}
	if len(all) > 16 {
		list.wrong("more than 16 gates stand in the list", "take some out")
		return nil
	}
	before := len(o.p.problems.List)
	all = spec.All(all, p.Strategy)
	seen := map[string]bool{}
	for i, g := range all {
		if seen[g.Name] {
			at[i].wrong("another gate is called "+g.Name, "give each a name of its own")
		}
		seen[g.Name] = true
		tellGate(at[i], spec.Validate([]spec.Gate{g}))
	}
	p.Gates = spec.Planned(all)
	if err := p.Validate(); err != nil && len(o.p.problems.List) == before {
		tellGate(list, err)
	}
	if len(o.p.problems.List) > before {
		return nil
	}
	return all
}

// tellGate puts what is wrong with gates into the words of a file.
func tellGate(v value, err error) {
	if err == nil {
		return
	}
	v.node = nil // the whole of it is not what is wrong
	for _, one := range strings.Split(err.Error(), "\n") {
		for _, kind := range []error{spec.ErrGate, rollout.ErrPlan} {
			one = strings.TrimPrefix(one, kind.Error()+": ")
		}
		what, fix, found := strings.Cut(one, ": ")
		if !found {
			what, fix, found = strings.Cut(one, "; ")
		}
		if !found {
			fix = "see docs/reference/app-file.md"
		}
		v.wrong(strings.TrimPrefix(strings.TrimPrefix(what, "gates[0]."), "gates"), fix)
	}
}

func oneGate(v value) spec.Gate {
	o := v.object(gateShape)
	g := spec.Gate{Name: o.like("name", gateName, "is not the name of a gate", "use a to z, 0 to 9 and -, at most 40")}
	if f, ok := o.get("at"); ok {
		for _, item := range f.items() {
			if m, ok := item.oneOf("beforeStart", "step", "beforePromotion", "afterPromotion"); ok {
				g.At = append(g.At, rollout.Moment(m))
			}
		}
	}
	if f, ok := o.get("deadline"); ok {
		if d, ok := f.duration(); ok {
			g.Deadline = &d
		}
	}
	if f, ok := o.get("inconclusive"); ok {
		word, _ := f.oneOf("abort", "pause")
		g.Hold = word == "pause"
	}
	if f, ok := o.get("dryRun"); ok {
		g.DryRun, _ = f.flag()
	}
	// "probe:" with nothing behind it is whole, too.
	if f, ok := o.fields["probe"]; ok {
		g.Probe = probeGate(f.object(probeShape))
	}
	if f, ok := o.fields["prometheus"]; ok {
		g.Prometheus = prometheusGate(f.object(prometheusShape))
	}
	if f, ok := o.fields["webhook"]; ok {
		g.Webhook = webhookGate(f.object(webhookShape))
	}
	if f, ok := o.fields["job"]; ok {
		j := f.object(jobShape)
		g.Job = &spec.Job{Command: j.words("command"), From: j.text("from", ""), Timeout: j.duration("timeout", 0)}
	}
	if f, ok := o.fields["window"]; ok {
		g.Window = windowGate(f.object(windowShape))
	}
	return g
}

func probeGate(o object) *spec.Probe {
	p := &spec.Probe{
		Path: o.text("path", ""), Rate: float64(o.whole("rate", 0)), Post: float64(o.whole("post", 0)) / 100,
		Timeout: o.duration("timeout", 0), Slow: o.duration("slow", 0), Tolerance: o.percent("tolerance"),
	}
	p.Header, _ = o.texts("header")
	return p
}

func prometheusGate(o object) *spec.Prometheus {
	return &spec.Prometheus{
		URL: o.text("url", ""), Every: o.duration("every", 0), Timeout: o.duration("timeout", 0), Token: o.text("token", ""),
		Query: o.text("query", ""), Max: o.bound("max"), Min: o.bound("min"), Over: o.duration("over", 0), Failures: o.whole("failures", 0),
		Bad: o.text("bad", ""), Total: o.text("total", ""), Tolerance: o.percent("tolerance"), Warmup: o.duration("warmup", time.Duration(0)),
	}
}

func webhookGate(o object) *spec.Webhook {
	w := &spec.Webhook{URL: o.text("url", ""), Timeout: o.duration("timeout", 0), Every: o.duration("every", 0), Key: o.text("key", "")}
	if f, ok := o.get("retries"); ok {
		if n, ok := f.whole(webhookShape.bounds("retries")); ok {
			w.Retries = spec.Tries(n)
		}
	}
	w.Header, _ = o.texts("header")
	return w
}

func windowGate(o object) *spec.Window {
	w := &spec.Window{Zone: o.text("zone", "")}
	if f, ok := o.get("allow"); ok {
		for _, item := range f.items() {
			h := item.object(hoursShape)
			hours := spec.Hours{
				From: spec.Minutes(h.like("from", hourText, "is not a time of day", "write it as 09:00")),
				To:   spec.Minutes(h.like("to", hourText, "is not a time of day", "write it as 17:00")),
			}
			if f, ok := h.get("days"); ok {
				for _, item := range f.items() {
					if word, ok := item.oneOf(days...); ok {
						day, _ := spec.Day(word)
						hours.Days = append(hours.Days, day)
					}
				}
			}
			w.Allow = append(w.Allow, hours)
		}
	}
	if f, ok := o.get("freeze"); ok {
		for _, item := range f.items() {
			z := item.object(freezeShape)
			w.Freeze = append(w.Freeze, spec.Freeze{From: z.text("from", ""), To: z.text("to", ""), Why: z.text("why", "")})
		}
	}
	return w
}

// percent is a number of percent as a share; 0 where it is not given.
func (o object) percent(name string) float64 {
	if n := o.bound(name); n != nil {
		return *n / 100
	}
	return 0
}

func (o object) bound(name string) *float64 {
	if f, ok := o.get(name); ok {
		if n, ok := f.number(); ok {
			return &n
		}
	}
	return nil
}
