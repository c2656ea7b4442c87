package traefik

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"gapless.dev/gapless/internal/rollout"
	"gapless.dev/gapless/internal/traffic"
)

// An API is where Traefik tells what it is configured for. What it answers is what serves the next request: Traefik swaps both at once.
type API struct {
	// URL such as http://traefik.traefik:8080. Each address of its host is one Traefik, and all must agree: name a headless Service.
	URL string
}

const (
	// asking bounds one question; again is when an answer that is not the right one yet is asked for anew.
	asking = 2 * time.Second
	again  = 500 * time.Millisecond
	// largest answer that is read.
	largest = 64 << 20
)

// Acknowledge asks Traefik for an IngressRoute.
func (k IngressRoute) Acknowledge(ctx context.Context, o *unstructured.Unstructured, app traffic.App, s traffic.Split) (rollout.Grade, string, time.Duration) {
	if k.API == nil {
		return rollout.Told, "", 0
	}
	return k.API.acknowledge(ctx, []string{o.GetName()}, o, app, s)
}

// Acknowledge asks Traefik for the IngressRoutes that name a TraefikService.
func (k TraefikService) Acknowledge(ctx context.Context, o *unstructured.Unstructured, app traffic.App, s traffic.Split) (rollout.Grade, string, time.Duration) {
	if k.API == nil {
		return rollout.Told, "", 0
	}
	var names []string
	for _, r := range k.Routes {
		if r.GetLabels()[managedBy] != "gapless" && lowered(r, o.GetName(), "") != nil {
			names = append(names, r.GetName())
		}
	}
	return k.API.acknowledge(ctx, names, o, app, s)
}

func (a *API) acknowledge(ctx context.Context, routes []string, o *unstructured.Unstructured, app traffic.App, s traffic.Split) (rollout.Grade, string, time.Duration) {
	ctx, stop := context.WithTimeout(ctx, asking)
	defer stop()
	all, err := a.ask(ctx)
	if err != nil {
		return rollout.NotYet, fmt.Sprintf("Traefik does not tell at %s: %v", a.URL, err), again
	}
	for at, c := range all {
		if waits := c.differs(routes, o, app, s); waits != "" {
			return rollout.NotYet, fmt.Sprintf("Traefik at %s: %s", at, waits), again
		}
	}
	return rollout.Acknowledged, "", 0
}

// ask gets the configuration of every Traefik behind the URL, by its address.
func (a *API) ask(ctx context.Context) (map[string]configuration, error) {
	all := map[string]configuration{}
	err := a.each(ctx, "api/rawdata", func(at string, body io.Reader) error {
		var c configuration
		err := json.NewDecoder(body).Decode(&c)
		all[at] = c
		return err
	})
	return all, err
}

// each reads a path of every Traefik behind the URL.
func (a *API) each(ctx context.Context, path string, read func(at string, body io.Reader) error) error {
	u, err := url.Parse(a.URL)
	if err != nil {
		return err
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	addresses, err := net.DefaultResolver.LookupHost(ctx, u.Hostname())
	if err != nil {
		return err
	}
	for _, address := range addresses {
		at := net.JoinHostPort(address, port)
		if err := one(ctx, u.JoinPath(path), at, read); err != nil {
			return fmt.Errorf("%s: %w", at, err)
		}
	}
	return nil
}

// one asks at an address, whatever the URL's name leads to.
func one(ctx context.Context, u *url.URL, at string, read func(at string, body io.Reader) error) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return err
	}
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, at)
		},
	}
	judge := http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	answer, err := judge.Do(r)
	if err != nil {
		var wrapped *url.Error
		if errors.As(err, &wrapped) {
			err = wrapped.Err
		}
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("it answers %s", answer.Status)
	}
	return read(at, io.LimitReader(answer.Body, largest))
}

// configuration is the part of Traefik's raw data that is looked at.
type configuration struct {
	Routers  map[string]routerInfo  `json:"routers"`
	Services map[string]serviceInfo `json:"services"`
}

type routerInfo struct {
	Service string   `json:"service"`
	Status  string   `json:"status"`
	Error   []string `json:"error"`
}

type serviceInfo struct {
	Status       string `json:"status"`
	LoadBalancer *struct {
		Servers []struct {
			URL string `json:"url"`
		} `json:"servers"`
	} `json:"loadBalancer"`
	Weighted *struct {
		Services []struct {
			Name   string `json:"name"`
			Weight *int   `json:"weight"`
		} `json:"services"`
	} `json:"weighted"`
	Mirroring *struct {
		Service string `json:"service"`
		Mirrors []struct {
			Name    string `json:"name"`
			Percent int    `json:"percent"`
		} `json:"mirrors"`
	} `json:"mirroring"`
}

