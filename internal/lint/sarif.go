package lint

import (
	"encoding/json"
	"io"
	"path/filepath"
	"slices"
	"strings"
)

// SARIF writes the result for code review tools, in version 2.1.0. File names are relative, as the tools want them.
func (r Result) SARIF(w io.Writer, version string) error {
	run := sarifRun{ColumnKind: "unicodeCodePoints", Results: []sarifResult{}}
	run.Tool.Driver = sarifDriver{Name: "gapless lint", Version: version, Rules: []sarifRule{}}
	ids := []string{}
	for _, rule := range r.rules {
		ids = append(ids, rule.ID)
		run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, sarifRule{ID: rule.ID, Short: message{rule.Title}, Full: message{rule.Why}, HelpURI: rule.Source})
	}
	ids = append(ids, IgnoreID)
	run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, sarifRule{ID: IgnoreID, Short: message{"what is ignored has a reason"}})
	for _, f := range r.Findings {
		one := sarifResult{
			RuleID:    f.Rule,
			RuleIndex: slices.Index(ids, f.Rule),
			Level:     map[Severity]string{Error: "error", Warning: "warning", Info: "note"}[f.Severity],
			Message:   message{f.Object + ": " + f.What + ". Fix: " + f.Fix},
		}
		var at sarifLocation
		at.Physical.Artifact.URI = strings.TrimPrefix(filepath.ToSlash(f.File), "./")
		if f.Line > 0 {
			at.Physical.Region = &sarifRegion{f.Line}
		}
		at.Logical = []sarifLogical{{Name: f.Object + " " + f.Field}}
		one.Locations = []sarifLocation{at}
		if f.Ignored != "" {
			one.Suppressions = []sarifSuppression{{Kind: "inSource", Justification: f.Ignored}}
		}
		run.Results = append(run.Results, one)
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(sarifLog{
		Schema:  "https://json.schemastore.org/sarif-2.1.0.json",
		Version: "2.1.0",
		Runs:    []sarifRun{run},
	})
}

type (
	sarifLog struct {
		Schema  string     `json:"$schema"`
		Version string     `json:"version"`
		Runs    []sarifRun `json:"runs"`
	}
	sarifRun struct {
		Tool struct {
			Driver sarifDriver `json:"driver"`
		} `json:"tool"`
		ColumnKind string        `json:"columnKind"`
		Results    []sarifResult `json:"results"`
	}
	sarifDriver struct {
		Name    string      `json:"name"`
		Version string      `json:"version,omitempty"`
		Rules   []sarifRule `json:"rules"`
	}
	sarifRule struct {
		ID      string  `json:"id"`
		Short   message `json:"shortDescription"`
		Full    message `json:"fullDescription,omitzero"`
		HelpURI string  `json:"helpUri,omitempty"`
	}
	sarifResult struct {
		RuleID       string             `json:"ruleId"`
		RuleIndex    int                `json:"ruleIndex"`
		Level        string             `json:"level"`
		Message      message            `json:"message"`
		Locations    []sarifLocation    `json:"locations"`
		Suppressions []sarifSuppression `json:"suppressions,omitempty"`
	}
	sarifLocation struct {
		Physical struct {
			Artifact struct {
				URI string `json:"uri"`
			} `json:"artifactLocation"`
			Region *sarifRegion `json:"region,omitempty"`
		} `json:"physicalLocation"`
		Logical []sarifLogical `json:"logicalLocations"`
	}
	sarifRegion struct {
		StartLine int `json:"startLine"`
	}
	sarifLogical struct {
		Name string `json:"fullyQualifiedName"`
	}
	sarifSuppression struct {
		Kind          string `json:"kind"`
		Justification string `json:"justification"`
	}
	message struct {
		Text string `json:"text"`
	}
)
