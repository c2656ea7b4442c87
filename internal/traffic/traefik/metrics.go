package traefik

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"gapless.dev/gapless/internal/traffic"
)

// Count reads what Traefik has counted of the user's Services and of their twins, where it shows its Prometheus metrics beside its API.
func (k IngressRoute) Count(ctx context.Context, o *unstructured.Unstructured, app traffic.App) (theirs, twins traffic.Counts, err error) {
	if k.API == nil {
		return theirs, twins, traffic.ErrNotCounted
	}
	services := map[*traffic.Counts][]string{}
	k.Backends(o.DeepCopy(), func(_ string, list []any) []any {
		for _, raw := range list {
			entry, _ := raw.(map[string]any)
			b := k.Backend(entry)
			if app.Service(b.Service) != nil {
				name := func(service string) string {
					return normalize(fmt.Sprintf("%s-%s-%s", app.Namespace, service, b.Port.String())) + provider
				}
				services[&theirs] = append(services[&theirs], name(b.Service))
				services[&twins] = append(services[&twins], name(traffic.TwinOf(b.Service)))
			}
		}
		return list
	})
	ctx, stop := context.WithTimeout(ctx, asking)
	defer stop()
	err = k.API.each(ctx, "metrics", func(_ string, body io.Reader) error {
		parser := expfmt.NewTextParser(model.UTF8Validation)
		families, err := parser.TextToMetricFamilies(body)
		if err != nil {
			return err
		}
		for _, m := range families["traefik_service_request_duration_seconds"].GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			for side, names := range services {
				for _, name := range names {
					if labels["service"] != name {
						continue
					}
					n := int64(m.GetHistogram().GetSampleCount())
					side.Requests += n
					side.Took += time.Duration(m.GetHistogram().GetSampleSum() * float64(time.Second))
					if strings.HasPrefix(labels["code"], "5") {
						side.Status5xx += n
					}
					break
				}
			}
		}
		return nil
	})
	return theirs, twins, err
}
