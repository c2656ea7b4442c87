// Package post sends a body to a URL that a user named, and reads a short answer. It follows no redirect, takes no proxy from the environment,
// waits and reads within bounds, and signs what it sends if it is given a key.
package post

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// The headers of a request. Signature is the hex HMAC-SHA256, with the key, of the timestamp, a dot and the body.
const (
	SignatureHeader = "Gapless-Signature"
	TimestampHeader = "Gapless-Timestamp"
	IDHeader        = "Gapless-Id"
)

// Most is how many bytes of an answer are read.
const Most = 64 << 10

// A Client sends to one URL.
type Client struct {
	URL     string
	Key     []byte // of the signature; empty: not signed
	Header  map[string]string
	Timeout time.Duration
	// Now is the clock of the timestamp. Default: time.Now.
	Now func() time.Time

	http *http.Client
}

// New makes one.
func New(url string, key []byte, header map[string]string, timeout time.Duration) *Client {
	return &Client{URL: url, Key: key, Header: header, Timeout: timeout, Now: time.Now, http: &http.Client{
		Timeout: timeout,
		// An answer comes from where it was asked for, and from nowhere else.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport:     &http.Transport{Proxy: nil, DisableKeepAlives: true, TLSHandshakeTimeout: timeout, ResponseHeaderTimeout: timeout},
	}}
}

// Send posts a body once, and returns status and body of the answer.
func (c *Client) Send(ctx context.Context, id string, body []byte) (status int, answer []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.URL, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	for name, value := range c.Header {
		req.Header.Set(name, value)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "gapless")
	req.Header.Set(IDHeader, id)
	if len(c.Key) > 0 {
		stamp := fmt.Sprint(c.Now().Unix())
		req.Header.Set(TimestampHeader, stamp)
		req.Header.Set(SignatureHeader, Sign(c.Key, stamp, body))
	}
	res, err := c.http.Do(req)
	if err != nil {
		return 0, nil, c.plain(err)
	}
	defer res.Body.Close()
	answer, err = io.ReadAll(io.LimitReader(res.Body, Most+1))
	switch {
	case err != nil:
		return 0, nil, fmt.Errorf("the answer broke off: %w", c.plain(err))
	case len(answer) > Most:
		return 0, nil, fmt.Errorf("the answer is longer than %d bytes", Most)
	case res.StatusCode >= 300 && res.StatusCode < 400:
		return 0, nil, fmt.Errorf("status %d: it redirects to another place, and only the one that is named is asked", res.StatusCode)
	}
	return res.StatusCode, answer, nil
}

// Sign is the signature of a request.
func Sign(key []byte, stamp string, body []byte) string {
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.", stamp)
	mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}

// plain leaves out what the client says around an error, the URL among it: it may hold a secret.
func (c *Client) plain(err error) error {
	var timeout interface{ Timeout() bool }
	if errors.As(err, &timeout) && timeout.Timeout() {
		return fmt.Errorf("it did not answer within %s", c.Timeout)
	}
	var around *url.Error
	if errors.As(err, &around) {
		return around.Err
	}
	return err
}

// Sleep waits, and tells whether ctx lasted as long.
func Sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
