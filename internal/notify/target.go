package notify

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"gapless.dev/gapless/internal/gate/spec"
)

// wants tells whether somebody is told of a kind.
func wants(t spec.Notify, k Kind) bool {
	if len(t.On) == 0 {
		return slices.Contains(usual, k)
	}
	return slices.Contains(t.On, string(k))
}

// Body is an event in the form of a template.
func Body(template string, e Event) []byte {
	if template != "slack" {
		text, _ := json.Marshal(e) // texts and numbers can be encoded
		return text
	}
	text, _ := json.Marshal(map[string]string{"text": slack(e)})
	return text
}

// slack is an event in Slack's markup, in which &, < and > have a meaning.
func slack(e Event) string {
	plain := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace
	name := e.App
	if e.Namespace != "" {
		name = e.Namespace + "/" + e.App
	}
	head := fmt.Sprintf("*%s* revision %d", plain(name), e.Revision)
	if e.From != "" && e.To != "" {
		head += fmt.Sprintf(", %s %s → %s", e.Strategy, plain(e.From), plain(e.To))
	}
	what := map[Kind]string{
		Started: "has started", Step: "stands", Waiting: "waits for a person", Promoted: "is promoted", Aborting: "goes back", Aborted: "went back", Held: "is held",
	}[e.Type]
	if e.Type == Step {
		what = fmt.Sprintf("stands at step %d of %d, %d %%", e.Step, e.Steps, e.Weight)
	}
	return fmt.Sprintf("%s *%s*\n%s", head, what, plain(e.Message))
}
