package job

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Jobs runs tasks as Jobs of a namespace. Each is made from a CronJob of the user, as "kubectl create job --from" does: so whoever may write a
// Rollout gets to run nothing that somebody with the right to run pods there did not write.
type Jobs struct {
	// Client reads from the API server itself.
	Client    client.Client
	Namespace string
	// Owner has the Jobs go with it; the zero value: nobody.
	Owner metav1.OwnerReference
}

// kept is how long a Job stays to be looked at when it is over.
const kept = time.Hour

// Run implements [Runner].
func (j *Jobs) Run(ctx context.Context, t Task) (State, error) {
	if t.Spec.From == "" {
		return State{}, errors.New("it names a command only: on a cluster give from, the name of a CronJob")
	}
	key := types.NamespacedName{Namespace: j.Namespace, Name: t.Name}
	var job batchv1.Job
	err := j.Client.Get(ctx, key, &job)
	if apierrors.IsNotFound(err) {
		err = j.create(ctx, t)
		return State{Message: fmt.Sprintf("Job %s starts", t.Name)}, err
	}
	if err != nil {
		return State{}, err
	}
	for _, c := range job.Status.Conditions {
		if c.Status != corev1.ConditionTrue {
			continue
		}
		switch c.Type {
		case batchv1.JobComplete, batchv1.JobSuccessCriteriaMet:
			return State{Over: true, OK: true, Message: fmt.Sprintf("Job %s ended well", t.Name)}, nil
		case batchv1.JobFailed:
			return State{Over: true, Message: fmt.Sprintf("Job %s failed (%s): kubectl -n %s logs job/%s", t.Name, c.Reason, j.Namespace, t.Name)}, nil
		}
	}
	if job.DeletionTimestamp != nil {
		return State{Over: true, Gone: true, Message: fmt.Sprintf("Job %s was deleted before it was done", t.Name)}, nil
	}
	return State{Message: fmt.Sprintf("Job %s runs", t.Name)}, nil
}

func (j *Jobs) create(ctx context.Context, t Task) error {
	var from batchv1.CronJob
	if err := j.Client.Get(ctx, types.NamespacedName{Namespace: j.Namespace, Name: t.Spec.From}, &from); apierrors.IsNotFound(err) {
		return fmt.Errorf("there is no CronJob %s in namespace %s; make one with suspend: true", t.Spec.From, j.Namespace)
	} else if err != nil {
		return err
	}
	job := &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{
			Name: t.Name, Namespace: j.Namespace, Labels: maps.Clone(from.Spec.JobTemplate.Labels), Annotations: maps.Clone(from.Spec.JobTemplate.Annotations),
		},
		Spec: *from.Spec.JobTemplate.Spec.DeepCopy(),
	}
	if job.Labels == nil {
		job.Labels = map[string]string{}
	}
	job.Labels["app.kubernetes.io/managed-by"] = "gapless"
	if j.Owner.Name != "" {
		job.OwnerReferences = []metav1.OwnerReference{j.Owner}
	}
	// It ends by itself also when nobody looks any more.
	job.Spec.ActiveDeadlineSeconds = ptr.To(int64(max(1, t.Spec.Timeout/time.Second)))
	if job.Spec.TTLSecondsAfterFinished == nil {
		job.Spec.TTLSecondsAfterFinished = ptr.To(int32(kept / time.Second))
	}
	containers := job.Spec.Template.Spec.Containers
	for i := range containers {
		for _, name := range slices.Sorted(maps.Keys(t.Env)) {
			containers[i].Env = append(containers[i].Env, corev1.EnvVar{Name: name, Value: t.Env[name]})
		}
	}
	err := j.Client.Create(ctx, job)
	if apierrors.IsAlreadyExists(err) {
		return nil // it is found at the next look
	}
	return err
}
