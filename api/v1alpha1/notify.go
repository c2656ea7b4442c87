package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Notification tells somebody what happens, by a POST to a URL.
//
// +kubebuilder:validation:XValidation:rule="has(self.url) != has(self.urlKey)",message="spec.notify: give exactly one of url and urlKey"
type Notification struct {
	// URL that is told.
	// +optional
	// +kubebuilder:validation:Pattern=`^https?://[^/@]+`
	// +kubebuilder:validation:MaxLength=2048
	URL string `json:"url,omitempty"`
	// URLKey names a file with the URL in the controller's folder of keys, where the URL itself is a secret, as Slack's are.
	// +optional
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`
	URLKey string `json:"urlKey,omitempty"`
	// Template is generic, the event as JSON, or slack, a message for Slack and what is compatible with it.
	// +optional
	// +kubebuilder:default=generic
	// +kubebuilder:validation:Enum=generic;slack
	Template string `json:"template,omitempty"`
	// On is what is told of. Absent: started, waiting, promoted, aborting and held.
	// +optional
	// +kubebuilder:validation:MaxItems=7
	// +kubebuilder:validation:items:Enum=started;step;waiting;promoted;aborting;aborted;held
	// +listType=set
	On []string `json:"on,omitempty"`
	// Key names a file with the key that messages are signed with, as those of a webhook gate.
	// +optional
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`
	Key string `json:"key,omitempty"`
	// Header is sent with each message.
	// +optional
	// +kubebuilder:validation:MaxProperties=16
	Header map[string]string `json:"header,omitempty"`
	// Timeout of one try.
	// +optional
	// +kubebuilder:default="10s"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	Timeout *metav1.Duration `json:"timeout,omitempty"`
}
