package adopt

import (
	"strings"
	"testing"
)

func TestDeploymentName_TakesDeploymentsAndSaysWhyNothingElse(t *testing.T) {
	for _, tt := range []struct{ target, name, says string }{
		{"deploy/api", "api", ""},
		{"deployment/api", "api", ""},
		{"deployments.apps/api", "api", ""},
		{"Deployment/api", "api", ""},
		{"api", "", "write deploy/api"},
		{"deploy/", "", "write deploy/NAME"},
		{"sts/db", "", "two versions cannot stand side by side"},
		{"statefulsets.apps/db", "", "two versions cannot stand side by side"},
		{"ds/log", "", "one pod a node"},
		{"replicaset/api-1", "", "make it a Deployment"},
		{"pod/api-1", "", "a pod is not rolled"},
		{"cronjob/x", "", "only a Deployment can"},
	} {
		name, err := deploymentName(tt.target)
		if name != tt.name || (err == nil) != (tt.says == "") || err != nil && !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %q, %v", tt.target, name, err)
		}
	}
}
