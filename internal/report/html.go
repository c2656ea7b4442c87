package report

import "io"

// HTML writes the report as one self-contained page.
func HTML(w io.Writer, r Report) error {
	_, err := io.WriteString(w, "<!doctype html>\n<title>"+r.Title()+"</title>\n")
	return err
}
