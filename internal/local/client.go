package local

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"net/url"
	"strconv"

	"gapless.dev/gapless/internal/rollout"
)

// A Client speaks to a running Gapless over its Unix socket. It holds no connection between calls and needs no Close.
// Who asks is not in the request: the server learns it from the kernel.
type Client struct {
	socket string
	http   http.Client
}

// Dial returns a client of the Gapless at socket. It does not connect yet; Ping does.
func Dial(socket string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}
	return &Client{socket: socket, http: http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}}
}

// Ping asks who serves at the socket. Its error has code Unreachable when nobody does.
func (c *Client) Ping(ctx context.Context) (Ping, error) {
	return call[Ping](ctx, c, http.MethodGet, "/v1/ping", nil)
}

// Deploy makes version the one that app wants, and returns the app's status right after. It does not wait for the rollout: Watch does.
func (c *Client) Deploy(ctx context.Context, app string, version rollout.Version) (Report, error) {
	return c.DeployFrom(ctx, app, version, Origin{})
}

// DeployFrom is Deploy for a version that was made elsewhere than beside the app file.
func (c *Client) DeployFrom(ctx context.Context, app string, version rollout.Version, from Origin) (Report, error) {
	return call[Report](ctx, c, http.MethodPut, appPath(app, "version"), deployBody{version, from})
}

// Scale sets how many instances app wants.
func (c *Client) Scale(ctx context.Context, app string, replicas int) (Report, error) {
	return call[Report](ctx, c, http.MethodPut, appPath(app, "replicas"), scaleBody{replicas})
}

// Order gives an order: promote, promote-full, abort, undo, pause, resume or retry. The status that it returns may not show its effect yet.
func (c *Client) Order(ctx context.Context, app string, verb rollout.Verb) (Report, error) {
	return call[Report](ctx, c, http.MethodPost, appPath(app, "orders"), orderBody{verb})
}

// Status returns an app's present revision, finished or not.
func (c *Client) Status(ctx context.Context, app string) (Report, error) {
	return call[Report](ctx, c, http.MethodGet, appPath(app), nil)
}

// StatusAll returns the status of all apps, in the order of the app file.
func (c *Client) StatusAll(ctx context.Context) ([]Report, error) {
	return call[[]Report](ctx, c, http.MethodGet, "/v1/apps", nil)
}

// Watch yields the status of app (of all apps, if it is empty) now, whenever something happens, and once a second for the counts,
// until ctx ends or the server goes. The last pair carries the error, which is nil for neither of the two.
func (c *Client) Watch(ctx context.Context, app string) iter.Seq2[Report, error] {
	return func(yield func(Report, error) bool) {
		var zero Report
		body, err := c.do(ctx, http.MethodGet, "/v1/watch?app="+url.QueryEscape(app), nil)
		if err != nil {
			yield(zero, err)
			return
		}
		defer body.Close()
		for dec := json.NewDecoder(body); ; {
			var r Report
			if err := dec.Decode(&r); err != nil {
				yield(zero, c.lost(ctx, err))
				return
			}
			if !yield(r, nil) {
				return
			}
		}
	}
}

// History returns the revisions of app that are kept, newest first. The first may still be under way.
func (c *Client) History(ctx context.Context, app string) ([]Report, error) {
	return call[[]Report](ctx, c, http.MethodGet, appPath(app, "revisions"), nil)
}

// Report returns one revision of app; 0 means the newest.
func (c *Client) Report(ctx context.Context, app string, revision int) (Report, error) {
	return call[Report](ctx, c, http.MethodGet, appPath(app, "revisions", strconv.Itoa(revision)), nil)
}

// Plan tells what a deploy of version would do.
func (c *Client) Plan(ctx context.Context, app string, version rollout.Version) (Preview, error) {
	return call[Preview](ctx, c, http.MethodGet, appPath(app, "plan")+"?version="+url.QueryEscape(string(version)), nil)
}

func appPath(app string, more ...string) string {
	path := "/v1/apps/" + url.PathEscape(app)
	for _, m := range more {
		path += "/" + url.PathEscape(m)
	}
	return path
}

func call[T any](ctx context.Context, c *Client, method, path string, in any) (T, error) {
	var out T
	body, err := c.do(ctx, method, path, in)
	if err != nil {
		return out, err
	}
	defer body.Close()
	if err := json.NewDecoder(body).Decode(&out); err != nil {
		return out, c.lost(ctx, err)
	}
	return out, nil
}

func (c *Client) do(ctx context.Context, method, path string, in any) (io.ReadCloser, error) {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://gapless"+path, body)
	if err != nil {
		return nil, err
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, c.lost(ctx, err)
	}
	if res.StatusCode == http.StatusOK {
		return res.Body, nil
	}
	defer res.Body.Close()
	var e Error
	if err := json.NewDecoder(res.Body).Decode(&e); err != nil || e.Code == "" {
		return nil, errorf(Internal, "%s %s: gapless answered %s", method, path, res.Status)
	}
	return nil, &e
}

// lost makes the error of a connection one that a person can act on.
func (c *Client) lost(ctx context.Context, err error) error {
	var op *net.OpError
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &op) && op.Op == "dial":
		return errorf(Unreachable, "no gapless answers at %s (%v): start it with gapless up -f gapless.yaml, or name its socket", c.socket, op.Err)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errorf(Unreachable, "gapless at %s went away: start it again with gapless up; the versions that run go on running", c.socket)
	}
	return fmt.Errorf("gapless at %s: %w", c.socket, err)
}
