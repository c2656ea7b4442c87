package scenes

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/install"
	"gapless.dev/gapless/internal/rollout"
	"gapless.dev/gapless/test/e2e/world"
)

// unasked are rights that no request shows, with the reason for each.
var unasked = map[string]string{
	"update gapless.dev/rollouts/finalizers": "an admission plugin checks it where an owner reference blocks deletion",
	"update apps/deployments/finalizers":     "an admission plugin checks it where an owner reference blocks deletion",
	"patch events.k8s.io/events":             "an event that repeats is counted up",
	"list /events":                           "what the kubelet says of a health check, when a candidate runs and is not ready",
	"get /pods/log":                          "the last lines of a candidate that fails",
	"create /events":                         "leader election says who leads",
	"patch /events":                          "leader election says who leads",
	"get gapless.dev/rollouts":               "what follows a repository reads its Rollout itself",
	"get apps/deployments":                   "and its Deployment",
	"patch gapless.dev/rollouts/status":      "and writes down what it chose",
}

// The rights that the controller gets are those that it uses: whatever is missing would fail, and whatever is too much is found here. Routers have
// rights of their own, which are not looked at.
func TestRights_AreThoseThatAreUsed(t *testing.T) {
	t.Parallel()
	w := world.New(t)
	var mu sync.Mutex
	asked := map[string]bool{}
	w.Asked(func(r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		asked[rightOf(r)] = true
	})
	w.Halt()
	w.Start()
	w.Deploy()
	w.Adopt(world.Canary("1s", "manual"))
	w.Set("2.0.0")
	w.Until("the step stands", func(r *v1alpha1.Rollout) bool { return r.Status.Reason == rollout.ReasonAwaitingPromote })
	w.Order(rollout.Abort)
	w.Rests("back", func(r *v1alpha1.Rollout) bool { return r.Status.Rejected != "" })
	w.Halt()

	mu.Lock()
	defer mu.Unlock()
	given := rightsGiven(t)
	for _, right := range slices.Sorted(maps.Keys(given)) {
		// Where the API server streams lists, a watch begins with one.
		verb, of, _ := strings.Cut(right, " ")
		if _, known := unasked[right]; !asked[right] && !known && (verb != "list" || !asked["watch "+of]) {
			t.Errorf("%s is given and was not used", right)
		}
	}
	for right := range unasked {
		if !given[right] {
			t.Errorf("%s is in the table and is not given", right)
		}
	}
	t.Logf("used: %v", slices.Sorted(maps.Keys(asked)))
}

// rightOf says a request as a right: its verb and what it is about.
func rightOf(r *http.Request) string {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	group := ""
	switch {
	case parts[0] == "api" && len(parts) > 2:
		parts = parts[2:]
	case parts[0] == "apis" && len(parts) > 3:
		group, parts = parts[1], parts[3:]
	default:
		return "discovery"
	}
	if len(parts) > 2 && parts[0] == "namespaces" {
		parts = parts[2:]
	}
	resource, named := parts[0], len(parts) > 1
	if len(parts) > 2 {
		resource += "/" + parts[2]
	}
	verb := map[string]string{http.MethodPost: "create", http.MethodPut: "update", http.MethodPatch: "patch", http.MethodDelete: "delete", http.MethodGet: "get"}[r.Method]
	if verb == "get" && !named {
		verb = "list"
		if r.URL.Query().Has("watch") {
			verb = "watch"
		}
	}
	return fmt.Sprintf("%s %s/%s", verb, group, resource)
}

// rightsGiven are the rights that install gives the controller, but for routers'.
func rightsGiven(t *testing.T) map[string]bool {
	t.Helper()
	objects, err := install.Objects(install.Options{})
	world.Check(t, err)
	given := map[string]bool{}
	for _, o := range objects {
		if !strings.HasPrefix(o.GetName(), "gapless-controller") || o.GetKind() != "ClusterRole" && o.GetKind() != "Role" {
			continue
		}
		var role rbacv1.ClusterRole
		world.Check(t, runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &role))
		for _, rule := range role.Rules {
			for _, group := range rule.APIGroups {
				if !slices.Contains([]string{"", "apps", "gapless.dev", "policy", "discovery.k8s.io", "events.k8s.io"}, group) {
					continue
				}
				for _, resource := range rule.Resources {
					for _, verb := range rule.Verbs {
						given[verb+" "+group+"/"+resource] = true
					}
				}
			}
		}
	}
	return given
}
