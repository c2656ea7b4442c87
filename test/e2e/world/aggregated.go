package world

import (
	"net/http"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Aggregated is the Service that a version of the Kubernetes API of one's own is reached by.
const Aggregated = "metrics"

// Aggregate has the API server pass a version of a group on to a handler, for the time of the test.
func (w *World) Aggregate(group, version string, h http.Handler) {
	w.Helper()
	host, port, _ := w.Serve(h)
	meta := metav1.ObjectMeta{Name: Aggregated, Namespace: w.Namespace}
	Check(w.T, w.Create(w.Context(), &corev1.Service{ObjectMeta: meta, Spec: corev1.ServiceSpec{
		Ports: []corev1.ServicePort{{Name: "https", Port: 443, TargetPort: IntOrString(port)}},
	}}))
	meta.Labels = map[string]string{discoveryv1.LabelServiceName: Aggregated}
	Check(w.T, w.Create(w.Context(), &discoveryv1.EndpointSlice{
		ObjectMeta: meta, AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints: []discoveryv1.Endpoint{{Addresses: []string{host}, Conditions: discoveryv1.EndpointConditions{Ready: new(true)}}},
		Ports:     []discoveryv1.EndpointPort{{Name: new("https"), Port: new(int32(port))}},
	}))
	api := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": map[string]any{"name": version + "." + group},
		"spec": map[string]any{
			"group": group, "version": version, "insecureSkipTLSVerify": true, "groupPriorityMinimum": int64(100), "versionPriority": int64(100),
			"service": map[string]any{"name": Aggregated, "namespace": w.Namespace, "port": int64(443)},
		},
	}}
	Check(w.T, w.Create(w.Context(), api))
	w.Cleanup(func() { _ = w.Delete(w.Root(), api) })
}

// Disaggregate takes the Service away again, so that what stands can be compared with what stood.
func (w *World) Disaggregate() {
	w.Helper()
	Check(w.T, w.Delete(w.Context(), &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: Aggregated, Namespace: w.Namespace}}))
}
