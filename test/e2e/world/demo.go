package world

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/util/intstr"

	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/internal/kube"
	"gapless.dev/gapless/internal/report"
	"gapless.dev/gapless/internal/rollout"
)

// Image is loaded into the nodes by test/e2e/run.
const Image = "api-status:e2e"

const Demo = "demo-api"

// Deploy creates the demo service in three pods and a Service, and waits until it answers.
func (w *World) Deploy(args ...string) {
	w.Helper()
	w.DeployOf(Image, args...)
}

// DeployOf does the same with another image.
func (w *World) DeployOf(image string, args ...string) {
	w.Helper()
	labels := map[string]string{"app": Demo}
	d := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: Demo, Namespace: w.Namespace},
		Spec: appsv1.DeploymentSpec{
			Replicas: new(int32(3)), Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec: corev1.PodSpec{Containers: []corev1.Container{{
					Name: "app", Image: image, Args: append([]string{"-version", "1.0.0"}, args...),
					Ports:          []corev1.ContainerPort{{ContainerPort: 8080}},
					ReadinessProbe: &corev1.Probe{PeriodSeconds: 1, ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/ready", Port: IntOrString(8080)}}},
				}}},
			},
		},
	}
	Check(w.T, w.Create(w.Context(), d))
	s := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: Demo, Namespace: w.Namespace},
		Spec:       corev1.ServiceSpec{Selector: labels, Ports: []corev1.ServicePort{{Port: 80, TargetPort: IntOrString(8080)}}},
	}
	Check(w.T, w.Create(w.Context(), s))
	w.Eventually("three pods serve", 2*time.Minute, func() error {
		if d := w.Deployment(); d.Status.AvailableReplicas < 3 {
			return fmt.Errorf("%d are available", d.Status.AvailableReplicas)
		}
		return nil
	})
}

// Adopt makes the Rollout and waits until it rests.
func (w *World) Adopt(s *v1alpha1.Strategy, change ...func(*v1alpha1.Rollout)) {
	w.Helper()
	r := &v1alpha1.Rollout{ObjectMeta: metav1.ObjectMeta{Name: Demo, Namespace: w.Namespace}, Spec: v1alpha1.RolloutSpec{Strategy: s}}
	for _, f := range change {
		f(r)
	}
	Check(w.T, w.Create(w.Context(), r))
	w.Rests("adopted", func(r *v1alpha1.Rollout) bool { return r.Status.Adopted != nil })
	w.drainsAtBirth()
}

// drainsAtBirth waits until the API server has heard of the Rollout: a pod that is born in the first moment has no drain, and whoever deletes
// it loses what it was sent (decision 0020). Where the policy does not stand, or the template has a preStop, there is nothing to wait for.
func (w *World) drainsAtBirth() {
	w.Helper()
	binding := &unstructured.Unstructured{}
	binding.SetGroupVersionKind(schema.GroupVersionKind{Group: "admissionregistration.k8s.io", Version: "v1", Kind: "MutatingAdmissionPolicyBinding"})
	err := w.Get(w.Context(), types.NamespacedName{Name: "gapless-drain-at-birth"}, binding)
	d := w.Deployment()
	app := d.Spec.Template.Spec.Containers[0]
	if apierrors.IsNotFound(err) || app.Lifecycle != nil || w.Rollout().Status.Adopted.DrainSeconds == 0 {
		return
	}
	Check(w.T, err)
	w.Eventually("pods are born with a drain", time.Minute, func() error {
		p := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: w.Namespace, GenerateName: Demo + "-", Labels: d.Spec.Template.Labels,
				OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: Demo + "-none", UID: "none"}},
			},
			Spec: *d.Spec.Template.Spec.DeepCopy(),
		}
		if err := w.Create(w.Context(), p, client.DryRunAll); err != nil {
			return err
		}
		if l := p.Spec.Containers[0].Lifecycle; l == nil || l.PreStop == nil {
			return errors.New("it would have no preStop")
		}
		return nil
	})
}

// Set is what kubectl set image does: the template's version becomes another.
func (w *World) Set(version string) {
	w.Helper()
	w.PatchDeployment(fmt.Sprintf(`[{"op":"replace","path":"/spec/template/spec/containers/0/args/1","value":%q}]`, version))
}

func (w *World) ScaleTo(n int) {
	w.Helper()
	w.PatchDeployment(fmt.Sprintf(`[{"op":"replace","path":"/spec/replicas","value":%d}]`, n))
}

// Grace sets how long pods may take to end.
func (w *World) Grace(seconds int) {
	w.Helper()
	w.PatchDeployment(fmt.Sprintf(`[{"op":"replace","path":"/spec/template/spec/terminationGracePeriodSeconds","value":%d}]`, seconds))
	w.Available(3)
}

func (w *World) PatchDeployment(patch string) {
	w.Helper()
	Check(w.T, w.Patch(w.Context(), w.Deployment(), client.RawPatch(types.JSONPatchType, []byte(patch))))
}

func (w *World) Deployment() *appsv1.Deployment {
	w.Helper()
	d := w.demo()
	Check(w.T, w.Get(w.Context(), client.ObjectKeyFromObject(d), d))
	return d
}

func (w *World) demo() *appsv1.Deployment {
	return &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: Demo}}
}

// Version is the one that the template asks for.
func (w *World) Version() string {
	w.Helper()
	return w.Deployment().Spec.Template.Spec.Containers[0].Args[1]
}

func (w *World) Rollout() *v1alpha1.Rollout {
	w.Helper()
	r := &v1alpha1.Rollout{}
	Check(w.T, w.Get(w.Context(), types.NamespacedName{Namespace: w.Namespace, Name: Demo}, r))
	return r
}

func (w *World) Service() *corev1.Service {
	w.Helper()
	s := &corev1.Service{}
	Check(w.T, w.Get(w.Context(), types.NamespacedName{Namespace: w.Namespace, Name: Demo}, s))
	return s
}

// Order is what a person orders by a verb.
func (w *World) Order(v rollout.Verb) {
	w.Helper()
	Check(w.T, w.OrderAs(v, w.User()))
}

// OrderAs orders under a name, which may be somebody else's.
func (w *World) OrderAs(v rollout.Verb, by string) error {
	return kube.Give(w.Context(), w.Client, types.NamespacedName{Namespace: w.Namespace, Name: Demo}, v, by)
}

// Evidence is the report of a revision that is over.
func (w *World) Evidence(revision int) report.Report {
	w.Helper()
	var found report.Report
	w.Eventually(fmt.Sprintf("a report of revision %d", revision), 30*time.Second, func() error {
		e, err := kube.EvidenceOf(w.Context(), w.Client, types.NamespacedName{Namespace: w.Namespace, Name: Demo})
		if err != nil {
			return err
		}
		r, ok := e.Of(revision)
		if !ok || !r.Over() {
			return fmt.Errorf("over: %v", ok)
		}
		found = r
		return nil
	})
	return found
}

// User is who the stories are for the cluster.
func (w *World) User() string {
	w.Helper()
	review := &authenticationv1.SelfSubjectReview{}
	Check(w.T, w.Create(w.Context(), review))
	return review.Status.UserInfo.Username
}

func (w *World) PodNames() []string {
	w.Helper()
	var pods corev1.PodList
	Check(w.T, w.List(w.Context(), &pods, client.InNamespace(w.Namespace)))
	var names []string
	for _, p := range pods.Items {
		names = append(names, p.Name)
	}
	slices.Sort(names)
	return names
}

func IntOrString(n int) intstr.IntOrString { return intstr.FromInt32(int32(n)) }
