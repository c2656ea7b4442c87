// Package v1alpha1 is the Rollout: the standing object beside a Deployment that says how it is rolled.
//
// +kubebuilder:object:generate=true
// +groupName=gapless.dev
package v1alpha1

//go:generate go tool -modfile=../../tools.mod controller-gen object paths=. crd:crdVersions=v1,allowDangerousTypes=true output:crd:dir=../../install/crd

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Group is the API group, and the prefix of every label and annotation of ours.
const Group = "gapless.dev"

// GroupVersion of this package.
var GroupVersion = schema.GroupVersion{Group: Group, Version: "v1alpha1"}

// AddToScheme makes a scheme know the Rollout.
func AddToScheme(s *runtime.Scheme) error {
	s.AddKnownTypes(GroupVersion, &Rollout{}, &RolloutList{})
	metav1.AddToGroupVersion(s, GroupVersion)
	return nil
}
