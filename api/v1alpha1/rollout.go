package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// A Rollout says how a Deployment of the user is rolled. It owns nothing of it: the Deployment stays the user's, and so do its
// Services. Deleting the Rollout takes a revision that is under way back to stable and lets go.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=gro,categories=gapless
// +kubebuilder:printcolumn:name="Strategy",type=string,JSONPath=`.status.strategy`
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="Step",type=string,JSONPath=`.status.step`
// +kubebuilder:printcolumn:name="Weight",type=integer,JSONPath=`.status.weight`
// +kubebuilder:printcolumn:name="Stable",type=string,JSONPath=`.status.stable.version`
// +kubebuilder:printcolumn:name="Candidate",type=string,JSONPath=`.status.candidate.version`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.message`
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 52",message="metadata.name: use at most 52 characters; Services made for a rollout are named after it"
type Rollout struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +optional
	// +kubebuilder:default={}
	Spec RolloutSpec `json:"spec,omitempty"`
	// +optional
	Status RolloutStatus `json:"status,omitempty"`
}

// RolloutList is a list of Rollouts.
//
// +kubebuilder:object:root=true
type RolloutList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Rollout `json:"items"`
}

// RolloutSpec is what the user wants. Every field may be left out.
//
// +kubebuilder:validation:XValidation:rule="!has(self.traffic) || has(self.strategy) && (has(self.strategy.canary) || has(self.strategy.blueGreen))",message="spec.traffic: a router has nothing to divide in recreate and rolling, which Kubernetes itself carries out; choose canary or blueGreen, or leave traffic out"
// +kubebuilder:validation:XValidation:rule="has(self.traffic) || !has(self.strategy) || !has(self.strategy.canary) || !has(self.strategy.canary.steps) || self.strategy.canary.steps.all(s, !has(s.match) && !has(s.mirror))",message="spec.strategy.canary.steps: match and mirror need a router; name one in spec.traffic, or leave them out: a Service divides traffic by share of pods only"
// +kubebuilder:validation:XValidation:rule="!has(self.traffic) || !has(self.traffic.ingress) || !has(self.strategy.canary) || !has(self.strategy.canary.steps) || self.strategy.canary.steps.all(s, !has(s.mirror) && !(has(s.match) && has(s.match.users)))",message="spec.strategy.canary.steps: an Ingress knows neither mirror nor match.users; leave them out, or name another router in spec.traffic"
// +kubebuilder:validation:XValidation:rule="!has(self.traffic) || !has(self.traffic.gatewayAPI) || !has(self.strategy.canary) || !has(self.strategy.canary.steps) || self.strategy.canary.steps.all(s, !(has(s.match) && has(s.match.users)))",message="spec.strategy.canary.steps: routes of the Gateway API do not keep users where they are; use weight or a match by header in the place of match.users"
// +kubebuilder:validation:XValidation:rule="!has(self.traffic) || !has(self.traffic.traefik) || !has(self.traffic.traefik.traefikService) || !has(self.strategy.canary) || !has(self.strategy.canary.steps) || self.strategy.canary.steps.all(s, !has(s.mirror) && !(has(s.match) && !has(s.match.users)))",message="spec.strategy.canary.steps: mirror and a match by header need an IngressRoute; name one in spec.traffic.traefik.ingressRoute in the place of the TraefikService"
// +kubebuilder:validation:XValidation:rule="!has(self.gates) || size(self.gates) == 0 || (has(self.strategy) && (has(self.strategy.blueGreen) || has(self.strategy.canary)))",message="spec.gates: they need strategy blueGreen or canary; recreate and rolling are carried out by Kubernetes itself, which asks nobody"
// +kubebuilder:validation:XValidation:rule="!has(self.gates) || !has(self.strategy) || !has(self.strategy.blueGreen) || self.gates.all(g, !has(g.at) || !('step' in g.at))",message="spec.gates: a blue-green has no steps; use at: [beforePromotion] for the preview, or afterPromotion"
// +kubebuilder:validation:XValidation:rule="!has(self.gates) || self.gates.all(g, !has(g.name) || self.gates.exists_one(o, has(o.name) && o.name == g.name))",message="spec.gates: give each gate a name of its own"
type RolloutSpec struct {
	// TargetRef names what is rolled: a Deployment of this namespace. Absent: the Deployment that is named as the Rollout is.
	// +optional
	TargetRef *TargetRef `json:"targetRef,omitempty"`

	// Strategy is how one version takes the place of another. Absent: the Deployment's own strategy, natively and observed.
	// +optional
	Strategy *Strategy `json:"strategy,omitempty"`

	// Services that lead to the Deployment's pods, by name. Absent: all of the namespace whose selector matches the template.
	// +optional
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=63
	// +listType=set
	Services []string `json:"services,omitempty"`

	// Traffic names a router that divides traffic by weight. Absent: the Services themselves do, by share of pods.
	// +optional
	Traffic *Traffic `json:"traffic,omitempty"`

	// Gates ask whether a rollout may go on: before it starts, at each step, before the candidate gets all traffic and after it. One that fails
	// takes the rollout back. The first version is let in without them.
	// +optional
	// +kubebuilder:validation:MaxItems=16
	// +listType=atomic
	Gates []Gate `json:"gates,omitempty"`

	// Follow has the tags of a git repository decide which version is wanted. Absent: whoever changes the Deployment's template decides.
	// +optional
	Follow *Follow `json:"follow,omitempty"`

	// Notify lists who is told what happens.
	// +optional
	// +kubebuilder:validation:MaxItems=8
	// +listType=atomic
	Notify []Notification `json:"notify,omitempty"`

	// Config are kinds, ConfigMap and Secret, whose changes count as a new version: those objects of them that the template names. Gapless
	// writes the annotation gapless.dev/config into the template, and that is rolled as any other change is. Of the objects only
	// their metadata is looked at. Needs rights that are not installed unless asked for: gapless install --config.
	// +optional
	// +kubebuilder:validation:MaxItems=2
	// +kubebuilder:validation:items:Enum=ConfigMap;Secret
	// +listType=set
	Config []string `json:"config,omitempty"`

	// Drain is the least time between the moment in which a version is out of the EndpointSlices and the end of its pods. Pods are born
	// with a preStop sleep as long, but of a third of their grace period at most. Raise it where the data plane is slow.
	// +optional
	// +kubebuilder:default="5s"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`^(0|([0-9]+(\.[0-9]+)?(ms|s|m|h))+)$`
	Drain *metav1.Duration `json:"drain,omitempty"`

	// Deadline is how long a revision may make no progress before it is taken back. 0s: for ever.
	// Absent: the Deployment's progressDeadlineSeconds, which is 10m unless set.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`^(0|([0-9]+(\.[0-9]+)?(ms|s|m|h))+)$`
	Deadline *metav1.Duration `json:"deadline,omitempty"`
}

