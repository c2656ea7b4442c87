package job

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"gapless.dev/gapless/internal/gate"
	"gapless.dev/gapless/internal/gate/spec"
	"gapless.dev/gapless/internal/rollout"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func question(memory string) gate.Question {
	return gate.Question{
		Question: rollout.Question{Revision: 3, Moment: rollout.DuringStep, Step: 1, Since: time.Unix(1_000_000, 0)}, Name: "smoke", Memory: memory,
		Subject: func() gate.Subject {
			return gate.Subject{
				App: "demo", Namespace: "shop", Entry: "http://10.0.0.1:80", Stable: gate.Side{Name: "1.0.0"},
				Candidate: gate.Side{Name: "2.0.0", Weight: 25, Instances: []gate.Instance{{Name: "p", Address: "10.1.0.5:8080", Serving: true}}},
			}
		},
	}
}

func watch(t *testing.T, j *Job, q gate.Question) []rollout.Verdict {
	t.Helper()
	j.every = 5 * time.Millisecond
	ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
	defer stop()
	var said []rollout.Verdict
	if err := j.Watch(ctx, q, func(v rollout.Verdict) {
		if n := len(said); n == 0 || said[n-1].Reason != v.Reason {
			said = append(said, v)
		}
	}); err != nil {
		t.Fatal(err)
	}
	return said
}

func TestProcesses_PassWhenTheyEndWell(t *testing.T) {
	for name, test := range map[string]struct {
		command []string
		timeout time.Duration
		want    rollout.Outcome
		reason  string
	}{
		"well":     {[]string{"true"}, time.Minute, rollout.Pass, "true ended well"},
		"not well": {[]string{"sh", "-c", "echo one; echo it is broken >&2; exit 3"}, time.Minute, rollout.Fail, "sh ended with exit code 3: it is broken"},
		"missing":  {[]string{"/no/such/program"}, time.Minute, rollout.Fail, "/no/such/program cannot be started: fork/exec /no/such/program: no such file or directory"},
		"too long": {[]string{"sleep", "60"}, 50 * time.Millisecond, rollout.Fail, "sleep was not done in 50ms"},
		"told": {
			[]string{"sh", "-c", `test "$GAPLESS_APP $GAPLESS_STABLE $GAPLESS_CANDIDATE $GAPLESS_STEP $GAPLESS_WEIGHT $GAPLESS_CANDIDATE_ADDRESS" = "demo 1.0.0 2.0.0 2 25 10.1.0.5:8080"`},
			time.Minute, rollout.Pass, "sh ended well",
		},
	} {
		t.Run(name, func(t *testing.T) {
			said := watch(t, New(spec.Job{Command: test.command, Timeout: test.timeout}, &Processes{}), question(""))
			last := said[len(said)-1]
			if last.Outcome != test.want || last.Reason != test.reason {
				t.Errorf("%s: %s", last.Outcome, last.Reason)
			}
			again := watch(t, New(spec.Job{Command: []string{"false"}, Timeout: test.timeout}, &Processes{}), question(last.Memory))
			if diff := cmp.Diff([]rollout.Verdict{last}, again); diff != "" {
				t.Errorf("after a restart: %s", diff)
			}
		})
	}
}

func TestJobs_AreMadeFromACronJobAndFoundAgain(t *testing.T) {
	cron := &batchv1.CronJob{
		ObjectMeta: metav1.ObjectMeta{Name: "smoke", Namespace: "shop"},
		Spec: batchv1.CronJobSpec{JobTemplate: batchv1.JobTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"team": "blue"}},
			Spec: batchv1.JobSpec{Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{
				RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "c", Image: "smoke:1", Env: []corev1.EnvVar{{Name: "A", Value: "b"}}}},
			}}},
		}},
	}
	c := fake.NewClientBuilder().WithObjects(cron).WithStatusSubresource(&batchv1.Job{}).Build()
	runner := &Jobs{Client: c, Namespace: "shop", Owner: metav1.OwnerReference{APIVersion: "gapless.dev/v1alpha1", Kind: "Rollout", Name: "demo", UID: "u"}}
	task := Task{Name: name(question("")), Spec: spec.Job{From: "smoke", Timeout: time.Minute}, Env: env(question(""))}

	for range 2 { // the second controller finds what the first one made
		if s, err := runner.Run(t.Context(), task); err != nil || s.Over {
			t.Fatalf("%+v, %v", s, err)
		}
	}
	var all batchv1.JobList
	if err := c.List(t.Context(), &all); err != nil || len(all.Items) != 1 {
		t.Fatalf("%d Jobs, %v", len(all.Items), err)
	}
	job := all.Items[0]
	env := map[string]string{}
	for _, e := range job.Spec.Template.Spec.Containers[0].Env {
		env[e.Name] = e.Value
	}
	if env["A"] != "b" || env["GAPLESS_CANDIDATE"] != "2.0.0" || *job.Spec.ActiveDeadlineSeconds != 60 || job.Labels["team"] != "blue" || job.OwnerReferences[0].Name != "demo" {
		t.Errorf("%+v", job)
	}

	set := func(kind batchv1.JobConditionType, reason string) {
		job.Status.Conditions = []batchv1.JobCondition{{Type: kind, Status: corev1.ConditionTrue, Reason: reason}}
		if err := c.Status().Update(t.Context(), &job); err != nil {
			t.Fatal(err)
		}
	}
	set(batchv1.JobFailed, "BackoffLimitExceeded")
	if s, err := runner.Run(t.Context(), task); err != nil || !s.Over || s.OK || !strings.Contains(s.Message, "BackoffLimitExceeded") {
		t.Errorf("%+v, %v", s, err)
	}
	set(batchv1.JobComplete, "")
	if s, err := runner.Run(t.Context(), task); err != nil || !s.OK {
		t.Errorf("%+v, %v", s, err)
	}
	task.Name, task.Spec.From = "other", "none"
	if _, err := runner.Run(t.Context(), task); err == nil || !strings.Contains(err.Error(), "there is no CronJob none") {
		t.Error(err)
	}
}
