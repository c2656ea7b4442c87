package probe

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/pflag"

	"gapless.dev/gapless/install"
	"gapless.dev/gapless/internal/cli/exit"
	"gapless.dev/gapless/internal/cli/shell"
	"gapless.dev/gapless/internal/cli/target"
	"gapless.dev/gapless/internal/kube/verbs"
	"gapless.dev/gapless/internal/probe"
	"gapless.dev/gapless/internal/report"
)

// podFlags are those of a probe from inside a cluster.
type podFlags struct {
	verbs.AnotherWay
	image string
}

func (f *podFlags) register(fs *pflag.FlagSet) {
	fs.StringVar(&f.Service, "service", "", "with deploy/NAME: `name` of the Service to ask (default the one of that name, or the only one)")
	fs.StringVar(&f.Port, "port", "", "with deploy/NAME or svc/NAME: `name` or number of the Service's port (default http, or the only one)")
	fs.StringVar(&f.Path, "path", "/", "with deploy/NAME or svc/NAME: `path` to ask for")
	fs.StringVar(&f.image, "image", "", "with deploy/NAME or svc/NAME: `image` of gapless for the pod (default the controller's)")
}

// misplaced refuses flags that have no meaning there.
func (f *podFlags) misplaced(inside bool, set *pflag.FlagSet) error {
	names, why := []string{"service", "port", "path", "image"}, "it is for deploy/NAME and svc/NAME; a URL says it itself"
	if inside {
		names, why = []string{"cacert", "connect-to"}, "it is for a URL; inside a cluster the Service is asked by its own address"
	}
	for _, name := range names {
		if set.Changed(name) {
			return exit.Usagef("--%s: %s", name, why)
		}
	}
	return nil
}

// ofCluster tells whether something in a cluster is meant, and not a URL.
func ofCluster(target string) bool {
	kind, _, found := strings.Cut(strings.ToLower(target), "/")
	return found && slices.Contains([]string{"deploy", "deployment", "deployments", "deployments.apps", "svc", "service", "services"}, kind)
}

// handedOn are the flags that the pod's own probe gets as they were given.
var handedOn = []string{"rate", "new", "post", "h2", "connections", "timeout", "max-outstanding", "header", "expect", "version-pattern", "insecure"}

// fromInside runs the probe in a pod of the cluster.
func fromInside(ctx context.Context, sh *shell.Shell, f *flags, what string, set *pflag.FlagSet) (report.Traffic, error) {
	cluster, err := sh.Cluster(shell.Output{Format: f.output})
	if err != nil {
		return report.Traffic{}, err
	}
	p, err := cluster.Address(ctx, what, f.pod.AnotherWay)
	if err != nil {
		return report.Traffic{}, target.ClusterFailed(err)
	}
	p.Image = f.pod.image
	if p.Image == "" {
		p.Image = cmp.Or(cluster.ControllerImage(ctx, install.Namespace), install.DefaultImage)
	}
	p.For = f.duration
	for _, name := range handedOn {
		if !set.Changed(name) {
			continue
		}
		values := []string{set.Lookup(name).Value.String()}
		if name == "header" {
			values = f.headers
		}
		for _, v := range values {
			p.Args = append(p.Args, "--"+name+"="+v)
		}
	}
	p.Say = func(text string) { sh.Warn("%s", text) }
	sh.Warn("from a pod in namespace %s to %s", cluster.Place().Namespace, p.URL)
	var now pace
	p.Live = now.take
	watching := watch(func() probe.Live { return now.live(f.duration) }, sh.Err)
	t, err := cluster.Probe(ctx, p)
	watching()
	if errors.Is(err, context.Canceled) {
		return t, exit.With(exit.Failed, errors.New("ended before the probe ran: nothing was sent"))
	}
	if err != nil {
		return t, target.ClusterFailed(err)
	}
	t.On = new(cluster.Place())
	keeping, done := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer done()
	if revision, err := cluster.Keep(keeping, p.App, t); err == nil && revision > 0 {
		sh.Warn("kept with revision %d: gapless report %s --revision %d", revision, p.App, revision)
	}
	return t, nil
}

// pace makes rates of counts that come once a second.
type pace struct {
	mu       sync.Mutex
	last, at report.Traffic
}

func (p *pace) take(t report.Traffic) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last, p.at = p.at, t
}

func (p *pace) live(lasts time.Duration) probe.Live {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := probe.Live{
		Elapsed: p.at.Elapsed.Duration(), For: lasts, Requests: p.at.Requests, Lost: p.at.Lost, LongestGap: p.at.LongestGap.Duration(), PerSecond: map[string]int{},
	}
	seconds := (p.at.Elapsed - p.last.Elapsed).Duration().Seconds()
	if seconds <= 0 {
		return l
	}
	for name, n := range p.at.Versions {
		l.PerSecond[name] = int(float64(n-p.last.Versions[name])/seconds + 0.5)
	}
	l.LostPerSecond = int(float64(p.at.Lost-p.last.Lost)/seconds + 0.5)
	return l
}

// inLines runs a probe whose reader is a program: the counts each second, and all of them at the end.
func inLines(ctx context.Context, p *probe.Probe, out io.Writer) error {
	lines := json.NewEncoder(out)
	ended := make(chan struct{})
	told := make(chan struct{})
	go func() {
		defer close(told)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-ended:
				return
			case <-tick.C:
				t := p.Traffic()
				t.Timeline, t.Gaps, t.Examples = nil, nil, nil
				_ = lines.Encode(verbs.Line{Live: &t}) // a reader that has gone comes back, or nobody needs it
			}
		}
	}()
	t, err := p.Run(ctx)
	close(ended)
	<-told
	if err != nil {
		return err
	}
	return lines.Encode(verbs.Line{Traffic: &t})
}
