package traffic

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"gapless.dev/gapless/internal/rollout"
)

// A Split is what a route is to do with the requests of one app that has two sets of Services: the user's own and their twins.
type Split struct {
	// Twins is the share in percent that the twins get.
	Twins int `json:"twins,omitempty"`
	// Match sends the requests that it describes to the twins, beside that.
	Match *rollout.Match `json:"match,omitempty"`
	// Mirror is the share in percent of requests that the twins get a copy of; MirrorWrites, that the copies may change something.
	Mirror       int  `json:"mirror,omitempty"`
	MirrorWrites bool `json:"mirrorWrites,omitempty"`
}

// Whole tells that all is left to the user's own Services: the route is as the user wrote it.
func (s Split) Whole() bool { return s.Twins == 0 && s.Match == nil && s.Mirror == 0 }

// Equal tells whether two splits ask for the same.
func (s Split) Equal(o Split) bool {
	return s.Twins == o.Twins && s.Mirror == o.Mirror && s.MirrorWrites == o.MirrorWrites && s.Match.Equal(o.Match)
}

// An App is what a Kind has to know of the app whose traffic is divided.
type App struct {
	// Namespace of the route, the Services and all that is ours.
	Namespace string
	// Name of the Rollout.
	Name string
	// Services of the user that lead to the app.
	Services []*corev1.Service
	// Theirs and Twins are the addresses of the ready endpoints of the user's Services and of their twins.
	Theirs, Twins map[string]bool
	// Revision names the passage that is on its way: users who stay on a version do so during one.
	Revision int
}

// twinSuffix makes the name of a twin. The twin of a Service has its ports and leads to the other version.
const twinSuffix = "-candidate"

// TwinOf is the name of the twin of a Service.
func TwinOf(service string) string { return service + twinSuffix }

// Service of the user by name, or nil.
func (a App) Service(name string) *corev1.Service {
	for _, s := range a.Services {
		if s.Name == name {
			return s
		}
	}
	return nil
}

// IsTwin tells whether a name is that of a twin of one of the app's Services.
func (a App) IsTwin(name string) bool {
	for _, s := range a.Services {
		if name == TwinOf(s.Name) {
			return true
		}
	}
	return false
}

// StickyCookie is the name of the cookie that keeps a user on a version, by routers that set one.
func (a App) StickyCookie() string { return fmt.Sprintf("gapless-%s-%d", a.Name, a.Revision) }

// nameable tells why the twin of a Service cannot have its name.
func nameable(service string) error {
	if n := len(TwinOf(service)); n > validation.DNS1035LabelMaxLength {
		return &Problem{
			Reason: ReasonRouteCannot,
			Text:   fmt.Sprintf("Service %s: the Service beside it is named %s, and %d characters are more than the 63 of a name; give it a shorter name", service, TwinOf(service), n),
		}
	}
	return nil
}
