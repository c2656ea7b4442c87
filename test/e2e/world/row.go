package world

import (
	"encoding/json"
	"os"
	"sync"

	"gapless.dev/gapless/internal/report"
)

// A Row is one rollout under load, as the table of a soak has it.
type Row struct {
	Table    string         `json:"table"`
	Strategy string         `json:"strategy"`
	Service  string         `json:"service"`
	Via      string         `json:"via,omitempty"`
	What     string         `json:"what"`
	Requests int            `json:"requests"`
	Lost     int            `json:"lost"`
	GapMs    float64        `json:"longestGapMs"`
	Losses   map[string]int `json:"losses,omitempty"`
	// Failed tells that something else than a request went wrong.
	Failed bool `json:"failed,omitempty"`
	// Notes are what else was seen.
	Notes []string `json:"notes,omitempty"`
}

// FailedStories is the table of stories that failed. A story that failed before it had counted anything stands nowhere else.
const FailedStories = "stories that failed"

var rows sync.Mutex

// Row adds what was counted to the file that GAPLESS_ROWS names, a line of JSON each.
func (w *World) Row(table, strategy, service, via, what string, t report.Traffic, notes ...string) {
	w.Helper()
	path := os.Getenv("GAPLESS_ROWS")
	if path == "" {
		return
	}
	r := Row{
		Table: table, Strategy: strategy, Service: service, Via: via, What: what,
		Requests: t.Requests, Lost: t.Lost, GapMs: t.LongestGap.Duration().Seconds() * 1000, Losses: map[string]int{}, Failed: w.Failed(), Notes: notes,
	}
	for class, n := range t.Losses {
		r.Losses[string(class)] = n
	}
	text, err := json.Marshal(r)
	Check(w.T, err)
	rows.Lock()
	defer rows.Unlock()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	Check(w.T, err)
	_, err = f.Write(append(text, '\n'))
	Check(w.T, err)
	Check(w.T, f.Close())
}
