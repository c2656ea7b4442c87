// Package registry asks a registry whether an image is there, and for the digest that it cannot change under.
package registry

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"gapless.dev/gapless/internal/follow/choose"
	"gapless.dev/gapless/internal/follow/limit"
)

// Bounds of what a registry may answer.
const (
	maxAnswer = 8 << 20
	askTime   = 30 * time.Second
)

// A Registry is where images come from. Which one it is stands in the image's name.
type Registry struct {
	// DockerConfig is the text of a .dockerconfigjson with the credentials. May be empty.
	DockerConfig []byte
	// Insecure lets a registry be asked over plain HTTP. Those on this machine and in private networks may be asked so anyway.
	Insecure bool
}

// Check tells what is wrong with an image's name, without asking anybody.
func (r Registry) Check(image string) error {
	_, err := r.parse(image)
	return err
}

func (r Registry) parse(image string) (name.Tag, error) {
	options := []name.Option{name.StrictValidation}
	if r.Insecure {
		options = append(options, name.Insecure)
	}
	tag, err := name.NewTag(image, options...)
	if err != nil {
		return name.Tag{}, choose.Wrong(choose.BadRule, "the image %q is not one with a tag: write for example registry.example.org/api:{version}", image)
	}
	return tag, nil
}

var digest = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// Digest is the digest of an image with a tag, such as sha256:abc... The reason of its error is choose.NoImage as long as there is none.
func (r Registry) Digest(ctx context.Context, image string) (string, error) {
	tag, err := r.parse(image)
	if err != nil {
		return "", err
	}
	auth, err := r.credentials(tag.RegistryStr())
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	web := http.DefaultTransport.(*http.Transport).Clone()
	web.DisableKeepAlives, web.MaxResponseHeaderBytes = true, 64<<10
	defer web.CloseIdleConnections()
	options := []remote.Option{
		remote.WithContext(ctx), remote.WithAuth(auth), remote.WithTransport(limit.Transport(web, maxAnswer)), remote.WithUserAgent("gapless"),
		remote.WithRetryPredicate(func(error) bool { return false }), // it is asked again anyway
		remote.WithRetryStatusCodes(),
	}
	var found v1.Descriptor
	if head, err := remote.Head(tag, options...); err == nil {
		found = *head
	} else if is404(err) {
		return "", choose.Wrong(choose.NoImage, "the image %s does not exist yet", tag)
	} else {
		whole, err := remote.Get(tag, options...) // some registries know no HEAD
		if err != nil {
			return "", explain(ctx, tag, err)
		}
		found = whole.Descriptor
	}
	if !found.MediaType.IsImage() && !found.MediaType.IsIndex() || !digest.MatchString(found.Digest.String()) {
		return "", choose.Wrong(choose.Refused, "what the registry %s has as %s is no image", tag.RegistryStr(), tag)
	}
	return found.Digest.String(), nil
}

// credentials for a registry, by its name.
func (r Registry) credentials(registry string) (authn.Authenticator, error) {
	if len(r.DockerConfig) == 0 {
		return authn.Anonymous, nil
	}
	var config struct {
		Auths map[string]authn.AuthConfig `json:"auths"`
	}
	if err := json.Unmarshal(r.DockerConfig, &config); err != nil {
		return nil, choose.Wrong(choose.Denied, ".dockerconfigjson of the Secret is not what docker login writes")
	}
	for host, auth := range config.Auths {
		host = strings.TrimPrefix(strings.TrimPrefix(host, "https://"), "http://")
		host, _, _ = strings.Cut(host, "/")
		if host == registry || registry == name.DefaultRegistry && host == "docker.io" {
			return authn.FromConfig(auth), nil
		}
	}
	return authn.Anonymous, nil
}

func is404(err error) bool {
	var e *transport.Error
	return errors.As(err, &e) && e.StatusCode == http.StatusNotFound
}

// explain passes nothing on that a registry or a library has written.
func explain(ctx context.Context, tag name.Tag, err error) error {
	registry := tag.RegistryStr()
	var answer *transport.Error
	var op *net.OpError
	var dns *net.DNSError
	switch {
	case is404(err):
		return choose.Wrong(choose.NoImage, "the image %s does not exist yet", tag)
	case errors.As(err, &answer) && (answer.StatusCode == http.StatusUnauthorized || answer.StatusCode == http.StatusForbidden):
		return choose.Wrong(choose.Denied, "the registry %s does not show %s: the credentials are missing or wrong, or there is no such image", registry, tag)
	case errors.As(err, &answer):
		return choose.Wrong(choose.Unreachable, "the registry %s answers %d", registry, answer.StatusCode)
	case errors.Is(err, limit.ErrTooLarge):
		return choose.Wrong(choose.Refused, "the registry %s answers more than is read", registry)
	case errors.Is(ctx.Err(), context.Canceled):
		return ctx.Err()
	case ctx.Err() != nil:
		return choose.Wrong(choose.Unreachable, "the registry %s did not answer within %s", registry, askTime)
	case errors.As(err, &dns):
		return choose.Wrong(choose.Unreachable, "the registry %s is not found", registry)
	case errors.As(err, &op):
		return choose.Wrong(choose.Unreachable, "nobody answers at the registry %s", registry)
	}
	return choose.Wrong(choose.Unreachable, "the registry %s gives no answer that is understood", registry)
}
