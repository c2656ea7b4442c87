package check

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"gapless.dev/gapless/internal/check"
	"gapless.dev/gapless/internal/lint/manifest"
	"gapless.dev/kit/kittest"
)

// flags are what can be said of a service on the command line.
type flags struct {
	port, healthPort        int
	ready, live, path, slow string
	events, socket          string
	depend, count           string
	readiness               string
	env, slowStart, down    []string
	grace, preStop, drain   time.Duration
	close, startup          time.Duration
	rate                    float64
	repeat                  int
	quick, post             bool
	pod                     string
	serving                 bool
	only                    []string
	file, container         string
	report                  string

	changed func(flag string) bool
}

func (f *flags) register(fs *pflag.FlagSet) {
	fs.SortFlags = false
	fs.IntVar(&f.port, "port", 0, "`port` that the service listens on (default: found; it is told a free one by PORT)")
	fs.IntVar(&f.healthPort, "health-port", 0, "`port` of its health endpoints, if it is another")
	fs.StringVar(&f.ready, "ready", "", "`path` of readiness; tcp: ready when it accepts connections, grpc: by gRPC health (default: found)")
	fs.StringVar(&f.live, "live", "", "`path` of liveness; tcp, grpc or none (default: found)")
	fs.StringVar(&f.path, "path", "", "`path` that the load asks for; or a gRPC method that takes an empty message (default /)")
	fs.StringVar(&f.slow, "slow", "", "`path` that takes long, with {ms} or {duration} in it: '/slow?ms={ms}' (default: slow uploads to --path)")
	fs.StringVar(&f.events, "events", "", "`path` of a stream of server-sent events")
	fs.StringVar(&f.socket, "socket", "", "`path` of a WebSocket")
	fs.StringVar(&f.depend, "depends", "", "`path` as --slow, that uses a dependency at its end")
	fs.StringVar(&f.count, "count", "", "`path` that answers with the number of POST requests to --path that were carried out")
	fs.StringVar(&f.readiness, "readiness", "", "what readiness does on SIGTERM: Flip or ServeTerminating (default Flip)")
	fs.StringArrayVarP(&f.env, "env", "e", nil, "`NAME=VALUE` for the service's environment; may be given often")
	fs.StringArrayVar(&f.slowStart, "slow-start", nil, "`NAME=VALUE` that makes its start take 5 s or more")
	fs.StringArrayVar(&f.down, "deps-down", nil, "`NAME=VALUE` with which what it depends on does not answer")
	fs.DurationVar(&f.grace, "grace", 30*time.Second, "time from the order to stop to the kill: terminationGracePeriodSeconds")
	fs.DurationVar(&f.preStop, "prestop", 0, "how much of it a preStop sleep takes before SIGTERM")
	fs.DurationVar(&f.drain, "drain", 5*time.Second, "how long after the order to stop traffic may come; GAPLESS_DRAIN")
	fs.DurationVar(&f.close, "close", 3*time.Second, "how much of the grace period is kept for closing")
	fs.DurationVar(&f.startup, "startup", time.Minute, "how long it may take to get ready")
	fs.Float64Var(&f.rate, "rate", 100, "requests per second of the steady load")
	fs.IntVar(&f.repeat, "repeat", 0, "how often to stop it, under load and at the edge (default 5; 3 where its port is fixed, 1 with --quick)")
	fs.BoolVar(&f.quick, "quick", false, "stop it under load once, and leave out what takes the whole grace period")
	fs.BoolVar(&f.post, "post", true, "send POST requests as well, a fifth of the load; to pods only if it is said")
	fs.StringSliceVar(&f.only, "only", nil, "`rules` to judge, such as Z5,Z6, with those that they need")
	fs.StringVarP(&f.file, "filename", "f", "", "`manifest` of the service: ports, probes, variables, grace period, preStop")
	fs.StringVar(&f.container, "container", "", "`name` of the container in it, if there are several")
	fs.StringVar(&f.pod, "pod", "", "`deploy/NAME` of a cluster: its pods are checked, on copies that get no traffic but ours")
	fs.BoolVar(&f.serving, "serving", false, "with --pod: stop the pods that serve, one by one, instead of copies")
	fs.StringVar(&f.report, "report", "", "`file` to write a report to as well: .txt, .json, .html or .xml (JUnit)")
}

