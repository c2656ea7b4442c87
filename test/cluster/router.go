//go:build linux

package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// router is the component on the control host that plays what stands before a cluster: it gives addresses to Services of
// type LoadBalancer, and sends each new connection that this host opens to a load balancer or a ClusterIP to a node that can
// take it. A connection stays with its node, also when that node takes no new ones. Which nodes can is asked of kube-proxy,
// as the load balancers of clouds do it: its /healthz, and for externalTrafficPolicy: Local the Service's health check port.
type router struct {
	api   *api
	plan  addresses
	nodes int
	http  *http.Client
	rules string // as last written
}

// healthEvery is how often nodes are asked, quick for a load balancer: clouds take 2 to 10 s.
const healthEvery = time.Second

type service struct {
	Metadata struct{ Name, Namespace string }
	Spec     struct {
		Type, LoadBalancerIP, LoadBalancerClass string
		ExternalTrafficPolicy                   string
		HealthCheckNodePort                     int
	}
	Status struct {
		LoadBalancer struct {
			Ingress []struct{ IP string }
		}
	}
}

func runRouter(folder string) error {
	r, err := readRecord(folder)
	if err != nil {
		return err
	}
	plan := addresses{r.Index}
	dial := new(net.Dialer).DialContext
	api, err := newAPI(folder, plan, dial)
	if err != nil {
		return err
	}
	router := &router{
		api: api, plan: plan, nodes: r.Nodes,
		http: &http.Client{Timeout: healthEvery, Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}},
	}
	if out, err := exec.Command("iptables", "-t", "mangle", "-N", "ROUTER").CombinedOutput(); err != nil {
		log.Printf("chain ROUTER: %s", out) // there already, when restarted
	} else if out, err := exec.Command("iptables", "-t", "mangle", "-A", "OUTPUT", "-j", "ROUTER").CombinedOutput(); err != nil {
		return fmt.Errorf("iptables: %w: %s", err, out)
	}
	return router.run(context.Background())
}

// run looks at the Services when one has changed, and at the nodes every second.
func (r *router) run(ctx context.Context) error {
	changed := make(chan struct{}, 1)
	go r.watch(ctx, changed)
	tick := time.NewTicker(healthEvery)
	defer tick.Stop()
	var services []service
	for {
		select {
		case <-changed:
			found, err := r.assign(ctx)
			if err != nil {
				log.Printf("services: %v", err)
				continue
			}
			services = found
		case <-tick.C:
		}
		if err := r.write(ctx, services); err != nil {
			log.Printf("rules: %v", err)
		}
	}
}

// watch says that some Service has changed. A watch that ends is begun anew after a second, with a look at all.
func (r *router) watch(ctx context.Context, changed chan<- struct{}) {
	tell := func() {
		select {
		case changed <- struct{}{}:
		default: // one look is due already
		}
	}
	again := time.NewTicker(healthEvery)
	defer again.Stop()
	for {
		tell()
		answer, err := r.api.send(ctx, http.MethodGet, "/api/v1/services?watch=1", "", nil)
		if err == nil {
			events := json.NewDecoder(answer)
			var event json.RawMessage
			for err = events.Decode(&event); err == nil; err = events.Decode(&event) {
				tell()
			}
			answer.Close()
		}
		if err != io.EOF { //nolint:errorlint // the plain end of a watch
			log.Printf("watch services: %v", err)
		}
		<-again.C
	}
}

// assign gives every Service of type LoadBalancer an address, the one it asks for where that is free, and takes the
// address from those that are no longer of that type.
func (r *router) assign(ctx context.Context) ([]service, error) {
	var list struct{ Items []service }
	if err := r.api.get(ctx, "/api/v1/services", &list); err != nil {
		return nil, err
	}
	taken := map[string]bool{}
	for _, s := range list.Items {
		if len(s.Status.LoadBalancer.Ingress) > 0 && s.Spec.Type == "LoadBalancer" {
			taken[s.Status.LoadBalancer.Ingress[0].IP] = true
		}
	}
	for i := range list.Items {
		s := &list.Items[i]
		has := len(s.Status.LoadBalancer.Ingress) > 0
		switch {
		case s.Spec.Type != "LoadBalancer" && has:
			if err := r.setAddress(ctx, *s, ""); err != nil {
				return nil, err
			}
		case s.Spec.Type == "LoadBalancer" && !has && s.Spec.LoadBalancerClass == "":
			address := r.free(taken, s.Spec.LoadBalancerIP)
			if address == "" {
				log.Printf("%s/%s: no address is free in %s", s.Metadata.Namespace, s.Metadata.Name, r.plan.loadBalancers())
				continue
			}
			if err := r.setAddress(ctx, *s, address); err != nil {
				return nil, err
			}
			taken[address] = true
			s.Status.LoadBalancer.Ingress = []struct{ IP string }{{address}}
			log.Printf("%s/%s has %s", s.Metadata.Namespace, s.Metadata.Name, address)
		}
	}
	return list.Items, nil
}

