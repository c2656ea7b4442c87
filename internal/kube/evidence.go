package kube

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/internal/controller"
	"gapless.dev/gapless/internal/report"
	"gapless.dev/gapless/internal/rollout"
)

// The reports of an app lie in a ConfigMap beside its Rollout, and go with it: an entry for each revision, one for what a probe counted
// in it, and one for the last answers to orders. They are evidence and no state: without them every rollout goes on.
const (
	keptRevisions = 10      // as kubectl keeps
	keptBytes     = 700_000 // of the 1 MiB that a ConfigMap may have
	keptAnswers   = 20
	answersKey    = "answers.json"
)

// EvidenceName names the ConfigMap.
func EvidenceName(rollout string) string { return rollout + "-gapless" }

func revisionKey(n int) string { return fmt.Sprintf("%06d.json", n) }

// TrafficKey is where a probe's count of a revision lies.
func TrafficKey(n int) string { return fmt.Sprintf("%06d.traffic.json", n) }

// A record is one revision as it is written down. The engine calls versions by their hashes; Names are what people call them.
type record struct {
	Names  map[string]string `json:"names,omitempty"`
	Report report.Report     `json:"report"`
}

// An Answer is what became of an order.
type Answer struct {
	ID      int64        `json:"id"`
	Verb    rollout.Verb `json:"verb"`
	By      string       `json:"by"`
	Obeyed  bool         `json:"obeyed"`
	Message string       `json:"message"`
}

// Evidence is all that was written down of an app.
type Evidence struct {
	// Reports, newest first, with the names that people know.
	Reports []report.Report
	Answers []Answer
}

// Of is the report of one revision; false if nothing was written down of it.
func (e Evidence) Of(revision int) (report.Report, bool) {
	i := slices.IndexFunc(e.Reports, func(r report.Report) bool { return r.Revision == revision })
	if i < 0 {
		return report.Report{}, false
	}
	return e.Reports[i], true
}

// EvidenceOf reads what was written down. Nothing is no error.
func EvidenceOf(ctx context.Context, c client.Reader, key types.NamespacedName) (Evidence, error) {
	var cm corev1.ConfigMap
	if err := c.Get(ctx, types.NamespacedName{Namespace: key.Namespace, Name: EvidenceName(key.Name)}, &cm); err != nil {
		return Evidence{}, client.IgnoreNotFound(err)
	}
	return evidenceIn(cm.Data), nil
}

func evidenceIn(data map[string]string) Evidence {
	var e Evidence
	for _, name := range slices.Sorted(maps.Keys(data)) {
		n, err := strconv.Atoi(strings.TrimSuffix(name, ".json"))
		if err != nil {
			continue
		}
		var r record
		if json.Unmarshal([]byte(data[name]), &r) != nil {
			continue // not ours; nothing is guessed from it
		}
		named := r.named()
		var t report.Traffic
		if text, counted := data[TrafficKey(n)]; counted && json.Unmarshal([]byte(text), &t) == nil {
			named.Traffic = &t
		}
		e.Reports = append(e.Reports, named)
	}
	slices.SortFunc(e.Reports, func(x, y report.Report) int { return cmp.Compare(y.Revision, x.Revision) })
	_ = json.Unmarshal([]byte(data[answersKey]), &e.Answers) // absent is none
	return e
}

// named is the report in the names that people know.
func (r record) named() report.Report {
	out := r.Report
	say := func(text string) string { return inWords(text, r.Names) }
	out.From, out.To, out.Message = say(out.From), say(out.To), say(out.Message)
	if r.Report.Images != nil {
		out.Images = map[string][]string{}
		for version, images := range r.Report.Images {
			out.Images[say(version)] = images
		}
	}
	out.Decisions, out.Converged = slices.Clone(out.Decisions), slices.Clone(out.Converged)
	for i := range out.Decisions {
		out.Decisions[i].Message = say(out.Decisions[i].Message)
	}
	for i := range out.Converged {
		out.Converged[i].What = say(out.Converged[i].What)
	}
	return out
}