// rules checks --only.
func (f *flags) rules() ([]string, error) {
	var known, only []string
	for _, rule := range kittest.Rules() {
		known = append(known, rule.ID)
	}
	for _, id := range f.only {
		id = strings.ToUpper(strings.TrimSpace(id))
		if !slices.Contains(known, id) {
			return nil, fmt.Errorf("--only: there is no rule %q: the rules are Z1 to Z22", id)
		}
		only = append(only, id)
	}
	return only, nil
}

// manifest reads -f.
func (f *flags) manifest() (check.Declared, error) {
	if f.file == "" {
		if f.container != "" {
			return check.Declared{}, errors.New("--container names a container of a manifest: give one with -f")
		}
		return check.Declared{}, nil
	}
	file, err := os.Open(f.file)
	if err != nil {
		return check.Declared{}, err
	}
	defer file.Close()
	data, err := manifest.ReadAll(file)
	if err != nil {
		return check.Declared{}, fmt.Errorf("read %s: %w", f.file, err)
	}
	return check.Declare(f.file, data, f.container)
}

// spec joins what the manifest says and what the flags say; flags win.
func (f *flags) spec(d check.Declared) (kittest.Spec, error) {
	for _, list := range []struct {
		flag    string
		entries []string
	}{{"--env", f.env}, {"--slow-start", f.slowStart}, {"--deps-down", f.down}} {
		for _, entry := range list.entries {
			if name, _, ok := strings.Cut(entry, "="); !ok || name == "" {
				return kittest.Spec{}, fmt.Errorf("%s %s: write NAME=VALUE", list.flag, entry)
			}
		}
	}
	for _, p := range []struct {
		flag, path string
		words      []string
	}{
		{"--ready", f.ready, []string{kittest.TCP, kittest.GRPC}},
		{"--live", f.live, []string{kittest.TCP, kittest.GRPC, kittest.None}},
		{"--path", f.path, nil},
		{"--slow", f.slow, nil},
		{"--events", f.events, nil},
		{"--socket", f.socket, nil},
		{"--depends", f.depend, nil},
		{"--count", f.count, nil},
	} {
		if p.path != "" && !slices.Contains(p.words, p.path) && (!strings.HasPrefix(p.path, "/") || strings.ContainsAny(p.path, " \r\n\t")) {
			return kittest.Spec{}, fmt.Errorf("%s %s: write a path that begins with /%s", p.flag, p.path, orWords(p.words))
		}
	}
	for flag, port := range map[string]int{"--port": f.port, "--health-port": f.healthPort} {
		if port < 0 || port > 65535 {
			return kittest.Spec{}, fmt.Errorf("%s is %d: give a port from 1 to 65535", flag, port)
		}
	}
	for flag, d := range map[string]time.Duration{"--grace": f.grace, "--drain": f.drain, "--close": f.close, "--startup": f.startup} {
		if d <= 0 {
			return kittest.Spec{}, fmt.Errorf("%s is %v: give a duration above 0, such as 5s", flag, d)
		}
	}
	spec := kittest.Spec{
		Grace: f.grace, PreStop: f.preStop, Drain: f.drain, Close: f.close, Startup: f.startup, Rate: f.rate,
		SlowPath: f.slow, SlowStart: f.slowStart, DepsDown: f.down,
		EventPath: f.events, SocketPath: f.socket, DependPath: f.depend, CountPath: f.count,
		Readiness: kittest.Readiness(f.readiness), Brief: f.quick,
	}
	if d.Object != "" {
		take := func(flag string, field *time.Duration, said time.Duration) {
			if !f.changed(flag) && said > 0 {
				*field = said
			}
		}
		take("grace", &spec.Grace, d.Grace)
		take("prestop", &spec.PreStop, d.PreStop)
		take("drain", &spec.Drain, d.Drain)
		if spec.Readiness == "" {
			spec.Readiness = d.Readiness
		}
	}
	if f.changed("repeat") {
		spec.Stops, spec.Edges = f.repeat, f.repeat
		if f.repeat < 1 {
			return spec, fmt.Errorf("--repeat is %d: give 1 or more", f.repeat)
		}
	}
	return spec, inFlags(spec.Validate())
}

func orWords(words []string) string {
	if len(words) == 0 {
		return ""
	}
	return ", or " + strings.Join(words, " or ")
}

// inFlags says what is wrong in the words of the command line.
func inFlags(err error) error {
	var e *kittest.SpecError
	if !errors.As(err, &e) {
		return err
	}
	flag := "--" + strings.ToLower(e.Field)
	if e.Field == "Stops" || e.Field == "Edges" {
		flag = "--repeat"
	}
	return fmt.Errorf("%s is %v: %s", flag, e.Value, e.Fix)
}
