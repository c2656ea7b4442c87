package lint

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"gapless.dev/gapless/internal/lint/manifest"
)

// A Budget is the time of a pod from the order to stop to the kill, and what it goes to.
type Budget struct {
	// Grace is terminationGracePeriodSeconds.
	Grace time.Duration
	// PreStop is what the container's preStop hook sleeps, as far as it can be read. HookUnknown is set when the hook does more, or
	// something else: it takes at least PreStop.
	PreStop     time.Duration
	HookUnknown bool
	// Drain is GAPLESS_DRAIN, or 5 s. DrainSet is set when it is written.
	Drain    time.Duration
	DrainSet bool
	// InFlight is what requests on their way may take: K2.inflight, or 20 s. InFlightSet is set when it was given.
	InFlight      time.Duration
	InFlightSet   bool
	Close, Margin time.Duration
}

// The defaults are the contract's for a pod that says nothing: 30 = 5 + 20 + 3 + 2.
const (
	DefaultGrace    = 30 * time.Second
	DefaultDrain    = 5 * time.Second
	DefaultInFlight = 20 * time.Second
	DefaultClose    = 3 * time.Second
	DefaultMargin   = 2 * time.Second
	// Announce is the least drain in process: kept-alive clients must still hear Connection: close once.
	Announce = 2 * time.Second
)

// Names of the environment that kit and wrap read.
const (
	EnvGrace   = "GAPLESS_GRACE"
	EnvDrain   = "GAPLESS_DRAIN"
	EnvPreStop = "GAPLESS_PRESTOP"
)

// BudgetOf reads a container's budget.
func (w *World) BudgetOf(one *Workload, c Container) Budget {
	b := Budget{Grace: DefaultGrace, Drain: DefaultDrain, InFlight: DefaultInFlight, Close: DefaultClose, Margin: DefaultMargin}
	b.Grace = time.Duration(one.Pod.Get("terminationGracePeriodSeconds").Int(30)) * time.Second
	b.PreStop, b.HookUnknown = hookSleeps(c.Get("lifecycle", "preStop"))
	if d, ok := c.EnvDuration(EnvDrain); ok {
		b.Drain, b.DrainSet = d, true
	}
	if d, ok := w.Answers.Duration(one.Object, "K2.inflight"); ok {
		b.InFlight, b.InFlightSet = d, true
	}
	return b
}

// Sleeping are the edits for a hook that sleeps natively: Kubernetes refuses a sleep that is longer than the grace period, so that is raised
// first, and the sleep follows when it fits.
func (w *World) Sleeping(one *Workload, c Container, d time.Duration, sleep manifest.Edit) []manifest.Edit {
	b := w.BudgetOf(one, c)
	if d <= b.Grace {
		return []manifest.Edit{sleep}
	}
	b.PreStop = d
	return []manifest.Edit{one.Pod.Get("terminationGracePeriodSeconds").Set(Seconds(b.Need()))}
}

// InProcess is the drain that is left for the process when the hook has slept.
func (b Budget) InProcess() time.Duration {
	return max(b.Drain-b.PreStop, min(b.Drain, Announce))
}

// Need is the grace period that everything fits into.
func (b Budget) Need() time.Duration {
	return b.PreStop + b.InProcess() + b.InFlight + b.Close + b.Margin
}

// Left is what the grace period leaves to requests in flight; it can be below 0.
func (b Budget) Left() time.Duration { return b.Grace - (b.Need() - b.InFlight) }

// Fits reports whether the grace period is long enough: for the requests in flight as given, else for the default, of which a hook that
// has slept leaves a little less, as the contract derives it: what the drain in process lasts beyond GAPLESS_DRAIN is taken from them.
func (b Budget) Fits() bool {
	if b.InFlightSet {
		return b.Left() >= b.InFlight
	}
	return b.Grace >= max(b.PreStop, b.Drain)+b.InFlight+b.Close+b.Margin
}

// String shows the sum.
func (b Budget) String() string {
	return fmt.Sprintf("preStop %s + drain %s + requests in flight %s + close %s + margin %s", Short(b.PreStop), Short(b.InProcess()), Short(b.InFlight), Short(b.Close), Short(b.Margin))
}

