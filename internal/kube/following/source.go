package following

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"gapless.dev/gapless/internal/follow"
	"gapless.dev/gapless/internal/follow/choose"
	"gapless.dev/gapless/internal/follow/git"
	"gapless.dev/gapless/internal/follow/registry"
)

// source reads the credentials anew at each look, so that a Secret can be changed at any time, and keeps them nowhere.
func (p *place) source(ctx context.Context) (follow.Source, error) {
	f := p.spec
	s := follow.Source{
		Repository: git.Repository{URL: f.Repository, Insecure: f.Insecure},
		Rule:       choose.Rule{Tags: f.Tags, Versions: f.Versions},
	}
	if f.Every != nil {
		s.Every = f.Every.Duration
	}
	p.registry = registry.Registry{Insecure: f.Insecure}
	var err error
	if s.Keys, err = git.ParseKeys(f.Keys); err != nil {
		return s, err
	}
	if f.SecretName == "" {
		return s, nil
	}
	data, err := p.secret(ctx)
	if err != nil {
		return s, err
	}
	s.Repository.Credentials = git.Credentials{
		Username: string(data["username"]), Password: string(data["password"]),
		SSHKey: data["ssh-privatekey"], KnownHosts: data["known_hosts"], CA: data["ca.crt"],
	}
	p.registry.DockerConfig = data[corev1.DockerConfigJsonKey]
	return s, nil
}

func (p *place) secret(ctx context.Context) (map[string][]byte, error) {
	var s corev1.Secret
	err := p.client.Get(ctx, types.NamespacedName{Namespace: p.key.Namespace, Name: p.spec.SecretName}, &s)
	switch {
	case apierrors.IsNotFound(err):
		return nil, choose.Wrong(choose.Denied, "there is no Secret %s in namespace %s", p.spec.SecretName, p.key.Namespace)
	case apierrors.IsForbidden(err):
		return nil, choose.Wrong(choose.Denied, "the controller may not read the Secret %s: gapless install --follow-secret %s/%s prints the right to it", p.spec.SecretName, p.key.Namespace, p.spec.SecretName)
	}
	return s.Data, err
}
