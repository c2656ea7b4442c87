package report

import (
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
)

// A Format is one of the outputs.
type Format string

// The formats.
const (
	FormatText  Format = "text"
	FormatJSON  Format = "json"
	FormatHTML  Format = "html"
	FormatJUnit Format = "junit"
)

// Formats lists the outputs, the default first.
var Formats = []Format{FormatText, FormatJSON, FormatHTML, FormatJUnit}

// ParseFormat reads a format's name.
func ParseFormat(name string) (Format, error) {
	if f := Format(name); slices.Contains(Formats, f) {
		return f, nil
	}
	return "", fmt.Errorf("output %q is not known: give text, json, html or junit", name)
}

// FormatOf is the format that a file's name asks for.
func FormatOf(file string) (Format, error) {
	switch strings.ToLower(filepath.Ext(file)) {
	case ".txt":
		return FormatText, nil
	case ".json":
		return FormatJSON, nil
	case ".html", ".htm":
		return FormatHTML, nil
	case ".xml":
		return FormatJUnit, nil
	}
	return "", fmt.Errorf("the name of report file %q does not say its format: end it in .txt, .json, .html or .xml (JUnit)", file)
}

// Write writes the report in the format. A bare probe's JSON is its traffic alone.
func Write(w io.Writer, f Format, r Report) error {
	switch f {
	case FormatJSON:
		if r.App == "" && r.Traffic != nil {
			return TrafficJSON(w, *r.Traffic)
		}
		return JSON(w, r)
	case FormatHTML:
		return HTML(w, r)
	case FormatJUnit:
		return JUnit(w, r)
	}
	return Text(w, r)
}