const provider = "@kubernetescrd"

// differs tells what of the configuration is not as a divided route has it yet, or "".
func (c configuration) differs(routes []string, o *unstructured.Unstructured, app traffic.App, s traffic.Split) string {
	share := s.Twins
	if s.Match != nil && s.Match.Users > 0 {
		share = s.Match.Users
	}
	known := false
	for _, name := range routes {
		routers := c.of(app.Namespace, name)
		if len(routers) == 0 {
			return fmt.Sprintf("it has no route of IngressRoute %s", name)
		}
		for _, r := range routers {
			got := c.shares(r.Service, 1, app, 0)
			total := got.theirs + got.twins
			known = known || total > 0
			if total > 0 && !near(100*got.twins/total, share) && !alike(app.Theirs, app.Twins) {
				return fmt.Sprintf("the route of %s gives the candidate's Service %.0f %%, and is to give %d %%", name, 100*got.twins/total, share)
			}
		}
	}
	if !known && len(routes) > 0 && len(app.Theirs)+len(app.Twins) > 0 {
		return fmt.Sprintf("its routes of %s lead to none of the pods", strings.Join(routes, ", "))
	}
	for suffix, wanted := range map[string]bool{"match": s.Match != nil && s.Match.Users == 0, "mirror": s.Mirror > 0} {
		name := o.GetName() + "-gapless-" + suffix
		if has := len(c.of(app.Namespace, name)) > 0; has != wanted {
			return fmt.Sprintf("its routes of IngressRoute %s are not up to date", name)
		}
	}
	return ""
}

func near(got float64, want int) bool { return got > float64(want)-0.5 && got < float64(want)+0.5 }

// of are the routers that Traefik made of an IngressRoute, in the order of their names.
func (c configuration) of(namespace, name string) []routerInfo {
	pattern := regexp.MustCompile("^" + regexp.QuoteMeta(normalize(namespace+"-"+name)) + "-[0-9a-f]{20}" + regexp.QuoteMeta(provider) + "$")
	var names []string
	for n := range c.Routers {
		if pattern.MatchString(n) {
			names = append(names, n)
		}
	}
	slices.Sort(names)
	var all []routerInfo
	for _, n := range names {
		all = append(all, c.Routers[n])
	}
	return all
}

// normalize names things as Traefik does.
func normalize(name string) string {
	return strings.Join(strings.FieldsFunc(name, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsNumber(r) }), "-")
}

type shares struct{ theirs, twins, others float64 }

// shares tells what part of a service's requests reach which pods.
func (c configuration) shares(service string, part float64, app traffic.App, depth int) shares {
	if !strings.Contains(service, "@") {
		service += provider
	}
	info, has := c.Services[service]
	if !has || depth > 8 {
		return shares{others: part}
	}
	var sum shares
	add := func(s shares) {
		sum.theirs, sum.twins, sum.others = sum.theirs+s.theirs, sum.twins+s.twins, sum.others+s.others
	}
	switch {
	case info.LoadBalancer != nil:
		n := float64(len(info.LoadBalancer.Servers))
		for _, server := range info.LoadBalancer.Servers {
			add(side(server.URL, part/n, app))
		}
	case info.Weighted != nil:
		total := 0
		for _, child := range info.Weighted.Services {
			total += weight(child.Weight)
		}
		for _, child := range info.Weighted.Services {
			if total > 0 {
				add(c.shares(child.Name, part*float64(weight(child.Weight))/float64(total), app, depth+1))
			}
		}
	case info.Mirroring != nil:
		add(c.shares(info.Mirroring.Service, part, app, depth+1))
	default:
		add(shares{others: part})
	}
	return sum
}

// side tells whose pod a server is.
func side(server string, part float64, app traffic.App) shares {
	u, err := url.Parse(server)
	switch {
	case err == nil && app.Theirs[u.Hostname()]:
		return shares{theirs: part}
	case err == nil && app.Twins[u.Hostname()]:
		return shares{twins: part}
	}
	return shares{others: part}
}

// alike tells whether both Services lead to the same pods: then it cannot be told by addresses which of them a route names.
func alike(a, b map[string]bool) bool {
	for address := range a {
		if b[address] {
			return true
		}
	}
	return false
}

func weight(w *int) int {
	if w == nil {
		return 1
	}
	return *w
}
