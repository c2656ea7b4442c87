package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Gate asks whether the rollout may go on. It is exactly one of probe, prometheus, webhook, job and window. "probe: {}" is whole.
//
// +kubebuilder:validation:XValidation:rule="[has(self.probe), has(self.prometheus), has(self.webhook), has(self.job), has(self.window)].filter(x, x).size() == 1",message="spec.gates: give exactly one of probe, prometheus, webhook, job and window in each"
type Gate struct {
	// Name tells the gate from the others. Absent: its kind.
	// +optional
	// +kubebuilder:validation:MaxLength=40
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$`
	Name string `json:"name,omitempty"`
	// At is when it is asked. Absent: step in a canary; beforePromotion and afterPromotion of a probe in a blue-green; beforePromotion of a
	// webhook or job; beforeStart of a window.
	// +optional
	// +kubebuilder:validation:MaxItems=4
	// +kubebuilder:validation:items:Enum=beforeStart;step;beforePromotion;afterPromotion
	// +listType=set
	At []string `json:"at,omitempty"`
	// Deadline is how long it may be undecided while the rollout waits for nothing but gates. Then it is inconclusive. 0s: for ever.
	// Absent: 5m, and for ever in a window.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`^(0|([0-9]+(\.[0-9]+)?(ms|s|m|h))+)$`
	Deadline *metav1.Duration `json:"deadline,omitempty"`
	// Inconclusive is what becomes of the rollout when the gate is not decided: abort, or pause until somebody promotes or aborts.
	// +optional
	// +kubebuilder:default=abort
	// +kubebuilder:validation:Enum=abort;pause
	Inconclusive string `json:"inconclusive,omitempty"`
	// DryRun has the gate only report.
	// +optional
	DryRun bool `json:"dryRun,omitempty"`

	// Probe asks the pods of both versions themselves, and the Service, and compares losses and latency. It needs nothing installed.
	// +optional
	Probe *ProbeGate `json:"probe,omitempty"`
	// Prometheus judges numbers of a Prometheus.
	// +optional
	Prometheus *PrometheusGate `json:"prometheus,omitempty"`
	// Webhook asks a URL.
	// +optional
	Webhook *WebhookGate `json:"webhook,omitempty"`
	// Job runs a Job to its end.
	// +optional
	Job *JobGate `json:"job,omitempty"`
	// Window is open at some hours only.
	// +optional
	Window *WindowGate `json:"window,omitempty"`
}

// ProbeGate is the prober that is built in.
type ProbeGate struct {
	// Path to ask for. Absent: that of the readinessProbe, or /.
	// +optional
	// +kubebuilder:validation:Pattern=`^/`
	// +kubebuilder:validation:MaxLength=1024
	Path string `json:"path,omitempty"`
	// Rate is requests a second in all: two fifths of them through the Service, the rest shared by the two versions.
	// +optional
	// +kubebuilder:default=10
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	Rate int32 `json:"rate,omitempty"`
	// Post is the share of POST requests in percent. Nobody is sent one unasked.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	Post int32 `json:"post,omitempty"`
	// Timeout of one request.
	// +optional
	// +kubebuilder:default="2s"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	Timeout *metav1.Duration `json:"timeout,omitempty"`
	// Slow is from where on an answer is slow. Absent: half as much again as stable's usual answer takes.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	Slow *metav1.Duration `json:"slow,omitempty"`
	// Tolerance is by how many percentage points the candidate's share of lost requests may be above stable's for the gate to pass.
	// +optional
	// +kubebuilder:default=5
	// +kubebuilder:validation:Minimum=0.01
	// +kubebuilder:validation:Maximum=100
	Tolerance *float64 `json:"tolerance,omitempty"`
	// Header is sent with each request.
	// +optional
	// +kubebuilder:validation:MaxProperties=16
	Header map[string]string `json:"header,omitempty"`
}

// PrometheusGate holds the value of a query against bounds, or compares counters of both versions at the same time.
//
// +kubebuilder:validation:XValidation:rule="has(self.query) != (has(self.bad) && has(self.total))",message="spec.gates.prometheus: give query with max or min, or the counters bad and total"
// +kubebuilder:validation:XValidation:rule="!has(self.query) || has(self.max) || has(self.min)",message="spec.gates.prometheus: query needs max or min"
// +kubebuilder:validation:XValidation:rule="!has(self.query) || (!has(self.bad) && !has(self.total))",message="spec.gates.prometheus: query stands beside bad or total; give the one or the other"
type PrometheusGate struct {
	// URL of the server, such as http://prometheus.monitoring:9090.
	// +kubebuilder:validation:Pattern=`^https?://[^/@]+`
	// +kubebuilder:validation:MaxLength=2048
	URL string `json:"url"`
	// Every is how often it is asked. Make it the scrape interval of what is compared.
	// +optional
	// +kubebuilder:default="5s"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	Every *metav1.Duration `json:"every,omitempty"`
	// Timeout of one query.
	// +optional
	// +kubebuilder:default="5s"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	Timeout *metav1.Duration `json:"timeout,omitempty"`
	// Token names a file with a bearer token in the controller's folder of keys.
	// +optional
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`
	Token string `json:"token,omitempty"`

	// Query whose value must lie within min and max. {{app}}, {{namespace}}, {{version}}, {{hash}} and {{pods}} (a pattern of the names of its pods)
	// are the candidate's; {{stable.pods}} and so on are stable's. No data is no success.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4096
	Query string `json:"query,omitempty"`
	// Max is the highest value that is good, and Min the lowest.
	// +optional
	Max *float64 `json:"max,omitempty"`
	// +optional
	Min *float64 `json:"min,omitempty"`
	// Over has all values of so long be judged. Absent: the newest one.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	Over *metav1.Duration `json:"over,omitempty"`
	// Failures is how many looks in a row must be out of bounds for the gate to fail.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	Failures int32 `json:"failures,omitempty"`

	// Bad is a query of counters of the requests that speak against a version, and Total of all its requests. Both are asked for either
	// version, with its own {{version}}, {{hash}} and {{pods}}. Sums are not needed: write plain selectors.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4096
	Bad string `json:"bad,omitempty"`
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4096
	Total string `json:"total,omitempty"`
	// Tolerance is by how many percentage points the candidate's share of bad requests may be above stable's for the gate to pass. Absent: 1.
	// +optional
	// +kubebuilder:validation:Minimum=0.01
	// +kubebuilder:validation:Maximum=100
	Tolerance *float64 `json:"tolerance,omitempty"`
	// Warmup is how long the candidate's requests are not counted at first.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	Warmup *metav1.Duration `json:"warmup,omitempty"`
}

// WebhookGate posts what is asked to a URL. Status 2xx says pass, unless the body says {"verdict": "fail", "reason": "..."}; 403 and 409 say fail;
// 202 says wait. All else is no answer.
type WebhookGate struct {
	// +kubebuilder:validation:Pattern=`^https?://[^/@]+`
	// +kubebuilder:validation:MaxLength=2048
	URL string `json:"url"`
	// Timeout of one try.
	// +optional
	// +kubebuilder:default="10s"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	Timeout *metav1.Duration `json:"timeout,omitempty"`
	// Retries of a try that got no answer. Absent: 3.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=10
	Retries *int32 `json:"retries,omitempty"`
	// Every is how often one that says wait is asked again.
	// +optional
	// +kubebuilder:default="10s"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	Every *metav1.Duration `json:"every,omitempty"`
	// Key names a file in the controller's folder of keys. With it the request is signed: header Gapless-Signature is the hex HMAC-SHA256 of
	// the header Gapless-Timestamp, a dot and the body.
	// +optional
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`
	Key string `json:"key,omitempty"`
	// Header is sent with each request.
	// +optional
	// +kubebuilder:validation:MaxProperties=16
	Header map[string]string `json:"header,omitempty"`
}

// JobGate passes when its Job ends well.
type JobGate struct {
	// From names a CronJob of the namespace, usually a suspended one, whose template the Job is made of. It finds GAPLESS_CANDIDATE,
	// GAPLESS_CANDIDATE_ADDRESS and others in its environment.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	From string `json:"from"`
	// Timeout is when it is ended and has failed.
	// +optional
	// +kubebuilder:default="5m"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	Timeout *metav1.Duration `json:"timeout,omitempty"`
}

// WindowGate passes while it is open.
type WindowGate struct {
	// Zone of all times, such as Europe/Berlin.
	// +optional
	// +kubebuilder:default=UTC
	// +kubebuilder:validation:MaxLength=64
	Zone string `json:"zone,omitempty"`
	// Allow lists hours of days. Absent: always.
	// +optional
	// +kubebuilder:validation:MaxItems=32
	// +listType=atomic
	Allow []Hours `json:"allow,omitempty"`
	// Freeze lists periods in which no rollout begins, whatever allow says.
	// +optional
	// +kubebuilder:validation:MaxItems=32
	// +listType=atomic
	Freeze []Freeze `json:"freeze,omitempty"`
}

// Hours of some days.
//
// +kubebuilder:validation:XValidation:rule="has(self.from) == has(self.to)",message="spec.gates.window.allow: give from and to, or none of them for the whole day"
type Hours struct {
	// Days of the week. Absent: each.
	// +optional
	// +kubebuilder:validation:MaxItems=7
	// +kubebuilder:validation:items:Enum=Mon;Tue;Wed;Thu;Fri;Sat;Sun
	// +listType=set
	Days []string `json:"days,omitempty"`
	// From and To as 09:00. To before from means past midnight.
	// +optional
	// +kubebuilder:validation:Pattern=`^([01][0-9]|2[0-3]):[0-5][0-9]$`
	From string `json:"from,omitempty"`
	// +optional
	// +kubebuilder:validation:Pattern=`^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$`
	To string `json:"to,omitempty"`
}

// Freeze is a period of whole days or of moments.
type Freeze struct {
	// From and To as 2026-12-20 or 2026-12-20T18:00. A day at the end is in it.
	// +kubebuilder:validation:Pattern=`^[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2})?$`
	// +kubebuilder:validation:MaxLength=16
	From string `json:"from"`
	// +kubebuilder:validation:Pattern=`^[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2})?$`
	// +kubebuilder:validation:MaxLength=16
	To string `json:"to"`
	// Why is told to whoever waits.
	// +optional
	// +kubebuilder:validation:MaxLength=200
	Why string `json:"why,omitempty"`
}