// evidence is what an App has written down, or is to write.
type evidence struct {
	loaded  bool
	now     record
	answers []Answer
	sizes   map[string]int // of the entries as they stand
	open    map[string]any // entries that are to be written; nil takes one away
	resumed bool           // the report was begun by an earlier controller
}

// Record puts a decision into the report of its revision, and writes it down where that matters: when the revision is over, when
// it comes to stand for a while, and when an order was answered. What lies between is written with the next of these, or when the controller stops.
func (a *App) Record(ctx context.Context, seen controller.Seen, d rollout.Decision) error {
	if err := a.load(ctx); err != nil {
		return err
	}
	e := &a.kept
	if r := &e.now.Report; e.resumed && r.Revision == seen.State.Revision && r.At.Add(time.Second).Before(seen.State.PhaseAt) {
		r.Notes = append(r.Notes, fmt.Sprintf("The controller was killed: what it decided between %s and %s is not listed.", clock(r.At), clock(seen.State.PhaseAt)))
	}
	e.resumed = false
	rests := e.now.Report.Over() && e.now.Report.Revision == d.State.Revision && settled(e.now.Report.Reason)
	if !rests {
		closed, now := controller.Record(e.now.Report, seen, d)
		if closed != nil && !closed.Over() {
			e.put(revisionKey(closed.Revision), record{e.now.Names, *closed})
		}
		if e.now.Report.Revision != now.Revision {
			e.now.Names = nil
		}
		// A revision comes from one place. When its template is written back, the Deployment says where stable comes from.
		if from := a.seen.sourceOf(rollout.Version(now.To)); from != nil && (now.Source == nil || now.Source.Commit == from.Commit) {
			now.Source = from
		}
		e.now = record{a.names(a.seen), now}
		noteImages(&e.now.Report, a.seen.pods)
		if note := a.shadowed(ctx, d.State); note != "" {
			e.now.Report.Notes = append(e.now.Report.Notes, note)
		}
		if now.Over() {
			e.now.Report.Versions = a.counted(now.At)
		}
		if f := a.heard.failure; f.Hash == now.To && f.Log != "" {
			e.now.Report.Logs = strings.Split(f.Log, "\n")
		}
		e.put(revisionKey(now.Revision), e.now)
	}
	for _, an := range d.Answers {
		e.answers = append(e.answers, Answer{an.Order.ID, an.Order.Verb, an.Order.By, an.Obeyed, inWords(an.Message, e.now.Names)})
		e.answers = e.answers[max(0, len(e.answers)-keptAnswers):]
		e.put(answersKey, e.answers)
	}
	if !rests && e.now.Report.Over() && settled(d.Reason) || len(d.Answers) > 0 || standsForAWhile(seen, d) {
		return a.Flush(ctx)
	}
	return nil
}

// settled tells whether a reason is the last word of a revision. What is said after it, such as of scaling at rest, is no part of it.
func settled(reason string) bool {
	switch reason {
	case rollout.ReasonServing, rollout.ReasonAborted, rollout.ReasonHeld:
		return true
	}
	return false
}

// counted is what stands of each version, in numbers.
func (a *App) counted(at time.Time) []report.Version {
	now, l := report.Report{At: at}, *a.seen
	l.state = a.state
	a.standing(&l, &now)
	for i := range now.Versions {
		now.Versions[i].Instances = nil
	}
	return now.Versions
}

func clock(t time.Time) string { return t.UTC().Format(time.TimeOnly) + "Z" }

// aWhile is long enough for a rest to be worth a write.
const aWhile = 15 * time.Second

