// Package uninstall is the command gapless uninstall.
package uninstall

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	appsv1 "k8s.io/api/apps/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/install"
	"gapless.dev/gapless/internal/cli/eject"
	"gapless.dev/gapless/internal/cli/shell"
	"gapless.dev/gapless/internal/kube"
)

const long = `Give every Deployment back as its user wrote it, and then take Gapless out of the cluster: the policies first, then
the controller, then the definition of the Rollout. No pod of an app is touched.

In the middle of a rollout an app first goes back to stable. --force does that from here, for when the controller is gone.`

// Options of the command.
type Options struct {
	Force     bool
	Timeout   time.Duration
	Namespace string
}

// New returns the command.
func New(sh *shell.Shell) *cobra.Command {
	o := &Options{}
	cmd := &cobra.Command{
		Use:   "uninstall",
		Short: "Give every Deployment back and take Gapless out of the cluster",
		Long:  long,
		Args:  shell.Args(0, 0, "no words"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return Run(cmd.Context(), sh, o)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&o.Force, "force", false, "give the Deployments back from here, without the controller")
	f.DurationVar(&o.Timeout, "timeout", 10*time.Minute, "how long to wait for all Deployments")
	f.StringVarP(&o.Namespace, "namespace", "n", install.Namespace, "`namespace` of the controller")
	return cmd
}

// Run ejects everything, and then deletes what install made.
func Run(ctx context.Context, sh *shell.Shell, o *Options) error {
	cluster, err := sh.Cluster(shell.Output{})
	if err != nil {
		return err
	}
	c := cluster.Client()
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	var all v1alpha1.RolloutList
	if err := c.List(ctx, &all); err != nil && !kube.Gone(err) {
		return err
	}
	for i := range all.Items {
		r := &all.Items[i]
		if err := c.Get(ctx, client.ObjectKeyFromObject(r), r); kube.Gone(err) {
			continue // it went while others were ejected
		}
		sh.Printf("eject %s/%s\n", r.Namespace, r.Name)
		if err := eject.One(ctx, sh, c, client.ObjectKeyFromObject(r), false, o.Force); err != nil {
			if errors.Is(err, context.DeadlineExceeded) && !o.Force {
				err = fmt.Errorf("%w; is a controller running? --force does it from here", err)
			}
			return fmt.Errorf("eject %s/%s: %w; nothing was uninstalled", r.Namespace, r.Name, err)
		}
	}
	watched, err := watchedBy(ctx, c, o.Namespace)
	if err != nil {
		return err
	}
	objects, err := install.Objects(install.Options{Namespace: o.Namespace, Watch: watched})
	if err != nil {
		return err
	}
	asked, err := askedFor(ctx, c, o.Namespace)
	if apierrors.IsForbidden(err) {
		sh.Warn("rights that were asked for at install, such as for spec.config, are left: %v", err)
	} else if err != nil {
		return err
	}
	for _, u := range append(backwards(objects), asked...) {
		err := c.Delete(ctx, u, client.PropagationPolicy("Background"))
		if err != nil && !kube.Gone(err) {
			return fmt.Errorf("delete %s %s: %w", kindOf(c, u), u.GetName(), err)
		}
		if err == nil {
			sh.Printf("deleted %s %s\n", kindOf(c, u), u.GetName())
		}
	}
	return nil
}

// askedFor are the rights of the controller that only some installs have: to see ConfigMaps change, or to read a Secret somewhere.
func askedFor(ctx context.Context, c client.Client, namespace string) ([]client.Object, error) {
	ours := client.MatchingLabels{"app.kubernetes.io/part-of": "gapless"}
	mine := func(s rbacv1.Subject) bool {
		return s.Kind == rbacv1.ServiceAccountKind && s.Name == "gapless-controller" && s.Namespace == namespace
	}
	var all []client.Object
	var wide rbacv1.ClusterRoleBindingList
	if err := c.List(ctx, &wide, ours); err != nil {
		return nil, err
	}
	for i := range wide.Items {
		if b := &wide.Items[i]; slices.ContainsFunc(b.Subjects, mine) {
			all = append(all, b, &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: b.RoleRef.Name}})
		}
	}
	var narrow rbacv1.RoleBindingList
	if err := c.List(ctx, &narrow, ours); err != nil {
		return all, err
	}
	for i := range narrow.Items {
		if b := &narrow.Items[i]; slices.ContainsFunc(b.Subjects, mine) && b.RoleRef.Kind == "Role" {
			all = append(all, b, &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: b.Namespace, Name: b.RoleRef.Name}})
		}
	}
	return all, nil
}

func kindOf(c client.Client, o client.Object) string {
	kind, err := apiutil.GVKForObject(o, c.Scheme())
	if err != nil {
		return "object"
	}
	return kind.Kind
}

// watchedBy is the one namespace that the controller was installed for; empty: all.
func watchedBy(ctx context.Context, c client.Client, namespace string) (string, error) {
	d := &appsv1.Deployment{}
	err := c.Get(ctx, types.NamespacedName{Namespace: namespace, Name: "gapless-controller"}, d)
	if err != nil || len(d.Spec.Template.Spec.Containers) == 0 {
		return "", client.IgnoreNotFound(err)
	}
	for _, arg := range d.Spec.Template.Spec.Containers[0].Args {
		if watched, is := strings.CutPrefix(arg, "--namespace="); is {
			return watched, nil
		}
	}
	return "", nil
}

// backwards is the order in which things go: policies, so that nothing is held any more; then all else as it came, last first.
func backwards(objects []*unstructured.Unstructured) []client.Object {
	var policies, others []client.Object
	for _, u := range slices.Backward(objects) {
		if strings.Contains(u.GetKind(), "AdmissionPolicy") {
			policies = append(policies, u)
		} else {
			others = append(others, u)
		}
	}
	return append(policies, others...)
}
