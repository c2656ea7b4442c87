// Package render makes plain Kubernetes objects of an app file. It is pure: the same file gives the same text. Whoever leaves Gapless
// keeps that text; nothing in it but the Rollout needs Gapless.
package render

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"gapless.dev/gapless/internal/app"
	"gapless.dev/gapless/internal/rollout"
)

// Labels of all that is rendered. What has them and is rendered no more is pruned.
const (
	LabelApp   = "gapless.dev/app"
	LabelGroup = "gapless.dev/group"
	labelName  = "app.kubernetes.io/name"
)

// AnnotationVersion on pods is the version that they run.
const AnnotationVersion = "gapless.dev/version"

// Options of a rendering.
type Options struct {
	// Namespace is written into each object; empty: into none, and whoever applies them says where.
	Namespace string
	// Router takes the place of the one that the file names: one of app.Routers, or service for none.
	Router string
}

// An Object is one Kubernetes object.
type Object struct {
	APIVersion, Kind, Name string
	// App that it belongs to.
	App  string
	node *yaml.Node
}

// ID is such as Deployment/demo-api.
func (o Object) ID() string { return o.Kind + "/" + o.Name }

// Text is the object as YAML.
func (o Object) Text() string { return text(o.node) }

// Text is all objects as one YAML stream.
func Text(all []Object) string {
	var docs []string
	for _, o := range all {
		docs = append(docs, o.Text())
	}
	return strings.Join(docs, "---\n")
}

// Objects renders the apps of a file, each behind those that it comes after. What a cluster cannot be given comes back as *app.Problems.
func Objects(f app.File, fileName string, o Options) ([]Object, error) {
	problems := &app.Problems{File: fileName}
	place := map[string]string{}
	for i, a := range f.Apps {
		place[a.Name] = ""
		if _, several := f.Lines["apps"]; several {
			place[a.Name] = fmt.Sprintf("apps[%d].", i)
		}
	}
	var all []Object
	for _, a := range f.Ordered() {
		r := renderer{
			a: a, o: o, group: f.Group.Name,
			wrong: func(field, value, what, fix string) {
				problems.Add(f.Lines, place[a.Name]+field, value, what, fix)
			},
		}
		all = append(all, r.objects()...)
	}
	if err := problems.ErrorOrNil(); err != nil {
		return nil, err
	}
	return all, nil
}

// A renderer renders one app.
type renderer struct {
	a     app.App
	o     Options
	group string
	wrong func(field, value, what, fix string)
}

// objects in the order in which a cluster should get them.
func (r renderer) objects() []Object {
	switch {
	case r.o.Router == "service":
		r.a.Route = app.Route{}
	case r.o.Router != "":
		r.a.Route.Router = r.o.Router
	}
	r.check()
	var all []Object
	for _, make := range []func() *yaml.Node{
		r.account, // what the pods run as
		r.config,  // what they mount
		r.deployment,
		r.service,
		r.budget,  // of evictions
		r.scaler,  // where replicas are a range
		r.route,   // of the router
		r.rollout, // last: it adopts the Deployment
	} {
		if n := make(); n != nil {
			o := Object{App: r.a.Name, node: n}
			o.APIVersion, o.Kind = n.Content[1].Value, n.Content[3].Value
			o.Name = n.Content[5].Content[1].Value
			all = append(all, o)
		}
	}
	return all
}

// check finds what is right for one machine and cannot be said to a cluster.
func (r renderer) check() {
	if r.a.Image.Name == "" {
		r.wrong("image", "", "is missing: a cluster runs images, and command is for one machine", "write the image, such as image: registry.example.org/"+r.a.Name+":{version}")
	}
	if strings.Contains(r.a.Image.Name, "{version}") && strings.Contains(string(r.a.Version), "+") {
		r.wrong("version", string(r.a.Version), "holds a +, which the tag of an image cannot", "leave out what follows the +, here and in the image's tag")
	}
	for _, p := range r.a.Ports {
		if p.Inside() == 0 || p.Public == 0 && !p.Inner {
			r.wrong("ports."+p.Name, "0", "takes a free port of one machine, and a cluster needs one by number", "write the port, or {port: 80, target: 8080}")
		}
	}
	if r.a.Autoscale.Max > 0 && r.a.Resources.CPU == "" {
		r.wrong("resources.cpu", "", "is missing: the use of the processors is measured against what is asked for", "write resources: {cpu: 250m}, or a single number of replicas")
	}
	for i, h := range r.a.Helpers {
		if h.Image.Name == "" {
			r.wrong(fmt.Sprintf("helpers[%d].image", i), "", "is missing: a cluster runs images, and command is for one machine", "write the image of the helper")
		}
	}
	if f := r.a.Follow; f != nil && !strings.Contains(f.Repository, "://") && !strings.Contains(f.Repository, "@") {
		r.wrong("follow.repository", f.Repository, "is a folder of one machine, which no cluster can ask", "write https://HOST/PATH or ssh://USER@HOST/PATH")
	}
	if s := r.a.Plan.Strategy; len(r.a.Gates) > 0 && (s == rollout.Rolling || s == rollout.Recreate) {
		r.wrong("gates", "", "are not asked in recreate and rolling, which a cluster itself carries out", "choose strategy: {blueGreen: {}} or {canary: {}}, or take gates out")
	}
	for i, g := range r.a.Gates {
		if g.Job != nil && g.Job.From == "" {
			r.wrong(fmt.Sprintf("gates[%d].job.from", i), "", "is missing: a cluster runs Jobs, and command is for one machine", "name a CronJob of the namespace")
		}
	}
	if r.a.Route.Router != "" && len(r.public()) == 0 {
		r.wrong("route", "", "leads to no port", "write ports: {http: {port: 80, target: 8080}}, or take the route out")
	}
	if r.a.Route.Router == "gatewayapi" && r.a.Route.Gateway == "" {
		r.wrong("route.gateway", "", "is missing", "name the Gateway that the route is attached to, as NAME or NAMESPACE/NAME")
	}
	if r.a.Route.Router == "" {
		for i, s := range r.a.Plan.Steps {
			at := fmt.Sprintf("strategy.canary.steps[%d].", i)
			if s.Match != nil {
				r.wrong(at+"match", "", "needs a router: a Service knows nothing of requests", "write route: {host: ..., router: ...}, or take the step out")
			}
			if s.Mirror > 0 {
				r.wrong(at+"mirror", "", "needs a router: a Service copies no requests", "write route: {host: ..., router: ...}, or take the step out")
			}
		}
	}
}

// head begins an object: what it is, its name and its labels.
func (r renderer) head(apiVersion, kind, name string, more ...any) *yaml.Node {
	metadata := object(append([]any{
		"name", name, "namespace", r.o.Namespace,
		"labels", object(labelName, r.a.Name, LabelApp, r.a.Name, LabelGroup, r.group),
	}, more...)...)
	return object("apiVersion", apiVersion, "kind", kind, "metadata", metadata)
}

// with adds fields to an object.
func with(n *yaml.Node, pairs ...any) *yaml.Node {
	n.Content = append(n.Content, object(pairs...).Content...)
	return n
}

// selector of the pods. It never changes: a Deployment's cannot.
func (r renderer) selector() *yaml.Node {
	if len(r.a.Labels) > 0 {
		return sorted(r.a.Labels)
	}
	return object(labelName, r.a.Name)
}

// public are the ports that clients use.
func (r renderer) public() []app.Port {
	return slices.DeleteFunc(slices.Clone(r.a.Ports), func(p app.Port) bool { return p.Inner })
}
