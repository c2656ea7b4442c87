package check

import (
	"context"
	"fmt"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"

	"gapless.dev/gapless/internal/check"
	"gapless.dev/gapless/internal/check/pod"
	"gapless.dev/gapless/internal/cli/exit"
	"gapless.dev/gapless/internal/kube"
	"gapless.dev/kit/kittest"
)

// inCluster is the service as the pods of a Deployment.
type inCluster struct {
	o          *Options
	connection kube.Connection
	about
}

func (p *inCluster) subject() string {
	if p.o.serving {
		return p.o.pod + ", its serving pods"
	}
	return p.o.pod + ", on copies of its pod"
}

// copies is how many of them run at once.
const copies = 3

// target reads the Deployment, and finds out the rest by a first copy.
func (p *inCluster) target(ctx context.Context, doing func(string)) (kittest.Target, error) {
	t, declared, err := p.read(ctx)
	if err != nil {
		return nil, err
	}
	spec, err := p.o.spec(declared)
	if err != nil {
		return nil, exit.With(exit.Usage, err)
	}
	if err := p.place(t, &spec, declared); err != nil {
		return nil, err
	}
	spec.ReadOnly = !p.o.post || !p.o.changed("post") // what a copy writes to is real
	spec.Parallel = copies
	if spec.Stops == 0 {
		spec.Stops, spec.Edges = copies, copies
		if p.o.quick || t.Serving {
			spec.Stops, spec.Edges = 1, 1
		}
	}
	t.Declared = spec
	if !t.Serving {
		if err := p.look(ctx, t, doing); err != nil {
			return nil, err
		}
	}
	p.tell(t.Declared, declared, "")
	if t.Declared.ReadOnly {
		p.fact("only GET is sent: what a copy writes to is real; --post sends POST as well")
	}
	p.service = check.ServiceOf(t.Declared.WithDefaults(), t.Port, t.HealthPort)
	return t, inFlags(t.Spec().Validate())
}

// read gets the Deployment and what it says.
func (p *inCluster) read(ctx context.Context) (*pod.Target, check.Declared, error) {
	kind, name, found := strings.Cut(p.o.pod, "/")
	kind, _, _ = strings.Cut(strings.ToLower(kind), ".")
	if !found || name == "" || kind != "deploy" && kind != "deployment" && kind != "deployments" {
		return nil, check.Declared{}, exit.Usagef("--pod %s: write deploy/NAME: it is a Deployment's pod that is copied", p.o.pod)
	}
	config, namespace, err := p.connection.Config()
	if err != nil {
		return nil, check.Declared{}, exit.With(exit.Usage, err)
	}
	config.QPS, config.Burst = 50, 100
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, check.Declared{}, exit.With(exit.Usage, err)
	}
	d, err := client.AppsV1().Deployments(namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, check.Declared{}, exit.Usagef("there is no Deployment %s in namespace %s", name, namespace)
	}
	if err != nil {
		return nil, check.Declared{}, exit.With(exit.Usage, err)
	}
	if what := pod.Shares(d); what != "" && !p.o.serving {
		return nil, check.Declared{}, exit.Usagef("a copy of the pod would share %s, with the pods that serve: check the program itself, or a Deployment made for it", what)
	}
	t := &pod.Target{Client: client, Deployment: d, Serving: p.o.serving}
	born, err := pod.Born(ctx, t)
	if err != nil {
		return nil, check.Declared{}, err
	}
	if born {
		p.fact("its pods are born with a preStop sleep that its template does not have; the copies have it, too")
	}
	declared, err := declare(d, p.o.container)
	t.Container = declared.Container
	return t, declared, err
}

func declare(d *appsv1.Deployment, container string) (check.Declared, error) {
	d = d.DeepCopy()
	d.SetGroupVersionKind(appsv1.SchemeGroupVersion.WithKind("Deployment"))
	d.ManagedFields, d.Status = nil, appsv1.DeploymentStatus{}
	text, err := yaml.Marshal(d)
	if err != nil {
		return check.Declared{}, err
	}
	declared, err := check.Declare("deploy/"+d.Name, text, container)
	if err != nil {
		return declared, exit.With(exit.Usage, err)
	}
	return declared, nil
}

// place says where the pod is asked.
func (p *inCluster) place(t *pod.Target, spec *kittest.Spec, d check.Declared) error {
	asked := check.Asked{Port: p.o.port, HealthPort: p.o.healthPort, Ready: p.o.ready, Live: p.o.live}
	asked.Declared(d)
	if asked.Port == 0 {
		return exit.Usagef("container %s names no port: say it with --port", t.Container)
	}
	t.Port, t.HealthPort = asked.Port, asked.HealthPort
	spec.Path, spec.ReadyPath, spec.LivePath = p.o.path, asked.Ready, asked.Live
	if spec.ReadyPath == "" {
		spec.ReadyPath = kittest.TCP
		p.fact("it has no readinessProbe: it counts as ready when it accepts connections; name a path with --ready")
	}
	if spec.LivePath == "" {
		spec.LivePath = kittest.None
	}
	if t.Serving && spec.ReadyPath == kittest.GRPC {
		p.speaksGRPC(t, spec)
	}
	return nil
}

// speaksGRPC goes by a gRPC probe where no copy is looked at: what is probed on the service's own port is loaded by gRPC, too.
func (p *inCluster) speaksGRPC(t *pod.Target, spec *kittest.Spec) {
	spec.GRPC, t.GRPCPort = true, t.HealthPort
	if spec.Path == "" && t.HealthPort == 0 {
		spec.Path = kittest.HealthMethod
		p.fact("its readinessProbe speaks gRPC; the load calls %s, or what --path says", spec.Path)
	}
}

// unreachable is how long an address may be silent before it counts as out of reach.
const unreachable = 10 * time.Second

// look starts a first copy to see whether it can be reached, and what it speaks.
func (p *inCluster) look(ctx context.Context, t *pod.Target, doing func(string)) error {
	doing("starting a copy of the pod, to see what it speaks")
	in, err := t.Start(ctx)
	if err != nil {
		return err
	}
	defer in.Kill()
	s := &t.Declared
	limit := time.Now().Add(s.Startup)
	silent := time.Now().Add(unreachable)
	for {
		a := kittest.Asks(ctx, in.HealthAddr(), s.ReadyPath)
		if a.Reached && a.Status < 300 {
			break
		}
		if a.TimedOut && time.Now().After(silent) {
			return exit.Usagef("the pod's address %s cannot be reached from here: run gapless check where pods can be reached, on a node or in a pod", in.HealthAddr())
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-in.Exited():
			return fmt.Errorf("exited with %v before it was ready%s", in.Exit(), kittest.LastWords(in))
		case <-time.After(100 * time.Millisecond):
		}
		if time.Now().After(limit) {
			return fmt.Errorf("not ready after %v%s", s.Startup, kittest.LastWords(in))
		}
	}
	path := s.Path
	if path == "" {
		path = "/"
	}
	speaks := check.SpokenAt(ctx, in.Addr(), path)
	s.HTTP2, s.GRPC = speaks.HTTP2, speaks.GRPC
	if speaks.GRPC && !speaks.HTTP && s.Path == "" {
		s.Path = kittest.HealthMethod
		p.fact("it speaks gRPC; the load calls %s", s.Path)
	}
	return nil
}
