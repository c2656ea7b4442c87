package following

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/internal/follow"
	"gapless.dev/gapless/internal/follow/choose"
	"gapless.dev/gapless/internal/follow/git"
	"gapless.dev/gapless/internal/follow/registry"
)

// place is one Rollout and its Deployment.
type place struct {
	client client.Client
	events events.EventRecorder
	log    *slog.Logger
	key    types.NamespacedName
	spec   v1alpha1.Follow

	// Of the present look.
	registry registry.Registry
	rollout  *v1alpha1.Rollout
	deploy   *appsv1.Deployment
}

// Recall reads both objects. A Rollout whose Deployment is not there or not adopted yet has nothing to be changed.
func (p *place) Recall(ctx context.Context) (follow.Memory, string, error) {
	r, d := &v1alpha1.Rollout{}, &appsv1.Deployment{}
	if err := p.client.Get(ctx, p.key, r); err != nil {
		return follow.Memory{}, "", err
	}
	p.rollout, p.deploy = r, d
	if err := p.client.Get(ctx, types.NamespacedName{Namespace: p.key.Namespace, Name: r.Target()}, d); err != nil {
		return follow.Memory{}, "", fmt.Errorf("the Deployment: %w", err)
	}
	if d.Labels[v1alpha1.LabelManaged] == "" {
		return follow.Memory{}, "", fmt.Errorf("it is not adopted yet: Deployment %s", d.Name)
	}
	return memoryOf(r), live(p.spec, d.Spec.Template), nil
}

func memoryOf(r *v1alpha1.Rollout) follow.Memory {
	var m follow.Memory
	if text := r.Annotations[v1alpha1.AnnotationYes]; text != "" {
		if name, commit, ok := strings.Cut(text, "@"); ok {
			m.Yes = &choose.Tag{Name: name, Commit: commit}
		}
	}
	s := r.Status.Follow
	if s == nil {
		return m
	}
	tag := func(f *v1alpha1.FollowMark) *choose.Tag {
		if f == nil {
			return nil
		}
		return &choose.Tag{Name: f.Tag, Commit: f.Commit}
	}
	m.Started, m.Awaited = tag(s.Live), tag(s.Awaited)
	if s.Live != nil {
		m.Version, m.Digest = s.Live.Version, s.Live.Digest
	}
	if s.StartedAt != nil {
		m.At = s.StartedAt.Time
	}
	if b := s.Begun; b != nil {
		m.Begun = &follow.Mark{Tag: *tag(b), Version: b.Version, Repository: b.Repository, Digest: b.Digest, SignedBy: b.SignedBy}
	}
	return m
}

func markOf(m *follow.Mark) *v1alpha1.FollowMark {
	if m == nil {
		return nil
	}
	return &v1alpha1.FollowMark{Tag: m.Name, Commit: m.Commit, Version: m.Version, Repository: m.Repository, Digest: m.Digest, SignedBy: m.SignedBy}
}

// Keep writes the memory into the status as it was read: if somebody wrote it meanwhile, this fails and the look is made again.
func (p *place) Keep(ctx context.Context, m follow.Memory) error {
	return p.status(ctx, func(st *v1alpha1.RolloutStatus) {
		f := &v1alpha1.FollowStatus{Begun: markOf(m.Begun)}
		if old := st.Follow; old != nil {
			f.Asked = old.Asked
			f.Live = old.Live
		}
		if m.Started == nil {
			f.Live = nil
		} else if f.Live == nil || f.Live.Tag != m.Started.Name || f.Live.Commit != m.Started.Commit || f.Live.Digest != m.Digest {
			f.Live = &v1alpha1.FollowMark{Tag: m.Started.Name, Commit: m.Started.Commit, Version: m.Version, Digest: m.Digest}
			if b := f.Begun; b != nil {
				f.Live.Repository, f.Live.SignedBy = b.Repository, b.SignedBy
			}
		}
		if a := m.Awaited; a != nil {
			f.Awaited = &v1alpha1.FollowMark{Tag: a.Name, Commit: a.Commit}
		}
		if !m.At.IsZero() {
			f.StartedAt = &metav1.Time{Time: m.At}
		}
		st.Follow = f
	})
}

