package following

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/internal/follow/hook"
)

// Hook answers POST /hooks/NAMESPACE/ROLLOUT. Every controller does, also one that does not lead: the call is written onto the Rollout,
// where the one that leads sees it.
func Hook(c client.Client) http.Handler {
	return &hook.Receiver{
		Secret: func(r *http.Request, name string) ([]byte, error) {
			key, err := keyOf(name)
			if err != nil {
				return nil, err
			}
			var ro v1alpha1.Rollout
			if err := c.Get(r.Context(), key, &ro); err != nil {
				return nil, err
			}
			if ro.Spec.Follow == nil || ro.Spec.Follow.SecretName == "" {
				return nil, errors.New("it follows nothing by a Secret")
			}
			var s corev1.Secret
			if err := c.Get(r.Context(), types.NamespacedName{Namespace: key.Namespace, Name: ro.Spec.Follow.SecretName}, &s); err != nil {
				return nil, err
			}
			return s.Data["webhook"], nil
		},
		Look: func(r *http.Request, name string) error {
			key, err := keyOf(name)
			if err != nil {
				return err
			}
			body, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]any{
				v1alpha1.AnnotationLook: time.Now().UTC().Format(time.RFC3339Nano),
			}}})
			if err != nil {
				return err
			}
			ro := &v1alpha1.Rollout{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name}}
			return c.Patch(r.Context(), ro, client.RawPatch(types.MergePatchType, body))
		},
	}
}

func keyOf(name string) (types.NamespacedName, error) {
	namespace, rollout, ok := strings.Cut(name, "/")
	if !ok || namespace == "" || rollout == "" || strings.Contains(rollout, "/") {
		return types.NamespacedName{}, errors.New("write NAMESPACE/ROLLOUT")
	}
	return types.NamespacedName{Namespace: namespace, Name: rollout}, nil
}
