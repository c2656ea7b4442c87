package install

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func TestManifest_HoldsEverythingAndNoOpenName(t *testing.T) {
	for _, o := range []Options{{}, {Namespace: "ops", Watch: "shop", Image: "gapless:dev"}, {WithoutPolicies: true}, {OnlyValidating: true}, {FollowSecrets: []string{"shop/git", "ops/git.v2"}, Hooks: true}} {
		text, err := Manifest(o)
		if err != nil {
			t.Fatal(err)
		}
		if i := strings.Index(text, "${"); i >= 0 {
			t.Errorf("%+v: left open: %s", o, text[i:i+20])
		}
		objects, err := Objects(o)
		if err != nil {
			t.Fatal(err)
		}
		var kinds []string
		for _, u := range objects {
			kinds = append(kinds, u.GetKind())
		}
		for _, kind := range []string{"Namespace", "CustomResourceDefinition", "ServiceAccount", "Deployment", "PodDisruptionBudget", "Role"} {
			if !slices.Contains(kinds, kind) {
				t.Errorf("%+v: no %s among %v", o, kind, kinds)
			}
		}
		if has := slices.Contains(kinds, "MutatingAdmissionPolicy"); has == (o.WithoutPolicies || o.OnlyValidating) {
			t.Errorf("%+v: policies that change what is written %v", o, has)
		}
		if has := slices.Contains(kinds, "ValidatingAdmissionPolicy"); has == o.WithoutPolicies {
			t.Errorf("%+v: policies %v", o, has)
		}
		if has := slices.Contains(kinds, "ClusterRoleBinding"); has == (o.Watch != "") {
			t.Errorf("%+v: rights in all of the cluster: %v", o, has)
		}
	}
}

func TestRights_AreNeitherWildNorReachSecrets(t *testing.T) {
	objects, err := Objects(Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range objects {
		rules, _, _ := unstructured.NestedSlice(u.Object, "rules")
		for _, r := range rules {
			text := fmt.Sprint(r)
			if strings.Contains(text, "*") || strings.Contains(text, "secrets") || strings.Contains(text, "configmaps") && (strings.Contains(text, "list") || strings.Contains(text, "watch") || strings.Contains(text, "delete")) {
				t.Errorf("%s %s: %s", u.GetKind(), u.GetName(), text)
			}
		}
	}
}

func TestController_RunsWithTheLeastRights(t *testing.T) {
	objects, err := Objects(Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range objects {
		if u.GetKind() != "Deployment" {
			continue
		}
		pod, _, _ := unstructured.NestedMap(u.Object, "spec", "template", "spec")
		if root, _, _ := unstructured.NestedBool(pod, "securityContext", "runAsNonRoot"); !root {
			t.Error("may run as root")
		}
		if profile, _, _ := unstructured.NestedString(pod, "securityContext", "seccompProfile", "type"); profile != "RuntimeDefault" {
			t.Errorf("seccomp profile %q", profile)
		}
		containers, _, _ := unstructured.NestedSlice(pod, "containers")
		for _, c := range containers {
			container := c.(map[string]any)
			if readOnly, _, _ := unstructured.NestedBool(container, "securityContext", "readOnlyRootFilesystem"); !readOnly {
				t.Error("may write to its root")
			}
			if container["readinessProbe"] == nil || container["livenessProbe"] == nil {
				t.Error("nobody asks after its health")
			}
		}
	}
}

func TestFollowSecrets_GiveTheRightToReadThoseAndNoOthers(t *testing.T) {
	objects, err := Objects(Options{FollowSecrets: []string{"shop/git"}})
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, u := range objects {
		rules, _, _ := unstructured.NestedSlice(u.Object, "rules")
		for _, r := range rules {
			rule := r.(map[string]any)
			if !strings.Contains(fmt.Sprint(rule["resources"]), "secrets") {
				continue
			}
			found++
			if u.GetKind() != "Role" || u.GetNamespace() != "shop" || fmt.Sprint(rule["resourceNames"]) != "[git]" || fmt.Sprint(rule["verbs"]) != "[get]" {
				t.Errorf("%s %s/%s: %v", u.GetKind(), u.GetNamespace(), u.GetName(), rule)
			}
		}
	}
	if found != 1 {
		t.Errorf("%d rights to Secrets", found)
	}
	for _, wrong := range []string{"git", "shop/", "/git", "shop/*", "shop/git\n", "shop/a/b"} {
		if _, err := Manifest(Options{FollowSecrets: []string{wrong}}); err == nil {
			t.Errorf("%q is taken", wrong)
		}
	}
}
