//go:build linux

package cluster

import "fmt"

// maxClusters is how many clusters can stand on one machine: one index each.
const maxClusters = 32

// addresses is the plan of a cluster's networks. Clusters could not reach each other even with equal
// addresses; they differ so that a line in a log or a capture names its cluster.
//
//	hosts      172.31.K.0/24   control .254, node-i .i
//	load balancers 172.30.K.0/24
//	services   10.(96+K).0.0/16
//	pods       10.(128+K).I.0/24 on node I
type addresses struct{ index int }

func (a addresses) control() string   { return fmt.Sprintf("172.31.%d.254", a.index) }
func (a addresses) node(i int) string { return fmt.Sprintf("172.31.%d.%d", a.index, i) }

func (a addresses) loadBalancers() string  { return fmt.Sprintf("172.30.%d.0/24", a.index) }
func (a addresses) services() string       { return fmt.Sprintf("10.%d.0.0/16", 96+a.index) }
func (a addresses) apiService() string     { return fmt.Sprintf("10.%d.0.1", 96+a.index) }
func (a addresses) dnsService() string     { return fmt.Sprintf("10.%d.0.10", 96+a.index) }
func (a addresses) pods() string           { return fmt.Sprintf("10.%d.0.0/16", 128+a.index) }
func (a addresses) podsOf(node int) string { return fmt.Sprintf("10.%d.%d.0/24", 128+a.index, node) }
func (a addresses) api() string            { return "https://" + a.control() + ":6443" }

// loadBalancer is the n-th address, n from 1 to 254, that a Service of type LoadBalancer can get.
func (a addresses) loadBalancer(n int) string { return fmt.Sprintf("172.30.%d.%d", a.index, n) }
