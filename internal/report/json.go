package report

import (
	"encoding/json"
	"io"
)

// JSON writes the whole value, indented. Names that end in Ms hold milliseconds.
func JSON(w io.Writer, r Report) error { return writeJSON(w, r) }

// TrafficJSON writes the traffic alone, as gapless probe does.
func TrafficJSON(w io.Writer, t Traffic) error { return writeJSON(w, t) }

func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
