package deploy

import (
	"bufio"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"

	"gapless.dev/gapless/internal/app"
	"gapless.dev/gapless/internal/app/render"
	"gapless.dev/gapless/internal/cli/appfile"
	"gapless.dev/gapless/internal/cli/exit"
	"gapless.dev/gapless/internal/cli/shell"
	"gapless.dev/gapless/internal/cli/status"
	"gapless.dev/gapless/internal/cli/target"
	"gapless.dev/gapless/internal/kube/verbs"
	"gapless.dev/gapless/internal/report"
	"gapless.dev/gapless/internal/rollout"
)

// File deploys what an app file says: on a cluster its objects, on one machine the versions of its apps.
func File(ctx context.Context, sh *shell.Shell, o *Options, versions []string) error {
	f, err := o.File.Read()
	if err != nil {
		return err
	}
	if err := appfile.Versions(&f, versions); err != nil {
		return err
	}
	appfile.Only(&f, versions)
	if o.Wait.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, o.Wait.Timeout)
		defer cancel()
	}
	t, err := sh.Target(ctx, o.Output)
	if err != nil {
		return err
	}
	if !o.Output.JSON() {
		return roll(ctx, sh, o, t, f, len(versions) > 0)
	}
	// A program reads the end of it; what is told on the way is for whoever looks at the program.
	aside := *sh
	aside.Out = sh.Err
	err = roll(ctx, &aside, o, t, f, len(versions) > 0)
	if err != nil && exit.Code(err) != exit.Failed {
		return err
	}
	return errors.Join(err, standing(context.WithoutCancel(ctx), sh, t, f))
}

// roll deploys the apps of a file to where they run.
func roll(ctx context.Context, sh *shell.Shell, o *Options, t target.Target, f app.File, chosen bool) error {
	if t.Place().Platform == report.Local {
		return onMachine(ctx, sh, o, t, f, chosen)
	}
	return onCluster(ctx, sh, o, t, f)
}

// standing prints what stands of the apps of a file. One that was not made, as by --dry-run, is not among them.
func standing(ctx context.Context, sh *shell.Shell, t target.Target, f app.File) error {
	ctx, done := context.WithTimeout(ctx, 10*time.Second)
	defer done()
	there, err := t.StatusAll(ctx)
	if err != nil {
		return err
	}
	list := []report.Report{}
	for _, a := range f.Ordered() {
		for _, r := range there {
			if r.App == a.Name {
				list = append(list, r)
			}
		}
	}
	return sh.JSON(list)
}

// onMachine deploys the versions, chosen on the command line or the file's. What else the file says is read by gapless up.
func onMachine(ctx context.Context, sh *shell.Shell, o *Options, t target.Target, f app.File, chosen bool) error {
	return together(ctx, sh, o, t, f, func(ctx context.Context, a app.App) (begun, error) {
		before, err := t.Status(ctx, a.Name)
		if err != nil {
			return begun{}, err
		}
		if a.Follow != nil && !chosen && before.Source != nil && before.Source.Tag != "" {
			sh.Printf("%s: what came by its tag stays, %s: the file's version was only the first\n", a.Name, before.Source.Tag)
			return begun{}, nil
		}
		_, called, err := t.Deploy(ctx, a.Name, string(a.Version), target.DeployOptions{})
		return begun{
			goal:    status.Goal{Before: before, Version: called, Another: !before.Over() && before.Revision > 0 && called != before.To && called != status.Stable(before)},
			changes: !before.Over() || status.Stable(before) != called,
		}, err
	})
}