func (r *router) free(taken map[string]bool, wanted string) string {
	for n := 1; n < 255; n++ {
		if address := r.plan.loadBalancer(n); !taken[address] && (wanted == "" || wanted == address) {
			return address
		}
	}
	return ""
}

func (r *router) setAddress(ctx context.Context, s service, address string) error {
	type object = map[string]any
	balancer := object{"ingress": nil}
	if address != "" {
		balancer["ingress"] = []object{{"ip": address}}
	}
	path := "/api/v1/namespaces/" + s.Metadata.Namespace + "/services/" + s.Metadata.Name + "/status"
	return r.api.exchange(ctx, http.MethodPatch, path, "application/merge-patch+json", object{"status": object{"loadBalancer": balancer}}, nil)
}

// write puts the rules for these Services and the nodes as they are now, in one transaction, if they differ from the last.
func (r *router) write(ctx context.Context, services []service) error {
	all := r.healthy(ctx, 10256)
	var rules strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&rules, format+"\n", args...) }
	line("*mangle")
	line(":ROUTER - [0:0]")
	line("-A ROUTER -m connmark ! --mark 0 -j CONNMARK --restore-mark")
	line("-A ROUTER -m connmark ! --mark 0 -j RETURN")
	for _, s := range services {
		if s.Spec.ExternalTrafficPolicy == "Local" && len(s.Status.LoadBalancer.Ingress) > 0 && s.Spec.HealthCheckNodePort != 0 {
			spread(line, s.Status.LoadBalancer.Ingress[0].IP+"/32", r.healthy(ctx, s.Spec.HealthCheckNodePort))
		}
	}
	spread(line, r.plan.loadBalancers(), all)
	spread(line, r.plan.services(), all)
	line("-A ROUTER -j CONNMARK --save-mark")
	line("COMMIT")
	if rules.String() == r.rules {
		return nil
	}
	restore := exec.CommandContext(ctx, "iptables-restore", "--noflush")
	restore.Stdin = strings.NewReader(rules.String())
	if out, err := restore.CombinedOutput(); err != nil {
		return fmt.Errorf("iptables-restore: %w: %s", err, out)
	}
	log.Printf("nodes that take connections: %v", all)
	r.rules = rules.String()
	return nil
}

// spread marks a new connection to a range with one of these nodes, each with the same chance.
func spread(line func(string, ...any), to string, nodes []int) {
	for i, node := range nodes {
		line("-A ROUTER -d %s -m mark --mark 0 -m statistic --mode random --probability %.6f -j MARK --set-mark %d",
			to, 1/float64(len(nodes)-i), node)
	}
}

// healthy asks a health port of each node. When none is well, all are named: a load balancer then has nothing better.
func (r *router) healthy(ctx context.Context, port int) []int {
	answers := make(chan int, r.nodes)
	for node := 1; node <= r.nodes; node++ {
		go func() {
			request, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://%s:%d/healthz", r.plan.node(node), port), nil)
			if err == nil {
				if response, err := r.http.Do(request); err == nil {
					response.Body.Close()
					if response.StatusCode == http.StatusOK {
						answers <- node
						return
					}
				}
			}
			answers <- 0
		}()
	}
	var well, all []int
	for node := 1; node <= r.nodes; node++ {
		all = append(all, node)
		if answer := <-answers; answer != 0 {
			well = append(well, answer)
		}
	}
	if len(well) == 0 {
		return all
	}
	slices.Sort(well)
	return well
}
