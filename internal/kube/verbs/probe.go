package verbs

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/internal/kube"
	"gapless.dev/gapless/internal/report"
)

// A Probe is a prober in a pod of the cluster, for as long as it runs.
type Probe struct {
	// App is what is probed, as status knows it: the Deployment's name.
	App string
	// URL and ConnectTo are what the pod asks, and by which address.
	URL, ConnectTo string
	// Image of gapless.
	Image string
	// Args are further flags of gapless probe.
	Args []string
	// For is how long requests are due; 0: until ctx ends.
	For time.Duration
	// Say is told what is waited for, and Live what was counted until now.
	Say  func(string)
	Live func(report.Traffic)
}

// A Line is what a prober in a pod prints each second, and at its end.
type Line struct {
	Live    *report.Traffic `json:"live,omitempty"`
	Traffic *report.Traffic `json:"traffic,omitempty"`
}

const (
	probeLabel = v1alpha1.Group + "/probe"
	longest    = 24 * time.Hour
	// startTime bounds how long the pod may take to run, and lastTime how long it may take to end once it was told to.
	startTime = 2 * time.Minute
	lastTime  = time.Minute
	// keptAfter is how long what is left of a probe stands whose starter is gone.
	keptAfter = time.Minute
)

// Probe runs it and returns what was counted. When ctx ends the schedule ends early, and the report so far comes back. Nothing of it is left.
func (c *Cluster) Probe(ctx context.Context, p Probe) (report.Traffic, error) {
	job := p.job(c.place.Namespace)
	if err := c.client.Create(ctx, job); err != nil {
		return report.Traffic{}, explain(err)
	}
	defer func() {
		last, done := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer done()
		_ = c.client.Delete(last, job, client.PropagationPolicy(metav1.DeletePropagationBackground)) // what is left goes by itself, a minute after its end
	}()
	pod, err := c.started(ctx, job, p.Say)
	if err != nil {
		return report.Traffic{}, err
	}
	return c.counted(ctx, pod, p.Live)
}

func (p Probe) job(namespace string) *batchv1.Job {
	labels := map[string]string{
		"app.kubernetes.io/name": "gapless-probe", "app.kubernetes.io/managed-by": "gapless", probeLabel: p.App, "sidecar.istio.io/inject": "false",
	}
	args := append([]string{"probe", p.URL, "--lines", "--for=" + p.For.String()}, p.Args...)
	if p.ConnectTo != "" {
		args = append(args, "--connect-to="+p.ConnectTo)
	}
	lasts := p.For + startTime + lastTime
	if p.For == 0 {
		lasts = longest
	}
	nobody := int64(65532)
	return &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "gapless-probe-", Namespace: namespace, Labels: labels},
		Spec: batchv1.JobSpec{
			BackoffLimit: new(int32(0)), ActiveDeadlineSeconds: new(int64(lasts.Seconds())), TTLSecondsAfterFinished: new(int32(keptAfter.Seconds())),
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec: corev1.PodSpec{
					RestartPolicy: corev1.RestartPolicyNever, AutomountServiceAccountToken: new(false), EnableServiceLinks: new(false),
					SecurityContext: &corev1.PodSecurityContext{
						RunAsNonRoot: new(true), RunAsUser: &nobody, RunAsGroup: &nobody, SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
					},
					Containers: []corev1.Container{{
						Name: "probe", Image: p.Image, ImagePullPolicy: corev1.PullIfNotPresent, Args: args,
						SecurityContext: &corev1.SecurityContext{
							AllowPrivilegeEscalation: new(false), ReadOnlyRootFilesystem: new(true), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
						},
					}},
				},
			},
		},
	}
}

