//go:build linux

package cluster

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// api speaks to an API server as its administrator, in JSON and without any library of Kubernetes', so that this tool
// works with all its versions and is built in a second.
type api struct {
	server string
	client *http.Client
}

type dialer = func(ctx context.Context, network, address string) (net.Conn, error)

func newAPI(folder string, network addresses, dial dialer) (*api, error) {
	pki := filepath.Join(folder, "pki")
	ca, err := os.ReadFile(filepath.Join(pki, "ca.crt"))
	if err != nil {
		return nil, err
	}
	admin, err := tls.LoadX509KeyPair(filepath.Join(pki, "admin.crt"), filepath.Join(pki, "admin.key"))
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	return &api{
		server: network.api(),
		client: &http.Client{Transport: &http.Transport{
			DialContext:     dial,
			TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{admin}},
		}},
	}, nil
}

// errStatus is an answer other than 2xx.
type errStatus struct {
	code int
	text string
}

func (e errStatus) Error() string { return fmt.Sprintf("status %d: %s", e.code, e.text) }

// send makes one request; contentType is that of a body, which may be nil. The caller closes the answer.
func (a *api) send(ctx context.Context, method, path, contentType string, body any) (io.ReadCloser, error) {
	var data []byte
	if body != nil {
		var err error
		if data, err = json.Marshal(body); err != nil {
			return nil, err
		}
	}
	request, err := http.NewRequestWithContext(ctx, method, a.server+path, bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	if body != nil {
		request.Header.Set("Content-Type", contentType)
	}
	request.Header.Set("Accept", "application/json")
	response, err := a.client.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode/100 != 2 {
		defer response.Body.Close()
		text, _ := io.ReadAll(io.LimitReader(response.Body, 4096))
		return nil, fmt.Errorf("%s %s: %w", method, path, errStatus{response.StatusCode, strings.TrimSpace(string(text))})
	}
	return response.Body, nil
}

// exchange is send with a bound in time and the answer decoded into out, unless that is nil.
func (a *api) exchange(ctx context.Context, method, path, contentType string, body, out any) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	answer, err := a.send(ctx, method, path, contentType, body)
	if err != nil {
		return err
	}
	defer answer.Close()
	if out == nil {
		_, err := io.Copy(io.Discard, answer)
		return err
	}
	return json.NewDecoder(answer).Decode(out)
}

func (a *api) get(ctx context.Context, path string, out any) error {
	return a.exchange(ctx, http.MethodGet, path, "", nil, out)
}

// apply is a server-side apply of an object at its path.
func (a *api) apply(ctx context.Context, path string, object any) error {
	return a.exchange(ctx, http.MethodPatch, path+"?fieldManager=cluster&force=true", "application/apply-patch+yaml", object, nil)
}

// nodesReady is nil when as many nodes as wanted are Ready.
func (a *api) nodesReady(ctx context.Context, want int) error {
	var nodes struct {
		Items []struct {
			Metadata struct{ Name string }
			Status   struct {
				Conditions []struct{ Type, Status, Message string }
			}
		}
	}
	if err := a.get(ctx, "/api/v1/nodes", &nodes); err != nil {
		return err
	}
	var missing []error
	for _, node := range nodes.Items {
		why := "no condition Ready yet"
		for _, condition := range node.Status.Conditions {
			if condition.Type == "Ready" {
				why = condition.Message
			}
			if condition.Type == "Ready" && condition.Status == "True" {
				why = ""
			}
		}
		if why != "" {
			missing = append(missing, fmt.Errorf("%s: %s", node.Metadata.Name, why))
		}
	}
	if len(nodes.Items) < want {
		missing = append(missing, fmt.Errorf("%d of %d nodes are registered", len(nodes.Items), want))
	}
	return errors.Join(missing...)
}
