package adopt

import (
	"strings"
	"testing"
)

const bare = `apiVersion: apps/v1
kind: Deployment
metadata:
  name: demo-api
  namespace: shop
spec:
  replicas: 3
  selector:
    matchLabels:
      app: demo-api
  template:
    metadata:
      labels:
        app: demo-api
    spec:
      containers:
      - image: demo-api:1.0.0
        name: app
        ports:
        - containerPort: 8080
---
apiVersion: v1
kind: Service
metadata:
  name: demo-api
  namespace: shop
spec:
  ports:
  - port: 80
    targetPort: 8080
  selector:
    app: demo-api
`

func TestAdvice_NamesWhatWouldLoseRequestsAndShowsADiff(t *testing.T) {
	a := judge("demo-api.yaml", []byte(bare), []string{"PodDisruptionBudgets"}, nil)
	ids := map[string]bool{}
	for _, f := range a.Findings {
		ids[f.Rule] = true
	}
	if !ids["K1"] || len(a.Unread) != 1 {
		t.Errorf("%+v", a)
	}
	if a.Diff != "" && !strings.Contains(a.Diff, "\n+") {
		t.Errorf("diff:\n%s", a.Diff)
	}
	t.Log(a.Diff)
}
