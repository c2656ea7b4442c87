package kube

import (
	"crypto/sha256"
	"encoding/json"
	"maps"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"gapless.dev/gapless/internal/rollout"
)

const hashLabel = "pod-template-hash"

// canonical is a template as text: the same for a Deployment and for the ReplicaSet that was made of it. Templates are handled as
// they were written, not as types, so that fields which this program does not know survive.
func canonical(template map[string]any) string {
	t := maps.Clone(template)
	if meta, ok := t["metadata"].(map[string]any); ok {
		meta = maps.Clone(meta)
		delete(meta, "creationTimestamp")
		if labels, ok := meta["labels"].(map[string]any); ok {
			labels = maps.Clone(labels)
			delete(labels, hashLabel)
			meta["labels"] = labels
			if len(labels) == 0 {
				delete(meta, "labels")
			}
		}
		t["metadata"] = meta
	}
	text, err := json.Marshal(t) // keys in order
	if err != nil {
		return "" // a decoded object can be encoded
	}
	return string(text)
}

// texts remembers the templates of objects as text: they change seldom, and are looked at often.
type texts map[types.UID]text

type text struct {
	generation int64
	canonical  string
}

// of is the template of a Deployment or ReplicaSet.
func (t *texts) of(o *unstructured.Unstructured) string {
	if known, ok := (*t)[o.GetUID()]; ok && known.generation == o.GetGeneration() && known.generation > 0 {
		return known.canonical
	}
	template, _, _ := unstructured.NestedFieldNoCopy(o.Object, "spec", "template")
	m, _ := template.(map[string]any)
	now := text{o.GetGeneration(), canonical(m)}
	if *t == nil {
		*t = texts{}
	}
	(*t)[o.GetUID()] = now
	return now.canonical
}

// keep forgets what a look did not see.
func (t *texts) keep(l *look) {
	if len(*t) <= len(l.sets)+1 {
		return
	}
	seen := map[types.UID]bool{l.deploy.GetUID(): true}
	for _, s := range l.sets {
		seen[s.GetUID()] = true
	}
	maps.DeleteFunc(*t, func(uid types.UID, _ text) bool { return !seen[uid] })
}

// letters of a hash: neither vowels, which could make words, nor signs that look alike.
const letters = "bcdfghjklmnpqrstvwxz2456789"

// hashOf names a template for which there is no ReplicaSet.
func hashOf(canonical string) rollout.Version {
	sum := sha256.Sum256([]byte(canonical))
	name := make([]byte, 10)
	for i := range name {
		name[i] = letters[int(sum[i])%len(letters)]
	}
	return rollout.Version(name)
}