// started waits until the pod runs or has run, and says why not where it does not.
func (c *Cluster) started(ctx context.Context, job *batchv1.Job, say func(string)) (*corev1.Pod, error) {
	waiting, stop := context.WithTimeout(ctx, startTime)
	defer stop()
	var pod *corev1.Pod
	said := ""
	err := kube.Await(waiting, func(ctx context.Context) (bool, error) {
		var pods corev1.PodList
		if err := c.client.List(ctx, &pods, client.InNamespace(job.Namespace), client.MatchingLabels{"batch.kubernetes.io/job-name": job.Name}); err != nil {
			return false, err
		}
		if len(pods.Items) == 0 {
			return false, nil
		}
		pod = &pods.Items[0]
		if pod.Status.Phase != corev1.PodPending {
			return true, nil
		}
		why := kube.Failure([]*corev1.Pod{pod})
		if why != "" && why != said && say != nil {
			said = why
			say("the probe does not run yet: " + why)
		}
		if unpullable(pod) {
			return false, problem("the probe cannot run: %s; --image names the image of gapless that this cluster can pull", why)
		}
		return false, nil
	})
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return nil, fmt.Errorf("the probe's pod did not run within %s: %s", startTime, said)
	}
	return pod, explain(err)
}

func unpullable(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Status.ContainerStatuses, func(s corev1.ContainerStatus) bool {
		return s.State.Waiting != nil && slices.Contains([]string{"ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"}, s.State.Waiting.Reason)
	})
}

// counted follows what the pod prints to its end. When ctx ends the pod is told to stop, and the rest is read.
func (c *Cluster) counted(ctx context.Context, pod *corev1.Pod, live func(report.Traffic)) (report.Traffic, error) {
	reading, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	ended := context.AfterFunc(ctx, func() {
		c.end(pod)
		after := time.AfterFunc(lastTime, stop)
		context.AfterFunc(reading, func() { after.Stop() })
	})
	defer ended()
	last := ""
	for tries := 0; ; tries++ {
		t, text, err := c.read(reading, pod, live)
		if t != nil {
			return *t, nil
		}
		last = text
		if reading.Err() != nil {
			return report.Traffic{}, errors.New("the probe was told to stop and gave no report")
		}
		if gone := c.over(reading, pod); gone && tries > 0 {
			return report.Traffic{}, fmt.Errorf("the probe ended without a report: %s", last)
		}
		if err != nil && (apierrors.IsForbidden(err) || tries > 10) {
			return report.Traffic{}, explain(err)
		}
		if err := kube.Await(reading, onceMore()); err != nil {
			return report.Traffic{}, explain(err)
		}
	}
}

// onceMore lets a moment pass.
func onceMore() func(context.Context) (bool, error) {
	asked := false
	return func(context.Context) (bool, error) {
		before := asked
		asked = true
		return before, nil
	}
}

