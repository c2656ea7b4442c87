// Command xds asks Istio's control plane, as a proxy of a namespace would, for the routes of a port, and prints them as JSON: a list with
// the domains, what is matched, and the weight of each cluster.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"
)

// A rule is one route as a proxy is told it.
type rule struct {
	Domains []string          `json:"domains"`
	Match   json.RawMessage   `json:"match"`
	Weights map[string]uint32 `json:"weights"`
	Mirrors []json.RawMessage `json:"mirrors,omitempty"`
	Cookies map[string]string `json:"cookies,omitempty"`
}

func main() {
	at := flag.String("at", "127.0.0.1:15010", "address of the control plane")
	namespace := flag.String("namespace", "default", "of the proxy")
	port := flag.String("port", "80", "whose routes are asked for")
	flag.Parse()
	rules, err := ask(*at, *namespace, *port)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	text, _ := json.MarshalIndent(rules, "", " ")
	fmt.Println(string(text))
}

const routes = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"

func ask(at, namespace, port string) ([]rule, error) {
	ctx, stop := context.WithTimeout(context.Background(), 10*time.Second)
	defer stop()
	conn, err := grpc.NewClient(at, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	stream, err := discovery.NewAggregatedDiscoveryServiceClient(conn).StreamAggregatedResources(ctx)
	if err != nil {
		return nil, err
	}
	meta, err := structpb.NewStruct(map[string]any{"NAMESPACE": namespace, "ISTIO_VERSION": "1.99.0", "CLUSTER_ID": "Kubernetes"})
	if err != nil {
		return nil, err
	}
	if err := stream.Send(&discovery.DiscoveryRequest{
		Node:    &core.Node{Id: "sidecar~10.9.9.9~client." + namespace + "~" + namespace + ".svc.cluster.local", Metadata: meta},
		TypeUrl: routes, ResourceNames: []string{port},
	}); err != nil {
		return nil, err
	}
	answer, err := stream.Recv()
	if err != nil {
		return nil, err
	}
	var all []rule
	for _, r := range answer.Resources {
		c := &route.RouteConfiguration{}
		if err := r.UnmarshalTo(c); err != nil {
			return nil, err
		}
		for _, host := range c.VirtualHosts {
			for _, to := range host.Routes {
				all = append(all, ruleOf(host.Domains, to))
			}
		}
	}
	return all, nil
}

func ruleOf(domains []string, r *route.Route) rule {
	out := rule{Domains: domains, Weights: map[string]uint32{}, Cookies: map[string]string{}}
	out.Match, _ = protojson.Marshal(r.Match)
	action := r.GetRoute()
	if name := action.GetCluster(); name != "" {
		out.Weights[name] = 100
	}
	for _, c := range action.GetWeightedClusters().GetClusters() {
		out.Weights[c.Name] = c.Weight.GetValue()
		for _, h := range c.ResponseHeadersToAdd {
			out.Cookies[c.Name] = h.Header.GetValue()
		}
	}
	for _, m := range action.GetRequestMirrorPolicies() {
		text, _ := protojson.Marshal(m)
		out.Mirrors = append(out.Mirrors, text)
	}
	slices.Sort(out.Domains)
	return out
}
