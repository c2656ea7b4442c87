package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Follow has the tags of a git repository decide which version is wanted: the highest one is rolled out as soon as its image exists. A tag
// that has moved and a version below the one before are never taken without a person's yes.
//
// +kubebuilder:validation:XValidation:rule="self.repository.matches('^(https|http|ssh)://[^@/?#]+(@[^@/?#]+)?(/[^?#]*)?$') || self.repository.matches('^[A-Za-z0-9._-]+@[A-Za-z0-9.-]+:[^?#]+$')",message="spec.follow.repository: write https://HOST/PATH or ssh://USER@HOST/PATH"
// +kubebuilder:validation:XValidation:rule="!self.repository.matches('^https?://[^/]*@') && !self.repository.matches('^ssh://[^/@]*:[^/@]*@')",message="spec.follow.repository holds a name or password: write it without, and put them into the Secret that secretName names"
// +kubebuilder:validation:XValidation:rule="!self.repository.startsWith('http://') || (has(self.insecure) && self.insecure)",message="spec.follow.repository: http:// is not encrypted, so that anybody on the way could put a version of their own in its place; write https://, or insecure: true if that is meant"
// +kubebuilder:validation:XValidation:rule="!has(self.image) || self.image.contains('{version}') || self.image.contains('{tag}')",message="spec.follow.image: write {version} or {tag} where it stands in the image's tag"
// +kubebuilder:validation:XValidation:rule="!has(self.keys) || self.keys.all(k, !k.contains('PRIVATE KEY'))",message="spec.follow.keys holds a private key: give the public one, and make a new pair, since this one has been shown"
type Follow struct {
	// Repository is where the tags are: https:// or ssh://.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Repository string `json:"repository"`
	// Tags is a pattern with one *, which stands for the version, such as api-v*. Absent: v*, and tags without the v.
	// +optional
	// +kubebuilder:validation:Pattern=`^[^*\s~^:?\[\\]*\*[^*\s~^:?\[\\]*$`
	// +kubebuilder:validation:MaxLength=100
	Tags string `json:"tags,omitempty"`
	// Versions is a range, such as ~2.1 or >=1.2 <3. Absent: every release. Pre-releases are only taken by a range that names one, such as >=2.0.0-0.
	// +optional
	// +kubebuilder:validation:MaxLength=200
	Versions string `json:"versions,omitempty"`
	// Every is the time between two looks. A webhook makes it shorter.
	// +optional
	// +kubebuilder:default="1m"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(s|m|h))+$`
	Every *metav1.Duration `json:"every,omitempty"`
	// Image that a version means, with {version} or {tag} in it. Absent: the image of the container, with the version as its tag.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Image string `json:"image,omitempty"`
	// Container whose image it is. Absent: the first.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Container string `json:"container,omitempty"`
	// Keys, if given, are those of which one must have signed the tag: OpenPGP in ASCII armor, or lines as of an authorized_keys file.
	// +optional
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=16384
	// +listType=atomic
	Keys []string `json:"keys,omitempty"`
	// SecretName names the Secret with the credentials, by any of these keys: username and password, or ssh-privatekey and known_hosts; ca.crt;
	// .dockerconfigjson of the registry; webhook, the secret that a git host signs its calls with. The controller may read it only if
	// gapless install --follow-secret said so.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	SecretName string `json:"secretName,omitempty"`
	// Insecure lets the repository and the registry be reached over plain HTTP.
	// +optional
	Insecure bool `json:"insecure,omitempty"`
}

// FollowStatus is what is remembered of following. Where it stands is told by the condition Following.
type FollowStatus struct {
	// Live is the version that was started from a tag last, whatever became of it.
	// +optional
	Live *FollowMark `json:"live,omitempty"`
	// StartedAt is when Live was started.
	// +optional
	StartedAt *metav1.Time `json:"startedAt,omitempty"`
	// Awaited is the tag that was chosen and whose image does not exist yet.
	// +optional
	Awaited *FollowMark `json:"awaited,omitempty"`
	// Asked is the tag that a person has to say yes to before it is taken.
	// +optional
	Asked *FollowMark `json:"asked,omitempty"`
	// Begun is set between the decision and the change of the Deployment.
	// +optional
	Begun *FollowMark `json:"begun,omitempty"`
}

// FollowMark is one version with the tag and the commit that it was made from.
type FollowMark struct {
	Tag     string `json:"tag"`
	Commit  string `json:"commit"`
	Version string `json:"version"`
	// +optional
	Repository string `json:"repository,omitempty"`
	// Digest of its image.
	// +optional
	Digest string `json:"digest,omitempty"`
	// SignedBy is the key whose signature the tag carries.
	// +optional
	SignedBy string `json:"signedBy,omitempty"`
}

// What following leaves on a Deployment's template, and so on pods.
const (
	// AnnotationVersion is the version that pods run.
	AnnotationVersion = Group + "/version"
	// AnnotationTag, AnnotationCommit and AnnotationRepository are where it comes from.
	AnnotationTag        = Group + "/tag"
	AnnotationCommit     = Group + "/commit"
	AnnotationRepository = Group + "/repository"
	// AnnotationYes on a Rollout is a person's yes to a tag, as TAG@COMMIT. gapless accept writes it.
	AnnotationYes = Group + "/yes"
	// AnnotationLook on a Rollout is the moment of a call by a git host: it is looked at once.
	AnnotationLook = Group + "/look"
)
