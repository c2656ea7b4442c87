package demo

import "io"

func writeHTML(w io.Writer, o *Options, results []Result) error {
	_, err := io.WriteString(w, "<!doctype html>")
	return err
}