func standsForAWhile(seen controller.Seen, d rollout.Decision) bool {
	switch d.Reason {
	case rollout.ReasonAwaitingPromote, rollout.ReasonPaused:
		return true
	case rollout.ReasonStepStanding, rollout.ReasonHoldingBack:
		return d.LookAgain.Sub(seen.Snapshot.Now) > aWhile
	}
	return false
}

func (e *evidence) put(name string, value any) {
	text, err := json.Marshal(value)
	if err != nil {
		return // plain values can be encoded
	}
	if e.open == nil {
		e.open = map[string]any{}
	}
	e.open[name] = string(text)
}

// load reads what an earlier controller wrote down, once.
func (a *App) load(ctx context.Context) error {
	e := &a.kept
	if e.loaded {
		return nil
	}
	var cm corev1.ConfigMap
	err := a.Client.Get(ctx, types.NamespacedName{Namespace: a.Key.Namespace, Name: EvidenceName(a.Key.Name)}, &cm)
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("read the reports of %s: %w", a.Key, err)
	}
	*e = evidence{loaded: true, sizes: map[string]int{}, answers: evidenceIn(cm.Data).Answers}
	newest := ""
	for name, text := range cm.Data {
		e.sizes[name] = len(text)
		if _, err := strconv.Atoi(strings.TrimSuffix(name, ".json")); err == nil && name > newest {
			newest = name
		}
	}
	_ = json.Unmarshal([]byte(cm.Data[newest]), &e.now) // what cannot be read begins anew
	e.resumed = e.now.Report.Revision > 0 && !e.now.Report.Over()
	return nil
}

// Flush writes down what is still to be written.
func (a *App) Flush(ctx context.Context) error {
	e := &a.kept
	if len(e.open) == 0 || a.seen == nil {
		return nil
	}
	e.forget()
	cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: a.Key.Namespace, Name: EvidenceName(a.Key.Name)}}
	body, err := json.Marshal(map[string]any{"data": e.open})
	if err != nil {
		return err
	}
	err = a.Client.Patch(ctx, cm, client.RawPatch(types.MergePatchType, body))
	if apierrors.IsNotFound(err) {
		err = a.createEvidence(ctx, cm)
	}
	if err != nil {
		return fmt.Errorf("write the reports of %s down: %w", a.Key, err)
	}
	for name, text := range e.open {
		if delete(e.sizes, name); text != nil {
			e.sizes[name] = len(text.(string))
		}
	}
	e.open = nil
	return nil
}

func (a *App) createEvidence(ctx context.Context, cm *corev1.ConfigMap) error {
	cm.Labels = map[string]string{"app.kubernetes.io/managed-by": "gapless"}
	owner := metav1.NewControllerRef(a.seen.rollout, v1alpha1.GroupVersion.WithKind("Rollout"))
	owner.BlockOwnerDeletion = nil
	cm.OwnerReferences = []metav1.OwnerReference{*owner}
	cm.Data = map[string]string{}
	for name, text := range a.kept.open {
		if text != nil {
			cm.Data[name] = text.(string)
		}
	}
	return a.Client.Create(ctx, cm)
}

// forget has the oldest revisions taken away that are too many, or too large together.
func (e *evidence) forget() {
	sizes := maps.Clone(e.sizes)
	for name, text := range e.open {
		if text != nil {
			sizes[name] = len(text.(string))
		}
	}
	total := 0
	revisions := map[string]bool{}
	for name, size := range sizes {
		total += size
		if prefix, _, _ := strings.Cut(name, "."); name != answersKey {
			revisions[prefix] = true
		}
	}
	for _, prefix := range slices.Sorted(maps.Keys(revisions)) {
		if len(revisions) <= keptRevisions && total <= keptBytes || prefix+".json" == revisionKey(e.now.Report.Revision) {
			return
		}
		delete(revisions, prefix)
		for _, name := range []string{prefix + ".json", prefix + ".traffic.json"} { // the second is a probe's, and may be unknown here
			total -= sizes[name]
			e.open[name] = nil
		}
	}
}
