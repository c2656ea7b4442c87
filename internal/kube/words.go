package kube

import (
	"maps"
	"regexp"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/internal/rollout"
)

// names are what people call the versions that anything is known of. The engine calls them by their hashes.
func (l *look) names() map[string]string {
	names := map[string]string{}
	st := l.rollout.Status
	for _, v := range []*v1alpha1.VersionStatus{st.Stable, st.Candidate} {
		if v != nil && v.Hash != "" {
			names[v.Hash] = v.Version
		}
	}
	for _, s := range l.sets {
		names[string(s.version)] = l.versionStatus(s.version).Version
	}
	names[string(l.wanted)] = l.versionStatus(l.wanted).Version
	stable, candidate := l.versionStatuses(l.state.Stable, l.state.Candidate)
	for _, v := range []*v1alpha1.VersionStatus{stable, candidate} {
		if v != nil {
			names[v.Hash] = v.Version
		}
	}
	return names
}

var word = regexp.MustCompile(`[A-Za-z0-9-]+`)

// inWords names versions in a text as people know them. The hash in a pod's or a ReplicaSet's name is a part of that name and stays.
func inWords(text string, names map[string]string) string {
	return word.ReplaceAllStringFunc(text, func(w string) string {
		if name, known := names[w]; known {
			return name
		}
		return w
	})
}

// names are what people call the versions that were seen in the present revision, also those of which nothing is left.
func (a *App) names(l *look) map[string]string {
	names := maps.Clone(a.kept.now.Names)
	if names == nil {
		names = map[string]string{}
	}
	maps.Copy(names, l.called)
	return names
}

// inWords is a state whose sentences name versions as people know them.
func (a *App) inWords(l *look, s rollout.State) rollout.State {
	names := a.names(l)
	s.Message = inWords(s.Message, names)
	if s.Aborted != nil {
		aborted := *s.Aborted
		aborted.Message = inWords(aborted.Message, names)
		s.Aborted = &aborted
	}
	return s
}
