package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// RolloutStatus is what is seen and what is remembered. It is small, and nothing in it grows with time.
type RolloutStatus struct {
	// ObservedGeneration is the generation of the spec that the rest speaks of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Strategy that is in force: recreate, rolling, blue-green or canary.
	// +optional
	Strategy string `json:"strategy,omitempty"`
	// Phase is where the revision stands: Idle, Preparing, Shifting, Promoting, Finishing, Aborting or Held.
	// +optional
	Phase string `json:"phase,omitempty"`
	// Step is the canary step that stands, as "2/4".
	// +optional
	Step string `json:"step,omitempty"`
	// Weight is the share of traffic in percent that the candidate was last given.
	// +optional
	Weight int32 `json:"weight"`
	// Revision counts the passages from one version to the next.
	// +optional
	Revision int64 `json:"revision,omitempty"`
	// Stable serves.
	// +optional
	Stable *VersionStatus `json:"stable,omitempty"`
	// Candidate may replace it; absent at rest.
	// +optional
	Candidate *VersionStatus `json:"candidate,omitempty"`
	// Rejected is the hash of the template that was taken back last and is not tried again by itself.
	// +optional
	Rejected string `json:"rejected,omitempty"`
	// RejectedTemplate is the digest of that template, by which it is known again when its ReplicaSet is gone.
	// +optional
	RejectedTemplate string `json:"rejectedTemplate,omitempty"`
	// Gates are the newest answers to what gates are asked now, in the order of the spec.
	// +optional
	// +listType=map
	// +listMapKey=name
	Gates []GateStatus `json:"gates,omitempty"`
	// Reason is one word for machines and Message one sentence for people.
	// +optional
	Reason string `json:"reason,omitempty"`
	// +optional
	Message string `json:"message,omitempty"`
	// BreakGlass is what to type should Gapless be gone and the Deployment be held: it gives the Deployment back as its template stands.
	// +optional
	BreakGlass string `json:"breakGlass,omitempty"`
	// Failure is what a version that was taken back had to say, until another revision begins.
	// +optional
	Failure *Failure `json:"failure,omitempty"`
	// Conditions, by type. Their types and reasons are listed in the reference.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// Follow is what is remembered of following a git repository.
	// +optional
	Follow *FollowStatus `json:"follow,omitempty"`

	// Adopted is what was adopted, and what the policy drain-at-birth goes by.
	// +optional
	Adopted *Adopted `json:"adopted,omitempty"`
	// Config is the version of each object that the template names, by kind and name, as it was last looked at; for Rollouts with spec.config.
	// +optional
	Config map[string]string `json:"config,omitempty"`
	// Kept is what of the user's objects is set aside during a revision, and is put back at its end.
	// +optional
	Kept *Kept `json:"kept,omitempty"`
	// Engine is the engine's memory between two looks. It is no part of the API: newer versions read that of older ones.
	// +optional
	// +kubebuilder:pruning:PreserveUnknownFields
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:Type=object
	Engine *runtime.RawExtension `json:"engine,omitempty"`
}

// VersionStatus is one version of the app.
type VersionStatus struct {
	// Version for people: the tag or digest of the first container's image, and a part of the hash where both versions have the same.
	Version string `json:"version"`
	// Hash is the pod-template-hash of its ReplicaSet.
	Hash string `json:"hash"`
	// Template is the digest of its template, by which it is known again when its ReplicaSet is gone.
	// +optional
	Template string `json:"template,omitempty"`
	// UID of its ReplicaSet.
	// +optional
	UID string `json:"uid,omitempty"`
}

// Failure is why a version did not come up: one pod speaks for all.
type Failure struct {
	// Hash of the version.
	Hash string `json:"hash"`
	// Pod that speaks for all, and its container that is to blame.
	Pod string `json:"pod"`
	// +optional
	Container string `json:"container,omitempty"`
	// Message is one sentence: the image that could not be pulled, the exit code, the answer of the health check.
	Message string `json:"message"`
	// Log holds the container's last lines, 20 and 2 KiB at most. Empty where there is none, or where the controller may not read logs.
	// +optional
	Log string `json:"log,omitempty"`
}

// Adopted tells the pods of the Deployment from others.
type Adopted struct {
	// Deployment is its name.
	Deployment string `json:"deployment"`
	// UID of the Deployment.
	UID string `json:"uid"`
	// MatchLabels of its selector: every pod of it has them.
	// +optional
	MatchLabels map[string]string `json:"matchLabels,omitempty"`
	// DrainSeconds is how long a pod that has no preStop of its own goes on serving when it is told to stop.
	DrainSeconds int64 `json:"drainSeconds"`
}

// Kept is what the user wrote and Gapless changed for the time of a revision.
type Kept struct {
	// Strategy is the Deployment's own spec.strategy.
	// +kubebuilder:pruning:PreserveUnknownFields
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:Type=object
	Strategy *runtime.RawExtension `json:"strategy,omitempty"`
	// Traffic is the spec.traffic that the revision began with. A change of it is for the next revision.
	// +optional
	Traffic *Traffic `json:"traffic,omitempty"`
	// Disruption holds the spec of a PodDisruptionBudget by its name.
	// +optional
	// +kubebuilder:pruning:PreserveUnknownFields
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:Type=object
	Disruption *runtime.RawExtension `json:"disruption,omitempty"`
}

// GateStatus is what a gate answers.
type GateStatus struct {
	// Name of the gate, and At the moment at which it is asked.
	Name string `json:"name"`
	At   string `json:"at"`
	// Outcome is pass, fail, wait or inconclusive.
	Outcome string `json:"outcome"`
	// Reason in words.
	// +optional
	Reason string `json:"reason,omitempty"`
	// DryRun tells that it only reports.
	// +optional
	DryRun bool `json:"dryRun,omitempty"`
}