// TargetRef names the Deployment.
//
// +kubebuilder:validation:XValidation:rule="self.kind != 'StatefulSet'",message="spec.targetRef.kind StatefulSet: its pods have identities and are replaced one by one in order, so two versions cannot stand side by side; use its own updateStrategy with a partition"
// +kubebuilder:validation:XValidation:rule="self.kind != 'DaemonSet'",message="spec.targetRef.kind DaemonSet: it has one pod a node, so a second version has no room beside the first; use its own updateStrategy with maxSurge"
// +kubebuilder:validation:XValidation:rule="self.kind in ['Deployment', 'StatefulSet', 'DaemonSet']",message="spec.targetRef.kind: only a Deployment can be rolled; a bare ReplicaSet or pod has no template to change, and what another controller owns must be rolled by that"
// +kubebuilder:validation:XValidation:rule="self.apiVersion == 'apps/v1'",message="spec.targetRef.apiVersion: use apps/v1"
type TargetRef struct {
	// APIVersion of the target.
	// +optional
	// +kubebuilder:default=apps/v1
	// +kubebuilder:validation:MaxLength=63
	APIVersion string `json:"apiVersion,omitempty"`
	// Kind of the target.
	// +optional
	// +kubebuilder:default=Deployment
	// +kubebuilder:validation:MaxLength=63
	Kind string `json:"kind,omitempty"`
	// Name of the target, in the namespace of the Rollout.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
}

// Target is the name of the Deployment.
func (r *Rollout) Target() string {
	if r.Spec.TargetRef != nil {
		return r.Spec.TargetRef.Name
	}
	return r.Name
}