// end has the kubelet stop the pod as at any deadline, with SIGTERM. A deletion would take its last words with it.
func (c *Cluster) end(pod *corev1.Pod) {
	ctx, done := context.WithTimeout(context.Background(), 10*time.Second)
	defer done()
	patch := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"activeDeadlineSeconds":1}}`))
	_ = c.client.Patch(ctx, pod.DeepCopy(), patch) // it ends by itself, later
}

func (c *Cluster) over(ctx context.Context, pod *corev1.Pod) bool {
	now := &corev1.Pod{}
	err := c.client.Get(ctx, client.ObjectKeyFromObject(pod), now)
	return apierrors.IsNotFound(err) || err == nil && (now.Status.Phase == corev1.PodFailed || now.Status.Phase == corev1.PodSucceeded)
}

// read reads lines from the pod's log until the one with the result. text is the last line that is none of ours.
func (c *Cluster) read(ctx context.Context, pod *corev1.Pod, live func(report.Traffic)) (t *report.Traffic, text string, err error) {
	stream, err := c.log(ctx, pod.Name, &corev1.PodLogOptions{Follow: true})
	if err != nil {
		return nil, "", err
	}
	defer stream.Close()
	lines := bufio.NewReader(stream)
	for {
		line, err := lines.ReadBytes('\n')
		var l Line
		switch {
		case json.Unmarshal(line, &l) != nil:
			text = strings.TrimSpace(string(line))
		case l.Traffic != nil:
			return l.Traffic, "", nil
		case l.Live != nil && live != nil:
			live(*l.Live)
		}
		if err != nil {
			return nil, text, nil
		}
	}
}

func (c *Cluster) log(ctx context.Context, pod string, o *corev1.PodLogOptions) (io.ReadCloser, error) {
	set, err := kubernetes.NewForConfig(c.config)
	if err != nil {
		return nil, err
	}
	return set.CoreV1().Pods(c.place.Namespace).GetLogs(pod, o).Stream(ctx)
}

// ControllerImage is the image that the controller runs; empty where that is not known or may not be read.
func (c *Cluster) ControllerImage(ctx context.Context, namespace string) string {
	d := &appsv1.Deployment{}
	if err := c.client.Get(ctx, types.NamespacedName{Namespace: namespace, Name: "gapless-controller"}, d); err != nil || len(d.Spec.Template.Spec.Containers) == 0 {
		return ""
	}
	return d.Spec.Template.Spec.Containers[0].Image
}

// AnotherWay says how the pod is to ask, where that does not follow from the Service.
type AnotherWay struct{ Service, Port, Path string }

// Address is where the requests of a Deployment's or Service's clients go to.
func (c *Cluster) Address(ctx context.Context, target string, way AnotherWay) (p Probe, err error) {
	kind, name, _ := strings.Cut(target, "/")
	var s *corev1.Service
	switch strings.ToLower(kind) {
	case "deploy", "deployment", "deployments", "deployments.apps":
		s, err = c.serviceOf(ctx, name, way.Service)
	case "svc", "service", "services":
		s, err = c.service(ctx, name)
	default:
		err = problem("%s cannot be probed: write deploy/NAME, svc/NAME or a URL", target)
	}
	if err != nil {
		return p, err
	}
	port, err := portOf(s, way.Port)
	if err != nil {
		return p, err
	}
	scheme := "http"
	if port.Port == 443 || port.Name == "https" || port.AppProtocol != nil && strings.HasSuffix(*port.AppProtocol, "https") {
		scheme = "https"
	}
	host := net.JoinHostPort(s.Name+"."+s.Namespace+".svc", strconv.Itoa(int(port.Port)))
	p = Probe{App: name, URL: scheme + "://" + host + "/" + strings.TrimPrefix(way.Path, "/")}
	if ip := s.Spec.ClusterIP; ip != "" && ip != corev1.ClusterIPNone {
		p.ConnectTo = net.JoinHostPort(ip, strconv.Itoa(int(port.Port)))
	}
	return p, nil
}

func (c *Cluster) service(ctx context.Context, name string) (*corev1.Service, error) {
	s := &corev1.Service{}
	err := c.client.Get(ctx, types.NamespacedName{Namespace: c.place.Namespace, Name: name}, s)
	if apierrors.IsNotFound(err) {
		return nil, problem("there is no Service %s in namespace %s", name, c.place.Namespace)
	}
	return s, explain(err)
}

// serviceOf is the Service that leads to a Deployment: the one that is asked for, the only one, or the one of its name.
func (c *Cluster) serviceOf(ctx context.Context, deployment, asked string) (*corev1.Service, error) {
	if asked != "" {
		return c.service(ctx, asked)
	}
	d, err := kube.Deployment(ctx, c.client, c.place.Namespace, deployment)
	if apierrors.IsNotFound(err) {
		return nil, problem("there is no Deployment %s in namespace %s", deployment, c.place.Namespace)
	} else if err != nil {
		return nil, explain(err)
	}
	var all corev1.ServiceList
	if err := c.client.List(ctx, &all, client.InNamespace(c.place.Namespace)); err != nil {
		return nil, explain(err)
	}
	var names []string
	for i := range all.Items {
		s := &all.Items[i]
		if !kube.LeadsTo(s, d) {
			continue
		}
		if s.Name == deployment {
			return s, nil
		}
		names = append(names, s.Name)
	}
	switch len(names) {
	case 0:
		return nil, problem("no Service leads to Deployment %s: give a URL", deployment)
	case 1:
		return c.service(ctx, names[0])
	}
	return nil, problem("the Services %s lead to Deployment %s: say which one with --service", strings.Join(names, ", "), deployment)
}

func portOf(s *corev1.Service, asked string) (corev1.ServicePort, error) {
	var names []string
	for _, p := range s.Spec.Ports {
		if asked == p.Name && asked != "" || asked == strconv.Itoa(int(p.Port)) || asked == "" && (len(s.Spec.Ports) == 1 || p.Name == "http") {
			return p, nil
		}
		names = append(names, strings.Trim(p.Name+" "+strconv.Itoa(int(p.Port)), " "))
	}
	return corev1.ServicePort{}, problem("Service %s has the ports %s: say which one with --port", s.Name, strings.Join(names, ", "))
}
