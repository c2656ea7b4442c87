package scenes

import (
	"errors"
	"os/exec"
	"strings"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/test/e2e/world"
)

// A pipeline's account needs few rights to deploy and to wait, and its exit code tells the truth.
func TestCI_WaitsWithFewRights(t *testing.T) {
	t.Parallel()
	w := world.New(t)
	w.Deploy()
	w.Adopt(world.BlueGreen())
	meta := metav1.ObjectMeta{Name: "ci", Namespace: w.Namespace}
	world.Check(t, w.Create(t.Context(), &rbacv1.Role{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{"gapless.dev"}, Resources: []string{"rollouts"}, Verbs: []string{"get", "list", "watch"}},
		{APIGroups: []string{"apps"}, Resources: []string{"deployments"}, Verbs: []string{"get", "patch"}},
	}}))
	world.Check(t, w.Create(t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: meta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "ci"},
		Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Name: "ci", Namespace: w.Namespace}},
	}))
	term := newTerminal(w, ".")
	term.becomes("system:serviceaccount:" + w.Namespace + ":ci")

	out, code := term.tries("gapless deploy demo-api 3.0.0 --wait --timeout 3m")
	if code != 0 || !strings.Contains(out, "Idle") || w.Rollout().Status.Stable.Version != "3.0.0" {
		t.Errorf("exit code %d, %+v: %s", code, w.Rollout().Status.Stable, out)
	}
	// The template is written past Gapless, and the account waits for what becomes of it.
	w.MustKubectl("set", "image", "deployment/demo-api", "app=api-status:2.0.0")
	if out, code = term.tries("gapless status demo-api --wait --timeout 3m"); code != 0 || w.Rollout().Status.Stable.Version != "2.0.0" {
		t.Errorf("exit code %d, %+v: %s", code, w.Rollout().Status.Stable, out)
	}
	// A version whose image does not exist is taken back by the deadline.
	r := w.Rollout()
	r.Spec.Deadline = &metav1.Duration{Duration: 8 * time.Second}
	world.Check(t, w.Update(t.Context(), r))
	if out, code = term.tries("gapless deploy demo-api nowhere.invalid/api-status:4.0.0 --wait --timeout 3m"); code != 1 || !strings.Contains(out, "4.0.0 was aborted") {
		t.Errorf("exit code %d: %s", code, out)
	}
	w.Rests("back", func(r *v1alpha1.Rollout) bool { return r.Status.Candidate == nil })
	if out, code = term.tries("gapless promote demo-api"); code != 2 || !strings.Contains(out, "cannot patch resource") {
		t.Errorf("who may not write Rollouts gave an order: exit code %d: %s", code, out)
	}
}

// becomes has whoever types be somebody else.
func (t *terminal) becomes(user string) {
	t.Helper()
	file := ""
	for _, e := range t.env {
		if name, is := strings.CutPrefix(e, "KUBECONFIG="); is {
			file = name
		}
	}
	config, err := clientcmd.LoadFromFile(file)
	world.Check(t.T, err)
	for _, u := range config.AuthInfos {
		u.Impersonate = user
	}
	world.Check(t.T, clientcmd.WriteToFile(*config, file))
}

// tries runs a line that may fail.
func (t *terminal) tries(line string) (out string, code int) {
	t.Helper()
	text, err := t.command(t.Context(), line).CombinedOutput()
	t.Logf("$ %s\n%s", line, text)
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return string(text), exit.ExitCode()
	}
	world.Check(t.T, err)
	return string(text), 0
}
