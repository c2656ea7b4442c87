package git

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/transport"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"

	"gapless.dev/gapless/internal/follow/choose"
	"gapless.dev/gapless/internal/follow/limit"
)

type overHTTP struct {
	session transport.UploadPackSession
	end     func()
}

func (r Repository) overHTTP(u *url.URL, most int64) (connection, error) {
	web := http.DefaultTransport.(*http.Transport).Clone()
	web.DisableKeepAlives, web.MaxResponseHeaderBytes, web.ResponseHeaderTimeout = true, 64<<10, r.within()
	if len(r.Credentials.CA) > 0 {
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		if !pool.AppendCertsFromPEM(r.Credentials.CA) {
			return nil, failed(choose.BadRule, "ca.crt of the Secret is no certificate in PEM form")
		}
		web.TLSClientConfig = &tls.Config{RootCAs: pool}
	}
	client := &http.Client{
		Transport: limit.Transport(web, most),
		CheckRedirect: func(next *http.Request, via []*http.Request) error {
			if len(via) > 3 {
				return errTooManyRedirects
			}
			if first := via[0].URL; next.URL.Host != first.Host || next.URL.Scheme != first.Scheme {
				return &elsewhere{next.URL.Host}
			}
			return nil
		},
	}
	to, err := transport.NewEndpoint(strings.TrimSuffix(u.String(), "/"))
	if err != nil {
		return nil, failed(choose.BadRule, "the repository is not an address: write https://HOST/PATH or ssh://USER@HOST/PATH")
	}
	var auth transport.AuthMethod
	if c := r.Credentials; c.Password != "" {
		user := c.Username
		if user == "" {
			user = "git" // a token needs a name, and any will do
		}
		auth = &githttp.BasicAuth{Username: user, Password: c.Password}
	}
	session, err := githttp.NewClient(client).NewUploadPackSession(to, auth)
	if err != nil {
		return nil, failed(choose.BadRule, "%s cannot be asked", r.Name())
	}
	return overHTTP{session, web.CloseIdleConnections}, nil
}

func (c overHTTP) advertised(ctx context.Context) (*packp.AdvRefs, error) {
	return c.session.AdvertisedReferencesContext(ctx)
}

func (c overHTTP) pack(ctx context.Context, req *packp.UploadPackRequest) (pack, error) {
	return c.session.UploadPack(ctx, req)
}

func (c overHTTP) close() { c.end() }

var errTooManyRedirects = errors.New("too many redirects")

// elsewhere is a redirect to another host.
type elsewhere struct{ host string }

func (e *elsewhere) Error() string { return "redirected to " + e.host }

// explain says an error in words that a person can act on. It passes nothing on that a server or a library has written but names of hosts.
func (r Repository) explain(ctx context.Context, err error) error {
	var ours *choose.Problem
	var away *elsewhere
	var dns *net.DNSError
	var unknown x509.UnknownAuthorityError
	var wrong x509.HostnameError
	var timeout net.Error
	switch {
	case errors.As(err, &ours):
		return ours
	case errors.As(err, &away):
		return failed(choose.Refused, "%s leads to another host, %s, and is not followed there: write that address if it is the right one", r.Name(), plainHost(away.host))
	case errors.Is(err, errTooManyRedirects):
		return failed(choose.Refused, "%s leads round in a circle", r.Name())
	case errors.Is(err, limit.ErrTooLarge):
		return failed(choose.Refused, "%s answers more than is read: is it a git server?", r.Name())
	case errors.Is(err, transport.ErrEmptyRemoteRepository):
		return failed(choose.Unreachable, "%s is empty", r.Name())
	case errors.Is(err, transport.ErrAuthenticationRequired), errors.Is(err, transport.ErrAuthorizationFailed), errors.Is(err, transport.ErrRepositoryNotFound):
		return failed(choose.Denied, "%s does not let us in: the credentials are missing or wrong, or there is no such repository", r.Name())
	case errors.As(err, &unknown):
		return failed(choose.Refused, "the certificate of %s is signed by an authority that is not known here: put the authority into the Secret as ca.crt", r.Name())
	case errors.As(err, &wrong):
		return failed(choose.Refused, "the certificate of %s is for another host", r.Name())
	case errors.As(err, &dns):
		return failed(choose.Unreachable, "the host of %s is not found", r.Name())
	case errors.Is(ctx.Err(), context.Canceled):
		return ctx.Err()
	case ctx.Err() != nil, errors.As(err, &timeout) && timeout.Timeout():
		return failed(choose.Unreachable, "%s did not answer within %s", r.Name(), r.within())
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return failed(choose.Unreachable, "nobody answers at %s", r.Name())
	}
	return failed(choose.Unreachable, "%s gives no answer that git understands", r.Name())
}

// plainHost is the name of a host, or a word where it is more than that.
func plainHost(host string) string {
	for _, c := range host {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune(".-:[]", c)) {
			return "one with a strange name"
		}
	}
	if len(host) > 253 {
		return "one with a long name"
	}
	return host
}
