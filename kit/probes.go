package kit

import (
	"net/http"
	"strings"
	"sync"
)

// isProbe tells health checks from traffic: they go on coming until the end,
// and a drain that waited for them would never be over.
func (s *Service) isProbe(r *http.Request) bool {
	if s.probed.has(r.URL.Path) {
		return true
	}
	agent := r.UserAgent()
	for _, prefix := range probeAgents {
		if strings.HasPrefix(agent, prefix) {
			return true
		}
	}
	return false
}

// probeAgents are the names by which health checks introduce themselves.
var probeAgents = []string{
	"kube-probe/",
	"gapless-health",
	"GoogleHC/",
	"ELB-HealthChecker/",
	"Envoy/HC",
	"Consul Health Check",
}

// paths is a small set. It is bounded: a health handler may be mounted where
// clients choose the path.
type paths struct {
	mu  sync.RWMutex
	set map[string]struct{}
}

const mostPaths = 16

func (p *paths) add(path string) {
	if p.has(path) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.set == nil {
		p.set = make(map[string]struct{})
	}
	if len(p.set) < mostPaths {
		p.set[path] = struct{}{}
	}
}

func (p *paths) has(path string) bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	_, ok := p.set[path]
	return ok
}