// Env is the value of a variable's entry; it does not exist where the variable is not set by a literal.
func (c Container) Env(name string) manifest.Value {
	for _, e := range c.Get("env").Items() {
		if e.Get("name").String() == name {
			return e.Get("value")
		}
	}
	return manifest.Value{}
}

// EnvDuration reads a variable as kit does: 30s, or 30 for seconds.
func (c Container) EnvDuration(name string) (time.Duration, bool) {
	return Duration(c.Env(name).String())
}

// Duration reads 30s, 1m30s, or 30 for seconds; at most a week, not below 0.
func Duration(text string) (time.Duration, bool) {
	d, err := time.ParseDuration(text)
	if n, intErr := strconv.ParseInt(text, 10, 32); intErr == nil {
		d, err = time.Duration(n)*time.Second, nil
	}
	return d, err == nil && d >= 0 && d <= 7*24*time.Hour
}

// Short prints a duration without zero parts: 40s, 1m30s, 10m.
func Short(d time.Duration) string {
	s := d.Round(time.Millisecond).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// Seconds rounds up to whole seconds, as fields of Kubernetes want them.
func Seconds(d time.Duration) string {
	return strconv.Itoa(int((d + time.Second - 1) / time.Second))
}

var sleeps = regexp.MustCompile(`(?:^|[\s;&|(/])sleep\s+(\d{1,6})(?:\.\d+)?s?\b`)

// hookSleeps is the time that a hook sleeps, and whether it does anything else.
func hookSleeps(hook manifest.Value) (time.Duration, bool) {
	if !hook.Exists() {
		return 0, false
	}
	if s := hook.Get("sleep"); s.Exists() {
		return time.Duration(s.Get("seconds").Int(0)) * time.Second, false
	}
	if d, only := HookSleep(hook); only {
		return d, false
	}
	total := time.Duration(0)
	for _, m := range sleeps.FindAllStringSubmatch(strings.Join(hook.Get("exec", "command").Strings(), " "), -1) {
		n, _ := strconv.Atoi(m[1])
		total += time.Duration(n) * time.Second
	}
	return total, true
}

var onlySleep = regexp.MustCompile(`^\s*(?:exec\s+)?(?:\S*/)?sleep\s+(\d{1,6})s?\s*;?\s*$`)

// HookSleep is the time of an exec hook that sleeps and does nothing else, in a shell or not.
func HookSleep(hook manifest.Value) (time.Duration, bool) {
	command := hook.Get("exec", "command").Strings()
	script, _, shell := Shell(command)
	if !shell {
		script = strings.Join(command, " ")
	}
	return Sleep(script)
}

// Sleep is the time of a command that sleeps and does nothing else.
func Sleep(command string) (time.Duration, bool) {
	m := onlySleep.FindStringSubmatch(command)
	if m == nil {
		return 0, false
	}
	n, _ := strconv.Atoi(m[1])
	return time.Duration(n) * time.Second, true
}

var shells = regexp.MustCompile(`^(?:\S*/)?(?:sh|bash|ash|dash|ksh|zsh)$`)

// Shell returns the script of a command like sh -c SCRIPT, and the index of the script in it.
func Shell(command []string) (script string, at int, ok bool) {
	if len(command) < 3 || !shells.MatchString(command[0]) {
		return "", 0, false
	}
	for i, word := range command[1 : len(command)-1] {
		if !strings.HasPrefix(word, "-") {
			return "", 0, false
		}
		if !strings.HasPrefix(word, "--") && strings.HasSuffix(word, "c") {
			return command[i+2], i + 2, true
		}
	}
	return "", 0, false
}

// ShellFile is the script that a command like sh start.sh reads from the image.
func ShellFile(command []string) (name string, ok bool) {
	if len(command) < 2 || !shells.MatchString(command[0]) {
		return "", false
	}
	for i, word := range command[1:] {
		takes := strings.HasPrefix(command[i], "-") && strings.HasSuffix(command[i], "o") // -o pipefail
		switch {
		case strings.HasPrefix(word, "-") && !strings.HasPrefix(word, "--") && strings.HasSuffix(word, "c"):
			return "", false
		case !strings.HasPrefix(word, "-") && !takes:
			return word, true
		}
	}
	return "", false
}
