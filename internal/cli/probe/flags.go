package probe

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"gapless.dev/kit/load"
)

type flags struct {
	rate           float64
	duration       time.Duration
	fresh          float64
	post           float64
	h2             float64
	connections    int
	timeout        time.Duration
	maxOutstanding int
	headers        []string
	connectTo      string
	expect         string
	versionPattern string
	insecure       bool
	cacert         string
	output         string
	report         string

	lines bool
	pod   podFlags
}

func (f *flags) register(fs *pflag.FlagSet) {
	fs.SortFlags = false
	fs.Float64Var(&f.rate, "rate", 100, "requests per second")
	fs.DurationVar(&f.duration, "for", 30*time.Second, "how long requests are due; 0 means until Ctrl-C")
	fs.Float64Var(&f.fresh, "new", 50, "percent of requests on a new connection each; the rest reuse connections")
	fs.Float64Var(&f.post, "post", 0, "percent of POST requests; their body is the request's id")
	fs.Float64Var(&f.h2, "h2", 0, "percent of requests over HTTP/2 (on http:// with prior knowledge)")
	fs.IntVar(&f.connections, "connections", 8, "reused connections for each protocol, which take turns")
	fs.DurationVar(&f.timeout, "timeout", 5*time.Second, "time for one request, connecting included")
	fs.IntVar(&f.maxOutstanding, "max-outstanding", 8192, "requests under way beyond which one that is due counts as lost (overload)")
	fs.StringArrayVarP(&f.headers, "header", "H", nil, "`'Name: value'` to send with every request; may be given often")
	fs.StringVar(&f.connectTo, "connect-to", "", "`HOST:PORT` to connect to instead of the URL's")
	fs.StringVar(&f.expect, "expect", "", "`regexp` that the body of every answer must match")
	fs.StringVar(&f.versionPattern, "version-pattern", "", "`regexp` whose first group in the body is the version, where no header names it")
	fs.BoolVarP(&f.insecure, "insecure", "k", false, "accept any certificate")
	fs.StringVar(&f.cacert, "cacert", "", "`file` of PEM certificates to trust")
	fs.StringVarP(&f.output, "output", "o", "text", "what to print: text, json, html or junit")
	fs.StringVar(&f.report, "report", "", "`file` to write a report to as well: .txt, .json, .html or .xml (JUnit)")
	fs.BoolVar(&f.lines, "lines", false, "print the counts each second, a line of JSON each")
	_ = fs.MarkHidden("lines") // how a probe in a pod speaks
	f.pod.register(fs)
}

func (f *flags) options(url string) (load.Options, error) {
	opts := load.Options{
		URL:            url,
		ConnectTo:      f.connectTo,
		Rate:           f.rate,
		For:            f.duration,
		New:            f.fresh / 100,
		Post:           f.post / 100,
		H2:             f.h2 / 100,
		Conns:          f.connections,
		Timeout:        f.timeout,
		MaxOutstanding: f.maxOutstanding,
	}
	for _, p := range []struct {
		name  string
		value float64
	}{{"new", f.fresh}, {"post", f.post}, {"h2", f.h2}} {
		if !(p.value >= 0 && p.value <= 100) {
			return opts, fmt.Errorf("--%s is %g: give a percentage from 0 to 100", p.name, p.value)
		}
	}
	// Zero would mean the default in Options; here somebody wrote it.
	switch {
	case f.connections <= 0:
		return opts, fmt.Errorf("--connections is %d: give a number above 0", f.connections)
	case f.timeout <= 0:
		return opts, fmt.Errorf("--timeout is %v: give a duration above 0, such as 5s", f.timeout)
	case f.maxOutstanding <= 0:
		return opts, fmt.Errorf("--max-outstanding is %d: give a number above 0", f.maxOutstanding)
	}
	var err error
	if opts.Header, err = parseHeaders(f.headers); err != nil {
		return opts, err
	}
	if opts.Check, err = expectBody(f.expect); err != nil {
		return opts, err
	}
	if opts.Version, err = bodyVersion(f.versionPattern); err != nil {
		return opts, err
	}
	if opts.TLS, err = f.tls(); err != nil {
		return opts, err
	}
	return opts, inFlags(opts.Validate())
}

func parseHeaders(lines []string) (http.Header, error) {
	header := http.Header{}
	for _, line := range lines {
		name, value, ok := strings.Cut(line, ":")
		if !ok || strings.TrimSpace(name) == "" {
			return nil, fmt.Errorf("--header is %q: give 'Name: value'", line)
		}
		header.Add(strings.TrimSpace(name), strings.TrimSpace(value))
	}
	return header, nil
}

func expectBody(pattern string) (func(load.Answer) error, error) {
	if pattern == "" {
		return nil, nil
	}
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, fmt.Errorf("--expect is %q: %w", pattern, err)
	}
	return func(a load.Answer) error {
		if re.Match(a.Body) {
			return nil
		}
		return fmt.Errorf("the body does not match %s: %.60q", re, a.Body)
	}, nil
}

func bodyVersion(pattern string) (func(load.Answer) string, error) {
	if pattern == "" {
		return nil, nil
	}
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, fmt.Errorf("--version-pattern is %q: %w", pattern, err)
	}
	if re.NumSubexp() == 0 {
		return nil, fmt.Errorf("--version-pattern is %q: put ( ) around the version in it", pattern)
	}
	return func(a load.Answer) string {
		if v := load.HeaderVersion(a); v != "" {
			return v
		}
		if m := re.FindSubmatch(a.Body); m != nil {
			return string(m[1])
		}
		return ""
	}, nil
}

func (f *flags) tls() (*tls.Config, error) {
	// Somebody who says -k wants the traffic, not the identity.
	conf := &tls.Config{InsecureSkipVerify: f.insecure}
	if f.cacert == "" {
		return conf, nil
	}
	pem, err := os.ReadFile(f.cacert)
	if err != nil {
		return nil, fmt.Errorf("--cacert: %w", err)
	}
	conf.RootCAs = x509.NewCertPool()
	if !conf.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("--cacert is %s: there is no PEM certificate in it", f.cacert)
	}
	return conf, nil
}

// inFlags says what is wrong in the words of the command line.
func inFlags(err error) error {
	var e *load.OptionError
	if !errors.As(err, &e) {
		return err
	}
	flag := map[string]string{
		"Rate": "--rate", "For": "--for", "Header": "--header", "ConnectTo": "--connect-to",
	}[e.Field]
	return &load.OptionError{Field: cmp.Or(flag, e.Field), Value: e.Value, Fix: e.Fix}
}
