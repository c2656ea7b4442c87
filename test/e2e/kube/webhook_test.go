package kube_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"gapless.dev/gapless/test/e2e/world"

	admissionv1 "k8s.io/api/admission/v1"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/internal/rollout"
)

// webhook has writes of a resource changed by somebody else's admission webhook, which answers with a JSON patch or "".
func webhook(w *world.World, group, resource string, operation admissionregistrationv1.OperationType, answer func(object string) string) {
	w.Helper()
	host, port, ca := w.Serve(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		var review admissionv1.AdmissionReview
		if err := json.NewDecoder(r.Body).Decode(&review); err != nil || review.Request == nil {
			http.Error(out, "no review", http.StatusBadRequest)
			return
		}
		response := &admissionv1.AdmissionResponse{UID: review.Request.UID, Allowed: true}
		if patch := answer(string(review.Request.Object.Raw)); patch != "" {
			response.Patch, response.PatchType = []byte(patch), new(admissionv1.PatchTypeJSONPatch)
		}
		review.Request, review.Response = nil, response
		_ = json.NewEncoder(out).Encode(review)
	}))
	c := &admissionregistrationv1.MutatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: w.Namespace},
		Webhooks: []admissionregistrationv1.MutatingWebhook{{
			Name: "theirs.example.org", AdmissionReviewVersions: []string{"v1"}, SideEffects: new(admissionregistrationv1.SideEffectClassNone),
			ClientConfig:      admissionregistrationv1.WebhookClientConfig{URL: new(fmt.Sprintf("https://%s:%d/", host, port)), CABundle: ca},
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: w.Namespace}},
			Rules: []admissionregistrationv1.RuleWithOperations{{
				Operations: []admissionregistrationv1.OperationType{operation},
				Rule:       admissionregistrationv1.Rule{APIGroups: []string{group}, APIVersions: []string{"v1"}, Resources: []string{resource}},
			}},
		}},
	}
	world.Check(w.T, w.Create(w.Context(), c))
	w.Cleanup(func() { _ = w.Delete(w.Root(), c) })
	time.Sleep(2 * time.Second) // until the API server has heard of it
}

// TestWebhook_ThatChangesATemplateDoesNotSlipPastTheGuard: the write changes a label only. The policy sees nothing to hold; then a webhook pins
// the version in the template, in the same write, and the policy is asked again.
func TestWebhook_ThatChangesATemplateDoesNotSlipPastTheGuard(t *testing.T) {
	t.Parallel()
	w := world.New(t)
	w.Deploy("-naive")
	w.Adopt(world.Canary("manual"))
	rolled(w, "2.0.0")
	webhook(w, "apps", "deployments", admissionregistrationv1.Update, func(object string) string {
		if !strings.Contains(object, `"pin":"please"`) || strings.Contains(object, `"3.0.0"`) {
			return ""
		}
		return `[{"op":"replace","path":"/spec/template/spec/containers/0/args/1","value":"3.0.0"}]`
	})
	counted := w.UnderLoad(1, 0.3, func() {
		world.Check(t, w.Patch(w.Context(), w.Deployment(), client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":{"pin":"please"}}}`))))
		if d := w.Deployment(); d.Labels[v1alpha1.LabelHeld] == "" || !d.Spec.Paused {
			t.Errorf("it is not held: labels %v, paused %v", d.Labels, d.Spec.Paused)
		}
		w.Until("the step stands", func(r *v1alpha1.Rollout) bool { return r.Status.Reason == rollout.ReasonAwaitingPromote })
		(&journey{World: w}).end("3.0.0")
	})
	w.NothingLost(counted)
}

// TestWebhook_ThatChangesReplicaSetsIsSaid: Kubernetes then does not take ours for the template's, and would roll everything once more at the end.
// It is taken back instead, before it has had a request.
func TestWebhook_ThatChangesReplicaSetsIsSaid(t *testing.T) {
	t.Parallel()
	w := world.New(t)
	w.Deploy()
	before := w.Theirs()
	w.Adopt(world.BlueGreen(), func(r *v1alpha1.Rollout) { r.Spec.Deadline = duration(25 * time.Second) })
	webhook(w, "apps", "replicasets", admissionregistrationv1.Create, func(string) string {
		return `[{"op":"add","path":"/spec/template/metadata/annotations","value":{"theirs.example.org/seen":"yes"}}]`
	})
	counted := w.UnderLoad(0.5, 0.3, func() {
		w.Set("2.0.0")
		w.Rests("taken back", func(r *v1alpha1.Rollout) bool { return r.Status.Rejected != "" })
	})
	w.NothingLost(counted)
	if counted.Versions["2.0.0"] > 0 {
		t.Errorf("it was sent %d requests", counted.Versions["2.0.0"])
	}
	w.SameAs(before)
	w.Condition(world.Demo, v1alpha1.ConditionAborted, metav1.ConditionTrue, rollout.ReasonDeadlineExceeded)
	if m := w.Rollout().Status.Message; !strings.Contains(m, "has not taken the ReplicaSet") {
		t.Errorf("it says: %s", m)
	}
}
