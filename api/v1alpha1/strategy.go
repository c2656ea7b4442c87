package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Strategy is exactly one of four. Each has defaults: "blueGreen: {}" is whole.
//
// +kubebuilder:validation:XValidation:rule="[has(self.recreate), has(self.rolling), has(self.blueGreen), has(self.canary)].filter(x, x).size() == 1",message="spec.strategy: give exactly one of recreate, rolling, blueGreen and canary"
type Strategy struct {
	// Recreate stops stable, then starts the candidate. Nothing serves in between. The Deployment's own strategy has to be Recreate, too.
	// +optional
	Recreate *Recreate `json:"recreate,omitempty"`
	// Rolling replaces pods a few at a time. The Deployment's own strategy has to be RollingUpdate, as it is by default.
	// +optional
	Rolling *Rolling `json:"rolling,omitempty"`
	// BlueGreen brings up a whole candidate beside stable and switches all traffic at once.
	// +optional
	BlueGreen *BlueGreen `json:"blueGreen,omitempty"`
	// Canary gives the candidate a growing share of the traffic, step by step.
	// +optional
	Canary *Canary `json:"canary,omitempty"`
}

// Recreate has nothing to set.
type Recreate struct{}

// Rolling is bounded by the Deployment's own strategy.rollingUpdate.
type Rolling struct{}

// BlueGreen says when the switch comes and how long stable stands after it.
type BlueGreen struct {
	// Switch is auto, or manual: then the candidate stands complete, and can be looked at through the preview Service, until somebody promotes it.
	// +optional
	// +kubebuilder:default=auto
	// +kubebuilder:validation:Enum=auto;manual
	Switch string `json:"switch,omitempty"`
	// HoldBack is how long the old version stands, complete and without traffic, after the switch. An undo within it is instant.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`^(0|([0-9]+(\.[0-9]+)?(ms|s|m|h))+)$`
	HoldBack *metav1.Duration `json:"holdBack,omitempty"`
}

// Canary is a list of steps.
//
// +kubebuilder:validation:XValidation:rule="!has(self.steps) || self.steps.filter(s, has(s.weight)).map(s, s.weight).isSorted()",message="spec.strategy.canary.steps: weights never fall from step to step; to take traffic back, abort"
// +kubebuilder:validation:XValidation:rule="!has(self.steps) || self.steps.all(s, has(s.weight) || has(s.match) || has(s.mirror) || has(s.pause))",message="spec.strategy.canary.steps: a step has a weight, a match, a mirror or a pause"
type Canary struct {
	// Steps in order. After the last one the candidate gets all traffic.
	// +optional
	// +kubebuilder:default={{weight: 25, pause: "30s"}}
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +listType=atomic
	Steps []Step `json:"steps,omitempty"`
}

// Step is what the candidate gets, and how long it lasts at least.
//
// +kubebuilder:validation:XValidation:rule="!has(self.mirrorWrites) || has(self.mirror)",message="spec.strategy.canary.steps: mirrorWrites says of what kind mirrored requests may be; give mirror a share, or leave it out"
// +kubebuilder:validation:XValidation:rule="!has(self.match) || !has(self.match.users) || !has(self.weight) || self.weight == 0",message="spec.strategy.canary.steps: match.users is a share of all users and weight one of all requests; give one of the two"
type Step struct {
	// Weight is the candidate's share of the traffic in percent. On plain Services it is approached by the share of pods. Absent: that of
	// the step before.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	Weight *int32 `json:"weight,omitempty"`
	// Match sends the requests that it describes to the candidate, beside the weight. It needs a router that can.
	// +optional
	Match *Match `json:"match,omitempty"`
	// Mirror is the share of requests in percent that the candidate gets a copy of; its answers are dropped. It needs a router that can.
	// Only GET, HEAD and OPTIONS are copied, unless MirrorWrites is set.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	Mirror *int32 `json:"mirror,omitempty"`
	// MirrorWrites has requests mirrored that may change something, too: each is then carried out twice.
	// +optional
	MirrorWrites bool `json:"mirrorWrites,omitempty"`
	// Pause is the least time that the step lasts after it has converged, or manual: until somebody promotes.
	// +optional
	// +kubebuilder:validation:Pattern=`^(manual|0|([0-9]+(\.[0-9]+)?(ms|s|m|h))+)$`
	// +kubebuilder:validation:MaxLength=32
	Pause string `json:"pause,omitempty"`
}

// Match describes requests by exact values of headers and cookies, all of which must agree, or a share of the users.
//
// +kubebuilder:validation:XValidation:rule="has(self.users) != (has(self.header) && size(self.header) > 0 || has(self.cookie) && size(self.cookie) > 0)",message="spec.strategy.canary.steps: match has header and cookie, or users alone"
type Match struct {
	// +optional
	// +kubebuilder:validation:MaxProperties=8
	Header map[string]string `json:"header,omitempty"`
	// +optional
	// +kubebuilder:validation:MaxProperties=8
	Cookie map[string]string `json:"cookie,omitempty"`
	// Users is a share of the users in percent. Each stays with the version that answered first, by a cookie, as long as the revision lasts.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	Users *int32 `json:"users,omitempty"`
}
