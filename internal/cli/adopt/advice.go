package adopt

import (
	"context"
	"strings"

	"github.com/rogpeppe/go-internal/diff"

	"gapless.dev/gapless/internal/kube/verbs"
	"gapless.dev/gapless/internal/lint"
	"gapless.dev/gapless/internal/lint/manifest"
	"gapless.dev/gapless/internal/lint/rules"
)

// Advice is what lint says of the Deployment and of what belongs to it. Nothing of it is applied.
type Advice struct {
	Findings []lint.Finding `json:"findings"`
	// Diff would mend what can be mended without guessing; empty if nothing can.
	Diff string `json:"diff,omitempty"`
	// Unread are the kinds of objects that may not be read, and so were not judged.
	Unread []string `json:"unread,omitempty"`
}

// advise judges what stands; checked is what a live test has seen of the service, nil if there was none.
func advise(ctx context.Context, cluster *verbs.Cluster, deployment string, checked *lint.CheckReport) (Advice, error) {
	text, unread, err := cluster.Manifest(ctx, deployment)
	if err != nil {
		return Advice{}, err
	}
	return judge(deployment+".yaml", text, unread, checked), nil
}

func judge(name string, text []byte, unread []string, checked *lint.CheckReport) Advice {
	file, _ := manifest.Parse(name, text) // what the cluster holds can be read
	files := []*manifest.File{file}
	a := Advice{Findings: []lint.Finding{}, Unread: unread}
	for _, f := range lint.Run(rules.All, lint.NewWorld(files, lint.Answers{}, checked)) {
		if f.Ignored == "" && f.Severity.AtLeast(lint.Warning) {
			a.Findings = append(a.Findings, f)
		}
	}
	fixed, _ := lint.Fix(rules.All, files, lint.Answers{}, checked)
	if len(fixed) > 0 && fixed[0].Changed() {
		_, body, _ := strings.Cut(string(diff.Diff("a/"+name, fixed[0].Before, "b/"+name, fixed[0].After)), "\n")
		a.Diff = body
	}
	return a
}
