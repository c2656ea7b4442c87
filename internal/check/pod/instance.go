package pod

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/watch"

	"gapless.dev/kit/kittest"
)

// instance is a pod.
type instance struct {
	t    *Target
	name string
	ip   string

	life    context.Context // of what follows the pod
	end     context.CancelFunc
	follows sync.WaitGroup
	exited  chan struct{}
	kill    sync.Once

	mu     sync.Mutex
	asked  bool // to stop
	over   bool
	exit   kittest.Exit
	report string
	lines  []kittest.Line
}

func newInstance(t *Target) *instance {
	in := &instance{t: t, exited: make(chan struct{})}
	in.life, in.end = context.WithCancel(context.Background())
	return in
}

func (in *instance) Addr() string { return address(in.ip, in.t.Port) }

func (in *instance) HealthAddr() string {
	if in.t.HealthPort != 0 {
		return address(in.ip, in.t.HealthPort)
	}
	return in.Addr()
}

func (in *instance) GRPCAddr() string {
	if in.t.GRPCPort != 0 {
		return address(in.ip, in.t.GRPCPort)
	}
	return ""
}

func (in *instance) Exited() <-chan struct{} { return in.exited }
func (in *instance) Orphans() []int          { return nil }

func (in *instance) Exit() kittest.Exit {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.exit
}

func (in *instance) Report() []byte {
	in.mu.Lock()
	defer in.mu.Unlock()
	return []byte(in.report)
}

func (in *instance) Lines() []kittest.Line {
	in.mu.Lock()
	defer in.mu.Unlock()
	return append([]kittest.Line(nil), in.lines...)
}

// Signal deletes the pod for SIGTERM, as a rollout does: its preStop hook runs, then the signal comes.
func (in *instance) Signal(sig os.Signal) error {
	if sig != syscall.SIGTERM {
		return fmt.Errorf("%v cannot be sent to a pod", sig)
	}
	in.mu.Lock()
	in.asked = true
	in.mu.Unlock()
	ctx, cancel := context.WithTimeout(in.life, 10*time.Second)
	defer cancel()
	err := in.t.Client.CoreV1().Pods(in.t.Deployment.Namespace).Delete(ctx, in.name, metav1.DeleteOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// Kill ends the pod at once, unless it is one that serves: that has its grace period, like anybody's. It returns when it is over.
func (in *instance) Kill() {
	in.kill.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if !in.t.Serving && in.name != "" {
			now := int64(0)
			for {
				err := in.t.Client.CoreV1().Pods(in.t.Deployment.Namespace).Delete(ctx, in.name, metav1.DeleteOptions{GracePeriodSeconds: &now})
				if err == nil || apierrors.IsNotFound(err) || ctx.Err() != nil {
					break
				}
				time.Sleep(200 * time.Millisecond) // what was started must end, also on a bad day
			}
		}
		if in.ip != "" && (!in.t.Serving || in.wasAsked()) {
			select {
			case <-in.exited:
			case <-ctx.Done():
			}
		}
		in.end()
		in.follows.Wait()
		in.finish(kittest.Exit{Code: -1, Signal: "killed", At: time.Now()}, "")
	})
}

func (in *instance) wasAsked() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.asked
}

// finish notes the end, once.
func (in *instance) finish(exit kittest.Exit, report string) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.over {
		return
	}
	in.over, in.exit, in.report = true, exit, report
	close(in.exited)
}

// follow waits until the container runs, and goes on following the pod to its end.
func (in *instance) follow(ctx context.Context, made *corev1.Pod) error {
	running := make(chan string, 1)
	failed := make(chan error, 1)
	in.follows.Go(func() { in.watch(made, running, failed) })
	select {
	case in.ip = <-running:
		in.follows.Go(in.read)
		return nil
	case err := <-failed:
		return err
	case <-in.exited:
		return fmt.Errorf("pod %s ended with %v before it ran; %s", in.name, in.Exit(), in.Report())
	case <-ctx.Done():
		return fmt.Errorf("pod %s does not run: %s: %w", in.name, in.waitsFor(), ctx.Err())
	}
}

