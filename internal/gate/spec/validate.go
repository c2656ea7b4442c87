package spec

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"gapless.dev/gapless/internal/rollout"
)

// ErrGate is what every error of Validate wraps.
var ErrGate = errors.New("invalid gate")

var nameText = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$`)

// Validate tells what is wrong with a list of gates, defaults filled in: field, value and fix. It reports every problem, and nil if there is none.
// When the moments fit the strategy is asked by the plan.
func Validate(gates []Gate) error {
	var errs []error
	if len(gates) > 16 {
		errs = append(errs, fmt.Errorf("%w: gates: %d are more than the 16 that are asked", ErrGate, len(gates)))
	}
	for i, g := range gates {
		c := check{field: fmt.Sprintf("gates[%d]", i), errs: &errs}
		c.gate(g)
	}
	return errors.Join(errs...)
}

type check struct {
	field string
	errs  *[]error
}

func (c check) wrong(field, format string, args ...any) {
	*c.errs = append(*c.errs, fmt.Errorf("%w: %s.%s %s", ErrGate, c.field, field, fmt.Sprintf(format, args...)))
}

func (c check) gate(g Gate) {
	kinds := 0
	for _, set := range []bool{g.Probe != nil, g.Prometheus != nil, g.Webhook != nil, g.Job != nil, g.Window != nil} {
		if set {
			kinds++
		}
	}
	if kinds != 1 {
		c.wrong("probe", "and its like: give exactly one of probe, prometheus, webhook, job and window, not %d", kinds)
		return
	}
	if !nameText.MatchString(g.Name) {
		c.wrong("name", "%q: use a to z, 0 to 9 and -, at most 40, beginning and ending with a letter or digit", g.Name)
	}
	c.field += "." + g.Kind()
	switch {
	case g.Probe != nil:
		c.probe(*g.Probe)
	case g.Prometheus != nil:
		c.prometheus(*g.Prometheus, g.At)
	case g.Webhook != nil:
		c.webhook(*g.Webhook)
	case g.Job != nil:
		c.job(*g.Job)
	case g.Window != nil:
		c.window(*g.Window)
	}
}

func (c check) probe(p Probe) {
	if p.Path != "" && !strings.HasPrefix(p.Path, "/") {
		c.wrong("path", "%q: begin it with /", p.Path)
	}
	if p.Rate < 1 || p.Rate > 1000 {
		c.wrong("rate", "%g: use 1 to 1000 requests a second", p.Rate)
	}
	c.share("post", p.Post)
	c.share("tolerance", p.Tolerance)
	c.between("timeout", p.Timeout, 10*time.Millisecond, time.Minute)
	if p.Slow < 0 {
		c.wrong("slow", "%s: use a time above 0s", p.Slow)
	}
	c.header(p.Header)
}

func (c check) prometheus(p Prometheus, at []rollout.Moment) {
	c.address("url", p.URL)
	c.between("every", p.Every, time.Second, time.Hour)
	c.between("timeout", p.Timeout, 100*time.Millisecond, time.Minute)
	c.key("token", p.Token)
	c.share("tolerance", p.Tolerance)
	if p.Over < 0 || p.Over > time.Hour {
		c.wrong("over", "%s: use 0s to 1h", p.Over)
	}
	if p.Failures < 1 || p.Failures > 100 {
		c.wrong("failures", "%d: use 1 to 100", p.Failures)
	}
	if p.Warmup < 0 {
		c.wrong("warmup", "%s: use 0s or more", p.Warmup)
	}
	for _, q := range []struct{ field, text string }{{"query", p.Query}, {"bad", p.Bad}, {"total", p.Total}} {
		if err := Placeholders(q.text); err != nil {
			c.wrong(q.field, "%s", err)
		}
	}
	switch {
	case p.Query != "" && (p.Bad != "" || p.Total != ""):
		c.wrong("query", "stands beside bad and total: give the one or the other")
	case p.Query == "" && (p.Bad == "" || p.Total == ""):
		c.wrong("query", "is missing: give a query with max or min, or the counters bad and total")
	case p.Query != "" && p.Min == nil && p.Max == nil:
		c.wrong("max", "is missing: give max or min, or both")
	case p.Min != nil && p.Max != nil && *p.Min > *p.Max:
		c.wrong("min", "%g is above max %g: no value could pass", *p.Min, *p.Max)
	}
	if p.Compares() {
		for _, m := range at {
			if m != rollout.DuringStep && m != rollout.BeforePromotion {
				c.wrong("bad", "is compared with stable at the same time, and at %s only one of the two has requests: use query with max there", m)
			}
		}
	}
}

func (c check) webhook(w Webhook) {
	c.address("url", w.URL)
	c.between("timeout", w.Timeout, 100*time.Millisecond, time.Minute)
	c.between("every", w.Every, time.Second, time.Hour)
	if w.Retries < -1 || w.Retries > 10 {
		c.wrong("retries", "%d: use 0 to 10", w.Retries)
	}
	c.key("key", w.Key)
	c.header(w.Header)
}

func (c check) job(j Job) {
	if j.From == "" && len(j.Command) == 0 {
		c.wrong("from", "is to name a CronJob of the namespace; on one machine give command")
	}
	c.between("timeout", j.Timeout, time.Second, 24*time.Hour)
}

func (c check) window(w Window) {
	for i, h := range w.Allow {
		for _, m := range []int{h.From, h.To} {
			if m < 0 || m > 24*60 {
				c.wrong(fmt.Sprintf("allow[%d]", i), "%d minutes: a day has 1440", m)
			}
		}
		if h.From == h.To && h.From != 0 {
			c.wrong(fmt.Sprintf("allow[%d]", i), "from and to are the same: leave both out for the whole day")
		}
	}
	for i, f := range w.Freeze {
		field := fmt.Sprintf("freeze[%d]", i)
		from, err := Moment(f.From, time.UTC, false)
		if err != nil {
			c.wrong(field+".from", "%q: use 2026-12-20 or 2026-12-20T18:00", f.From)
		}
		to, err := Moment(f.To, time.UTC, true)
		if err != nil {
			c.wrong(field+".to", "%q: use 2026-12-31 or 2026-12-31T18:00", f.To)
		} else if !to.After(from) {
			c.wrong(field+".to", "%q is not after from %q", f.To, f.From)
		}
	}
}

// Moment reads a day or a moment of a freeze. A day at an end means the end of that day.
func Moment(text string, zone *time.Location, end bool) (time.Time, error) {
	if t, err := time.ParseInLocation("2006-01-02T15:04", text, zone); err == nil {
		return t, nil
	}
	t, err := time.ParseInLocation(time.DateOnly, text, zone)
	if err == nil && end {
		t = t.AddDate(0, 0, 1)
	}
	return t, err
}

func (c check) share(field string, v float64) {
	if !(v >= 0 && v <= 1) {
		c.wrong(field, "%g: use a share from 0 to 1", v)
	}
}

func (c check) between(field string, d, least, most time.Duration) {
	if d < least || d > most {
		c.wrong(field, "%s: use %s to %s", d, least, most)
	}
}

func (c check) address(field, text string) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		c.wrong(field, "%q: use http://HOST[:PORT]/PATH or https://...", text)
		return
	}
	if u.User != nil {
		c.wrong(field, "holds a password: name a file of whoever asks instead")
	}
}

var keyText = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)

func (c check) key(field, name string) {
	if name != "" && !keyText.MatchString(name) {
		c.wrong(field, "%q: name a file, without a path", name)
	}
}

func (c check) header(h map[string]string) {
	for name, v := range h {
		if name == "" || strings.ContainsAny(name, " \r\n:") || strings.ContainsAny(v, "\r\n") {
			c.wrong("header", "%q: use a plain name and a value on one line", name)
		}
	}
}

// known are the placeholders of a query.
var known = []string{"app", "namespace", "version", "hash", "pods", "weight", "stable.version", "stable.hash", "stable.pods", "candidate.version", "candidate.hash", "candidate.pods"}

var placeholder = regexp.MustCompile(`\{\{\s*([^{}]*?)\s*\}\}`)

// Placeholders tells whether a query names one that does not exist.
func Placeholders(query string) error {
	for _, m := range placeholder.FindAllStringSubmatch(query, -1) {
		if !slices.Contains(known, m[1]) {
			return fmt.Errorf("names {{%s}}: there are {{%s}}", m[1], strings.Join(known, "}}, {{"))
		}
	}
	return nil
}

// Fill puts values in the place of placeholders.
func Fill(query string, values map[string]string) string {
	return placeholder.ReplaceAllStringFunc(query, func(s string) string {
		return values[placeholder.FindStringSubmatch(s)[1]]
	})
}
