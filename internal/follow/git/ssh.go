package git

import (
	"context"
	"errors"
	"io"
	"net"
	"net/url"
	"strings"

	"github.com/go-git/go-git/v5/plumbing/format/pktline"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"golang.org/x/crypto/ssh"

	"gapless.dev/gapless/internal/follow/choose"
	"gapless.dev/gapless/internal/follow/limit"
)

// overSSH is a git-upload-pack on the other side. The host's own key must be known: without that, whoever stands in between is the host.
type overSSH struct {
	client  *ssh.Client
	session *ssh.Session
	in      io.WriteCloser
	out     io.Reader
	stop    func() bool
}

func (r Repository) overSSH(ctx context.Context, u *url.URL, most int64) (connection, error) {
	c := r.Credentials
	if len(c.SSHKey) == 0 {
		return nil, failed(choose.Denied, "%s needs a key: put it into the Secret as ssh-privatekey", r.Name())
	}
	signer, err := ssh.ParsePrivateKey(c.SSHKey)
	if err != nil {
		return nil, failed(choose.Denied, "ssh-privatekey of the Secret is no private key in PEM form, or is locked by a passphrase")
	}
	user := u.User.Username()
	if user == "" {
		user = "git"
	}
	port := u.Port()
	if port == "" {
		port = "22"
	}
	address := net.JoinHostPort(u.Hostname(), port)
	known, err := knownKeys(c.KnownHosts, address, r.Name())
	if err != nil {
		return nil, err
	}
	raw, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, r.explain(ctx, err)
	}
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	conn, channels, requests, err := ssh.NewClientConn(raw, address, &ssh.ClientConfig{
		User: user, Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)}, HostKeyCallback: known.check, HostKeyAlgorithms: known.algorithms(), Timeout: r.within(),
	})
	if err != nil {
		raw.Close()
		stop()
		return nil, r.explainSSH(ctx, err)
	}
	one := &overSSH{client: ssh.NewClient(conn, channels, requests), stop: stop}
	if err := one.begin(u.Path, most); err != nil {
		one.close()
		return nil, r.explain(ctx, err)
	}
	return one, nil
}

func (c *overSSH) begin(path string, most int64) (err error) {
	if c.session, err = c.client.NewSession(); err != nil {
		return err
	}
	if c.in, err = c.session.StdinPipe(); err != nil {
		return err
	}
	out, err := c.session.StdoutPipe()
	if err != nil {
		return err
	}
	c.out = limit.Reader(out, most)
	return c.session.Start(transport.UploadPackServiceName + " '" + strings.ReplaceAll(path, "'", `'\''`) + "'")
}

func (c *overSSH) advertised(context.Context) (*packp.AdvRefs, error) {
	refs := packp.NewAdvRefs()
	if err := refs.Decode(c.out); err != nil {
		if errors.Is(err, packp.ErrEmptyAdvRefs) {
			return nil, transport.ErrEmptyRemoteRepository
		}
		return nil, err
	}
	transport.FilterUnsupportedCapabilities(refs.Capabilities)
	return refs, nil
}

func (c *overSSH) pack(_ context.Context, req *packp.UploadPackRequest) (pack, error) {
	if err := req.UploadRequest.Encode(c.in); err != nil {
		return nil, err
	}
	if err := pktline.NewEncoder(c.in).EncodeString("done\n"); err != nil {
		return nil, err
	}
	answer := packp.NewUploadPackResponse(req)
	return answer, answer.Decode(io.NopCloser(c.out))
}

func (c *overSSH) close() {
	if c.in != nil {
		_ = pktline.NewEncoder(c.in).Flush() // the other side need not wait for a wish
		c.in.Close()
	}
	if c.session != nil {
		c.session.Close()
	}
	c.client.Close()
	c.stop()
}

func (r Repository) explainSSH(ctx context.Context, err error) error {
	switch {
	case strings.Contains(err.Error(), "unable to authenticate"):
		return failed(choose.Denied, "%s does not let us in: the key of the Secret is not one of its", r.Name())
	}
	return r.explain(ctx, err)
}