func (p *place) status(ctx context.Context, change func(*v1alpha1.RolloutStatus)) error {
	next := p.rollout.DeepCopy()
	change(&next.Status)
	if equality.Semantic.DeepEqual(next.Status, p.rollout.Status) {
		return nil
	}
	if err := p.client.Status().Patch(ctx, next, client.MergeFromWithOptions(p.rollout, client.MergeFromWithOptimisticLock{})); err != nil {
		return err
	}
	p.rollout = next
	return nil
}

// Ready asks the registry for the image, and pins it by its digest: what a tag of the registry means may change, a digest may not.
func (p *place) Ready(ctx context.Context, t git.Tag, version string) (string, error) {
	i, err := containerOf(p.spec, p.deploy.Spec.Template)
	if err != nil {
		return "", err
	}
	return p.registry.Digest(ctx, imageOf(p.spec, p.deploy.Spec.Template.Spec.Containers[i].Image, t.Tag, version))
}

// Start changes the template. It is the same write as a person's, and whoever guards the Deployment holds it.
func (p *place) Start(ctx context.Context, m follow.Mark) error {
	next := p.deploy.DeepCopy()
	if err := change(p.spec, &next.Spec.Template, m); err != nil {
		return err
	}
	if !equality.Semantic.DeepEqual(next.Spec.Template, p.deploy.Spec.Template) {
		if err := p.client.Patch(ctx, next, client.StrategicMergeFrom(p.deploy, client.MergeFromWithOptimisticLock{})); err != nil {
			return fmt.Errorf("change Deployment %s: %w", next.Name, err)
		}
	}
	return p.forgetYes(ctx, m)
}

// forgetYes takes a yes away that was followed.
func (p *place) forgetYes(ctx context.Context, m follow.Mark) error {
	text := p.rollout.Annotations[v1alpha1.AnnotationYes]
	if text != m.Name+"@"+m.Commit {
		return nil
	}
	body, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"resourceVersion": p.rollout.ResourceVersion, "annotations": map[string]any{v1alpha1.AnnotationYes: nil},
	}})
	if err != nil {
		return err
	}
	next := p.rollout.DeepCopy()
	if err := p.client.Patch(ctx, next, client.RawPatch(types.MergePatchType, body)); err != nil {
		return err
	}
	p.rollout = next
	return nil
}

// Say writes the condition, and an event when it has changed.
func (p *place) Say(ctx context.Context, s follow.Standing) error {
	c := metav1.Condition{
		Type: v1alpha1.ConditionFollowing, Status: metav1.ConditionFalse, Reason: string(s.Reason), Message: s.Message, ObservedGeneration: p.rollout.Generation,
	}
	switch s.Reason {
	case choose.UpToDate, choose.Start, choose.NoImage:
		c.Status = metav1.ConditionTrue
	}
	if s.Asks {
		c.Message += fmt.Sprintf("; gapless accept %s %s -n %s says yes", p.key.Name, s.Tag.Name, p.key.Namespace)
	}
	before := meta.FindStatusCondition(p.rollout.Status.Conditions, c.Type)
	news := before == nil || before.Reason != c.Reason || before.Message != c.Message
	err := p.status(ctx, func(st *v1alpha1.RolloutStatus) {
		meta.SetStatusCondition(&st.Conditions, c)
		if st.Follow == nil {
			st.Follow = &v1alpha1.FollowStatus{}
		}
		st.Follow.Asked = nil
		if s.Asks {
			st.Follow.Asked = &v1alpha1.FollowMark{Tag: s.Tag.Name, Commit: s.Tag.Commit, Version: s.Version}
		}
	})
	if err != nil || !news {
		return err
	}
	kind := corev1.EventTypeNormal
	if c.Status == metav1.ConditionFalse {
		kind = corev1.EventTypeWarning
	}
	p.log.Info("follow: "+c.Message, "reason", c.Reason)
	if p.events != nil {
		p.events.Eventf(p.rollout, p.deploy, kind, c.Reason, "Follow", "%s", c.Message)
	}
	return nil
}
