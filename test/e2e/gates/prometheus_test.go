package gates_test

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gapless.dev/gapless/test/e2e/world"
)

// A prometheus is a real one (the Debian package) beside the controller, which scrapes the annotated pods of a story's namespace every 5 s.
type prometheus struct {
	w    *world.World
	dir  string
	addr string
	cmd  *exec.Cmd
}

const scraping = `global: {scrape_interval: 5s, scrape_timeout: 2s}
scrape_configs:
- job_name: pods
  http_sd_configs: [{url: %q, refresh_interval: 1s}]
`

// discovery lists the annotated pods of a namespace, since Debian's Prometheus is built without that of Kubernetes.
func discovery(w *world.World) string {
	w.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		var pods corev1.PodList
		if err := w.List(r.Context(), &pods, client.InNamespace(w.Namespace)); err != nil {
			http.Error(out, err.Error(), http.StatusInternalServerError)
			return
		}
		groups := []map[string]any{}
		for _, p := range pods.Items {
			if p.Annotations["prometheus.io/scrape"] == "true" && p.Status.PodIP != "" && p.Status.Phase == corev1.PodRunning {
				groups = append(groups, map[string]any{"targets": []string{p.Status.PodIP + ":8080"}, "labels": map[string]string{"pod": p.Name}})
			}
		}
		out.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(out).Encode(groups)
	}))
	w.Cleanup(s.Close)
	return s.URL
}

// startPrometheus starts one, and waits until it answers.
func startPrometheus(w *world.World) *prometheus {
	w.Helper()
	if _, err := exec.LookPath("prometheus"); err != nil {
		w.Fatal("needs the Debian package prometheus: apt-get install --no-install-recommends prometheus")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	world.Check(w.T, err)
	p := &prometheus{w: w, dir: w.TempDir(), addr: l.Addr().String()}
	world.Check(w.T, l.Close())
	config := fmt.Sprintf(scraping, discovery(w))
	world.Check(w.T, os.WriteFile(filepath.Join(p.dir, "prometheus.yml"), []byte(config), 0o600))
	p.start()
	w.Cleanup(p.stop)
	return p
}

func (p *prometheus) url() string { return "http://" + p.addr }

func (p *prometheus) start() {
	p.w.Helper()
	p.cmd = exec.Command("prometheus", "--config.file="+filepath.Join(p.dir, "prometheus.yml"), "--storage.tsdb.path="+filepath.Join(p.dir, "data"),
		"--web.listen-address="+p.addr, "--log.level=error")
	p.cmd.Stderr = os.Stderr
	world.Check(p.w.T, p.cmd.Start())
	p.w.Eventually("Prometheus answers", time.Minute, func() error {
		res, err := http.Get(p.url() + "/-/ready")
		if err != nil {
			return err
		}
		res.Body.Close()
		if res.StatusCode != http.StatusOK {
			return fmt.Errorf("status %d", res.StatusCode)
		}
		return nil
	})
}

func (p *prometheus) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	_ = p.cmd.Wait()
}

// scrapes waits until it has a sample of each of so many pods.
func (p *prometheus) scrapes(pods int) {
	p.w.Helper()
	p.w.Eventually(fmt.Sprintf("Prometheus scrapes %d pods", pods), time.Minute, func() error {
		res, err := http.Get(p.url() + "/api/v1/query?query=" + url.QueryEscape("count(up==1)"))
		if err != nil {
			return err
		}
		defer res.Body.Close()
		text := make([]byte, 4096)
		n, _ := res.Body.Read(text)
		if want := fmt.Sprintf(`"%d"]`, pods); !contains(string(text[:n]), want) {
			return fmt.Errorf("%s", text[:n])
		}
		return nil
	})
}
