// Package install is what Gapless needs in a cluster, as one source: the definition of the Rollout, the policies, and the
// controller with its rights.
package install

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
)

//go:embed crd policy controller
var files embed.FS

// Namespace is where the controller lives unless told otherwise.
const Namespace = "gapless-system"

// Options of an installation.
type Options struct {
	// Namespace of the controller. Default: gapless-system.
	Namespace string
	// Watch is the one namespace whose Rollouts are driven. Default: all of the cluster.
	Watch string
	// Image of the controller. Default: DefaultImage.
	Image string
	// WithoutPolicies leaves the admission policies out, where one may not install them. Deployments are then kept paused at rest.
	WithoutPolicies bool
	// OnlyValidating leaves out those that change what is written, for clusters before 1.36, which do not serve them. Deployments are then kept
	// paused at rest.
	OnlyValidating bool
	// FollowSecrets are the Secrets, as NAMESPACE/NAME, that the controller may read for Rollouts that follow a repository. Default: none.
	FollowSecrets []string
	// Hooks has the controller take the calls of git hosts, behind a Service.
	Hooks bool
	// Config are the kinds, ConfigMap or Secret, whose changes Rollouts may ask to be rolled: the controller may then read those.
	Config []string
}

// DefaultImage is the controller's.
const DefaultImage = "ghcr.io/gapless/gapless:latest"

// Manifest is everything as one YAML stream for kubectl apply, in the order in which it is to be created.
func Manifest(o Options) (string, error) {
	if o.Namespace == "" {
		o.Namespace = Namespace
	}
	if o.Image == "" {
		o.Image = DefaultImage
	}
	names := []string{"controller/namespace.yaml", "crd/gapless.dev_rollouts.yaml"}
	if !o.WithoutPolicies {
		names = append(names, "policy/orders.yaml")
		if !o.OnlyValidating {
			names = append(names, "policy/guard.yaml", "policy/drain-at-birth.yaml")
		}
	}
	if o.Watch == "" {
		names = append(names, "controller/rights.yaml")
	} else {
		names = append(names, "controller/rights-of-one-namespace.yaml")
	}
	names = append(names, "controller/roles.yaml", "controller/controller.yaml")
	if o.Hooks {
		names = append(names, "controller/hooks.yaml")
	}
	var out strings.Builder
	for i, name := range names {
		text, err := files.ReadFile(name)
		if err != nil {
			return "", err
		}
		if i > 0 {
			out.WriteString("---\n")
		}
		out.WriteString(strings.TrimPrefix(string(text), "---\n"))
	}
	for _, s := range o.FollowSecrets {
		text, err := rightTo(s)
		if err != nil {
			return "", err
		}
		out.WriteString("---\n" + text)
	}
	rights, err := configRights(o)
	if err != nil {
		return "", err
	}
	out.WriteString(rights)
	watch := ""
	if o.Hooks {
		watch = `, "--hooks=:8082"`
	}
	if o.Watch != "" {
		watch += fmt.Sprintf(", %q", "--namespace="+o.Watch)
	}
	return strings.NewReplacer("${NAMESPACE}", o.Namespace, "${WATCH}", o.Watch, "${IMAGE}", o.Image, "${WATCH_ARG}", watch).Replace(out.String()), nil
}

var secretName = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]{0,200}[a-z0-9])?$`)

// rightTo is the right to read one Secret.
func rightTo(secret string) (string, error) {
	namespace, name, ok := strings.Cut(secret, "/")
	if !ok || !secretName.MatchString(namespace) || !secretName.MatchString(name) {
		return "", fmt.Errorf("%q is not a Secret: write NAMESPACE/NAME", secret)
	}
	text, err := files.ReadFile("controller/follow-secret.yaml")
	return strings.NewReplacer("${SECRET}", name, "${SECRET_NAMESPACE}", namespace).Replace(string(text)), err
}

// configRights lets the controller see when ConfigMaps or Secrets change. It asks for their metadata alone, but there is no right to those
// without the rest: hence they are not given unless they are asked for.
func configRights(o Options) (string, error) {
	var resources []string
	for _, kind := range o.Config {
		switch kind {
		case "ConfigMap":
			resources = append(resources, "configmaps")
		case "Secret":
			resources = append(resources, "secrets")
		default:
			return "", fmt.Errorf("config %q: use ConfigMap or Secret", kind)
		}
	}
	if len(resources) == 0 {
		return "", nil
	}
	kind, place := "Cluster", ""
	if o.Watch != "" {
		kind, place = "", ", namespace: "+o.Watch
	}
	return fmt.Sprintf(`---
# For Rollouts with spec.config: when these change is all that is looked at.
apiVersion: rbac.authorization.k8s.io/v1
kind: %[1]sRole
metadata: {name: gapless-controller-config%[2]s, labels: {app.kubernetes.io/part-of: gapless}}
rules:
- {apiGroups: [""], resources: [%[3]s], verbs: [get, list, watch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: %[1]sRoleBinding
metadata: {name: gapless-controller-config%[2]s, labels: {app.kubernetes.io/part-of: gapless}}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: %[1]sRole, name: gapless-controller-config}
subjects: [{kind: ServiceAccount, name: gapless-controller, namespace: ${NAMESPACE}}]
`, kind, place, strings.Join(resources, ", ")), nil
}

// Objects is the same as objects.
func Objects(o Options) ([]*unstructured.Unstructured, error) {
	text, err := Manifest(o)
	if err != nil {
		return nil, err
	}
	var all []*unstructured.Unstructured
	for d := yaml.NewYAMLOrJSONDecoder(bytes.NewReader([]byte(text)), 4096); ; {
		u := &unstructured.Unstructured{}
		err := d.Decode(&u.Object)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("object %d: %w", len(all), err)
		}
		if len(u.Object) > 0 {
			all = append(all, u)
		}
	}
}