// waitsFor is why a pod does not run, in the cluster's words.
func (in *instance) waitsFor() string {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	p, err := in.t.Client.CoreV1().Pods(in.t.Deployment.Namespace).Get(ctx, in.name, metav1.GetOptions{})
	if err != nil {
		return err.Error()
	}
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			return c.Reason + ": " + c.Message
		}
	}
	for _, c := range append(p.Status.InitContainerStatuses, p.Status.ContainerStatuses...) {
		if w := c.State.Waiting; w != nil && w.Reason != "PodInitializing" {
			return "container " + c.Name + ": " + w.Reason + " " + w.Message
		}
	}
	return string(p.Status.Phase)
}

// watch follows the pod's status until its container has ended, or the pod is gone.
func (in *instance) watch(made *corev1.Pod, running chan<- string, failed chan<- error) {
	pods := in.t.Client.CoreV1().Pods(in.t.Deployment.Namespace)
	in.see(made, running)
	version := made.ResourceVersion
	for in.life.Err() == nil {
		w, err := pods.Watch(in.life, metav1.ListOptions{
			FieldSelector: fields.OneTermEqualSelector("metadata.name", in.name).String(), ResourceVersion: version,
		})
		if err != nil {
			if apierrors.IsForbidden(err) {
				failed <- fmt.Errorf("watch pod %s: %w", in.name, err)
				return
			}
			version = "" // from now on
			pauseFor(in.life, time.Second)
			continue
		}
		over := in.drain(w, &version, running)
		w.Stop()
		if over {
			return
		}
	}
}

// drain takes what a watch tells; true when the pod is over.
func (in *instance) drain(w watch.Interface, version *string, running chan<- string) bool {
	for event := range w.ResultChan() {
		p, ok := event.Object.(*corev1.Pod)
		if !ok {
			*version = ""
			return false
		}
		*version = p.ResourceVersion
		if in.see(p, running) {
			return true
		}
		if event.Type == watch.Deleted {
			in.finish(kittest.Exit{Code: -1, Signal: "gone without a word", At: time.Now()}, "")
			return true
		}
	}
	return false
}

// see reads one status; true when the container has ended.
func (in *instance) see(p *corev1.Pod, running chan<- string) bool {
	for _, c := range p.Status.ContainerStatuses {
		if c.Name != in.t.Container {
			continue
		}
		if end := c.State.Terminated; end != nil {
			in.finish(exitOf(end), end.Message)
			return true
		}
		if c.State.Running != nil && p.Status.PodIP != "" {
			select {
			case running <- p.Status.PodIP:
			default:
			}
		}
	}
	return false
}

// exitOf is how a container ended. The kubelet tells whole seconds, rounded down, and tells them later: the truth is between.
func exitOf(end *corev1.ContainerStateTerminated) kittest.Exit {
	exit := kittest.Exit{Code: int(end.ExitCode), At: time.Now()}
	if told := end.FinishedAt.Add(time.Second); !end.FinishedAt.IsZero() && told.Before(exit.At) {
		exit.At = told
	}
	return exit
}

// keptLines bounds what is kept of its log.
const keptLines = 2000

// read follows the container's log.
func (in *instance) read() {
	from, err := in.t.Client.CoreV1().Pods(in.t.Deployment.Namespace).GetLogs(in.name, &corev1.PodLogOptions{Container: in.t.Container, Follow: true}).Stream(in.life)
	if err != nil {
		in.keep(kittest.Line{At: time.Now(), Text: "(its log cannot be read: " + err.Error() + ")"})
		return
	}
	defer from.Close()
	lines := bufio.NewReaderSize(from, 64<<10)
	for {
		text, err := lines.ReadString('\n')
		if text = strings.TrimRight(text, "\r\n"); text != "" {
			in.keep(kittest.Line{At: time.Now(), Text: text[:min(len(text), 4096)]})
		}
		if err != nil {
			return
		}
	}
}

func (in *instance) keep(line kittest.Line) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.lines = append(in.lines, line); len(in.lines) > keptLines {
		in.lines = in.lines[len(in.lines)-keptLines:]
	}
}

func pauseFor(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
