package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Strategy is exactly one of four. Each has defaults: "blueGreen: {}" is whole.
//
// +kubebuilder:validation:XValidation:rule="[has(self.recreate), has(self.rolling), has(self.blueGreen), has(self.canary)].filter(x, x).size() == 1",message="spec.strategy: give exactly one of recreate, rolling, blueGreen and canary"
type Strategy struct {
	// Recreate stops stable, then starts the candidate. Nothing serves in between.
	// +optional
	Recreate *Recreate `json:"recreate,omitempty"`
	// Rolling replaces pods a few at a time.
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
// +kubebuilder:validation:XValidation:rule="!has(self.steps) || self.steps.map(s, has(s.weight) ? s.weight : 0).isSorted()",message="spec.strategy.canary.steps: weights never fall from step to step; to take traffic back, abort"
// +kubebuilder:validation:XValidation:rule="!has(self.steps) || self.steps.all(s, !has(s.match))",message="spec.strategy.canary.steps: match needs a router, and routers are not built yet; a Service divides traffic by share of pods only"
// +kubebuilder:validation:XValidation:rule="!has(self.steps) || self.steps.all(s, !has(s.mirror))",message="spec.strategy.canary.steps: mirror needs a router, and routers are not built yet; a Service divides traffic by share of pods only"
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
type Step struct {
	// Weight is the candidate's share of the traffic in percent. On plain Services it is approached by the share of pods.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	Weight *int32 `json:"weight,omitempty"`
	// Match sends the requests that it describes to the candidate, beside the weight. Not yet: refused.
	// +optional
	Match *Match `json:"match,omitempty"`
	// Mirror is the share of requests in percent that the candidate gets a copy of. Not yet: refused.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	Mirror *int32 `json:"mirror,omitempty"`
	// Pause is the least time that the step lasts after it has converged, or manual: until somebody promotes.
	// +optional
	// +kubebuilder:validation:Pattern=`^(manual|0|([0-9]+(\.[0-9]+)?(ms|s|m|h))+)$`
	// +kubebuilder:validation:MaxLength=32
	Pause string `json:"pause,omitempty"`
}

// Match describes requests by exact values of headers and cookies; all of them must agree.
type Match struct {
	// +optional
	// +kubebuilder:validation:MaxProperties=8
	Header map[string]string `json:"header,omitempty"`
	// +optional
	// +kubebuilder:validation:MaxProperties=8
	Cookie map[string]string `json:"cookie,omitempty"`
}

// Traffic names one router. Not yet: refused.
type Traffic struct {
	// +optional
	Traefik *TraefikRoute `json:"traefik,omitempty"`
}

// TraefikRoute names an IngressRoute of the namespace.
type TraefikRoute struct {
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	IngressRoute string `json:"ingressRoute"`
}

// Gate asks whether the rollout may go on. Not yet: refused.
type Gate struct {
	// +optional
	Prometheus *PrometheusGate `json:"prometheus,omitempty"`
	// +optional
	Webhook *WebhookGate `json:"webhook,omitempty"`
}

// PrometheusGate holds while the value of a query is within its bounds.
type PrometheusGate struct {
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4096
	Query string `json:"query"`
	// Max is the highest value that is good, and Min the lowest, as decimal numbers.
	// +optional
	Max *intstr.IntOrString `json:"max,omitempty"`
	// +optional
	Min *intstr.IntOrString `json:"min,omitempty"`
}

// WebhookGate holds when a URL answers with 2xx.
type WebhookGate struct {
	// +kubebuilder:validation:Pattern=`^https?://`
	// +kubebuilder:validation:MaxLength=2048
	URL string `json:"url"`
	// At is when it is asked.
	// +optional
	// +kubebuilder:validation:Enum=beforeStep;beforePromotion;afterPromotion
	At string `json:"at,omitempty"`
}
