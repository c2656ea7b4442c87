// Package rules is the list of the K rules, one folder each.
package rules

import (
	"gapless.dev/gapless/internal/lint"
	"gapless.dev/gapless/internal/lint/rules/k01"
	"gapless.dev/gapless/internal/lint/rules/k02"
	"gapless.dev/gapless/internal/lint/rules/k03"
	"gapless.dev/gapless/internal/lint/rules/k04"
	"gapless.dev/gapless/internal/lint/rules/k05"
	"gapless.dev/gapless/internal/lint/rules/k06"
	"gapless.dev/gapless/internal/lint/rules/k07"
	"gapless.dev/gapless/internal/lint/rules/k08"
	"gapless.dev/gapless/internal/lint/rules/k09"
	"gapless.dev/gapless/internal/lint/rules/k10"
	"gapless.dev/gapless/internal/lint/rules/k11"
	"gapless.dev/gapless/internal/lint/rules/k12"
)

// All is every rule, in the order of the contract.
var All = []lint.Rule{
	k01.Rule, // readiness: there, its own, fast enough
	k02.Rule, // the grace period holds everything
	k03.Rule, // a slow start has its time
	k04.Rule, // a new pod before an old one goes
	k05.Rule, // node drains go through, one pod at a time
	k06.Rule, // not all pods on one node
	k07.Rule, // SIGTERM reaches the service
	k08.Rule, // proxies outlive the service
	k09.Rule, // cloud load balancers know later
	k10.Rule, // a pod without a stand-in stays ready
	k11.Rule, // preStop needs nothing from the image
	k12.Rule, // liveness kills only what is stuck
}
