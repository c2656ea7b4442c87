package kit

import (
	"fmt"
	"os"
	"strconv"
	"time"
)

// The environment that a platform sets. Durations are written as in Go
// ("30s") or as whole seconds ("30"), the form of Kubernetes' own fields.
const (
	envGrace     = "GAPLESS_GRACE"      // Budget.Grace
	envDrain     = "GAPLESS_DRAIN"      // Budget.Drain
	envPreStop   = "GAPLESS_PRESTOP"    // Budget.PreStop
	envVersion   = "GAPLESS_VERSION"    // the header Gapless-Version
	envHealth    = "GAPLESS_HEALTH"     // address of the health listener
	envReadyFile = "GAPLESS_READY_FILE" // exists while the service is ready
	envReport    = "GAPLESS_REPORT"     // file of the drain report
)

// fromEnv lets the environment override what the options said.
func (s *Service) fromEnv() error {
	for name, value := range map[string]*time.Duration{
		envGrace: &s.budget.Grace, envDrain: &s.budget.Drain, envPreStop: &s.budget.PreStop,
	} {
		text, ok := os.LookupEnv(name)
		if !ok || text == "" {
			continue
		}
		d, err := parseDuration(text)
		if err != nil {
			return fmt.Errorf("%s=%q is no duration; write 30s or 30", name, text)
		}
		*value = d
	}
	for name, value := range map[string]*string{
		envVersion: &s.version, envHealth: &s.healthAddr, envReadyFile: &s.readyFile, envReport: &s.reportPath,
	} {
		if text := os.Getenv(name); text != "" {
			*value = text
		}
	}
	return nil
}

func parseDuration(text string) (time.Duration, error) {
	if seconds, err := strconv.Atoi(text); err == nil {
		return time.Duration(seconds) * time.Second, nil
	}
	return time.ParseDuration(text)
}