func onCluster(ctx context.Context, sh *shell.Shell, o *Options, t target.Target, f app.File) error {
	objects, err := o.File.Objects(sh, f, "")
	if err != nil {
		return err
	}
	c, err := sh.Cluster(shell.Output{Format: "json"}) // it was said where, already
	if err != nil {
		return err
	}
	all, err := appfile.Unstructured(objects)
	if err != nil {
		return err
	}
	changes, err := c.Preview(ctx, all, ours(f))
	if err != nil {
		return target.ClusterFailed(err)
	}
	if !show(sh, f, changes) {
		sh.Printf("nothing is different: all of %s stands as it is written\n", o.File.File)
		return nil
	}
	switch {
	case o.DryRun:
		return nil
	case !o.Yes && !asked(sh):
		sh.Warn("nothing was changed")
		return exit.Silently(exit.Failed)
	}
	for _, ch := range changes {
		if len(ch.Others) > 0 && !o.Force {
			return exit.Usagef("%s: %s: say --force-conflicts to take over", ch.Object, strings.Join(ch.Others, ", "))
		}
	}
	byApp := map[string][]verbs.Change{}
	for i, obj := range objects {
		byApp[obj.App] = append(byApp[obj.App], changes[i])
	}
	done := func(ch verbs.Change) { sh.Printf("%s %s\n", ch.Object, ch.What) }
	err = together(ctx, sh, o, t, f, func(ctx context.Context, a app.App) (begun, error) {
		b := begun{}
		for _, ch := range byApp[a.Name] {
			if ch.Called != "" {
				b.changes = ch.Rolls
				b.goal.Version = ch.Called
			}
		}
		if before, err := t.Status(ctx, a.Name); err == nil {
			b.goal.Before = before
			if b.changes {
				b.goal.Version = "" // a template can change without another name
				b.goal.Another = !before.Over() && before.Revision > 0
			}
		}
		return b, target.ClusterFailed(c.Apply(ctx, byApp[a.Name], true, done))
	})
	if err != nil {
		return err
	}
	return target.ClusterFailed(c.Apply(ctx, changes[len(objects):], true, done))
}

// ours selects what an earlier deploy of the file has made.
func ours(f app.File) labels.Selector {
	key, values := render.LabelApp, []string{}
	for _, a := range f.Apps {
		values = append(values, a.Name)
	}
	if f.Group.Name != "" {
		key, values = render.LabelGroup, []string{f.Group.Name}
	}
	r, err := labels.NewRequirement(key, selection.In, values)
	if err != nil {
		return labels.Nothing()
	}
	return labels.NewSelector().Add(*r)
}

// show prints the diff and the plan; false if nothing is different.
func show(sh *shell.Shell, f app.File, changes []verbs.Change) bool {
	c := sh.Paint()
	different := false
	rolls := map[string]bool{}
	for _, ch := range changes {
		if ch.What == verbs.Unchanged {
			continue
		}
		different = true
		if ch.Rolls && ch.What == verbs.Changed {
			rolls[strings.TrimPrefix(ch.Object, "Deployment/")] = true
		}
		sh.Printf("%s %s\n", c.Bold(ch.Object), ch.What)
		if ch.What == verbs.Changed {
			appfile.Diff(sh.Out, c, ch.Object, ch.Before, ch.After)
		}
		for _, other := range ch.Others {
			sh.Printf("  %s\n", c.Bad("also written: "+other))
		}
	}
	for _, a := range f.Ordered() {
		if !rolls[a.Name] {
			continue
		}
		plan := a.Plan
		if a.Route.Router == "" || a.Route.Router == "ingress" {
			plan.Split = rollout.ByShare
		}
		sh.Printf("\n%s is rolled by %s, with %d replicas:\n", a.Name, plan.Strategy, a.Replicas)
		for i, s := range plan.Preview("the present version", a.Version, a.Replicas) {
			sh.Printf("  %d. %s\n", i+1, s.Text)
		}
	}
	if different {
		sh.Printf("\n")
	}
	return different
}

func asked(sh *shell.Shell) bool {
	if !sh.Interactive() {
		sh.Warn("nobody is there to ask: say yes with --yes")
		return false
	}
	sh.Printf("Apply it? [y/N] ")
	line, _ := bufio.NewReader(sh.In).ReadString('\n') // nothing is no
	return slices.Contains([]string{"y", "yes"}, strings.ToLower(strings.TrimSpace(line)))
}
