package local

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"gapless.dev/gapless/internal/report"
)

// historyLimit is how many revisions are kept, as kubectl does.
const historyLimit = 10

func (s *service) reportFile(revision int) string {
	return filepath.Join(s.dir, "revisions", fmt.Sprintf("%06d.json", revision))
}

// keepReport writes a report down. It is evidence, but no state: where it cannot be written the rollout goes on.
func (s *service) keepReport(r report.Report) {
	if err := write(s.reportFile(r.Revision), r); err != nil {
		s.say("cannot write the report of revision %d: %v", r.Revision, err)
		return
	}
	files := s.reportFiles()
	for _, old := range files[:max(0, len(files)-historyLimit)] {
		_ = os.Remove(old)
	}
}

// reportFiles lists the kept reports, oldest first.
func (s *service) reportFiles() []string {
	files, _ := filepath.Glob(filepath.Join(s.dir, "revisions", "[0-9]*.json"))
	slices.Sort(files)
	return files
}

// history returns the kept revisions, newest first; the present one as it stands now.
func (s *service) history() ([]report.Report, error) {
	now := s.status()
	all := []report.Report{}
	for _, file := range s.reportFiles() {
		var r report.Report
		if err := read(file, &r); err != nil {
			return nil, err
		}
		if r.Revision == now.Revision && !r.Over() {
			r = now
		}
		all = append(all, r)
	}
	slices.Reverse(all)
	return all, nil
}

func (s *service) revision(n int) (report.Report, error) {
	all, err := s.history()
	if err != nil {
		return report.Report{}, err
	}
	var kept []int
	for _, r := range all {
		if r.Revision == n || n == 0 {
			return r, nil
		}
		kept = append(kept, r.Revision)
	}
	if n == 0 {
		return s.status(), nil
	}
	return report.Report{}, errorf(NotFound, "%s has no revision %d: the %d that are kept are %v", s.app.Name, n, len(kept), kept)
}
