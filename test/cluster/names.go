//go:build linux

package cluster

import (
	"context"
	"errors"
	"net"
	"time"
)

// resolves is nil when the cluster's DNS Service answers with an address for a name.
func (c *Cluster) resolves(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, 500*time.Millisecond) // an early question may be lost
	defer cancel()
	resolver := &net.Resolver{
		PreferGo: true,
		Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return dialIn(c.control.PID)(ctx, network, net.JoinHostPort(c.plan.dnsService(), "53"))
		},
	}
	addresses, err := resolver.LookupHost(ctx, name+".")
	if err == nil && len(addresses) == 0 {
		err = errors.New("no address for " + name)
	}
	return err
}
