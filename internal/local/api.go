package local

import (
	"errors"
	"fmt"
	"time"

	"gapless.dev/gapless/internal/report"
	"gapless.dev/gapless/internal/rollout"
)

// A Report is what every status, history entry and watch event is: the evidence of one revision.
type Report = report.Report

// A Ping is what a running Gapless says of itself.
type Ping struct {
	// Version of the program that serves, which may be older than the command that asks.
	Version string    `json:"version"`
	Pid     int       `json:"pid"`
	Since   time.Time `json:"since"`
	// File is the app file that it was started with; empty when there was none.
	File     string   `json:"file,omitempty"`
	StateDir string   `json:"stateDir"`
	Apps     []string `json:"apps"`
	// Ports are the public ports that are open, with their real addresses.
	Ports []OpenPort `json:"ports"`
}

// An OpenPort is a public port of an app.
type OpenPort struct {
	App  string `json:"app"`
	Name string `json:"name"`
	// Address is host:port as it is listened on, also where the file asked for port 0.
	Address string `json:"address"`
	TLS     bool   `json:"tls,omitempty"`
}

// A Preview tells what a deploy would do. Nothing was started for it.
type Preview = report.Preview

// A Code says what kind of error a command got.
type Code string

// The codes.
const (
	// NotFound: there is no such app, or no such revision.
	NotFound Code = "not-found"
	// Bad: the request itself makes no sense, such as a scale to -1.
	Bad Code = "bad"
	// Refused: it makes sense, but must not be done, such as a deploy of a version whose command is missing.
	Refused Code = "refused"
	// Conflict: it cannot be done in the state in which the app is, such as a promote at rest.
	Conflict Code = "conflict"
	// Unreachable: no Gapless answers at the socket.
	Unreachable Code = "unreachable"
	// Internal: Gapless itself failed, such as at writing its state.
	Internal Code = "internal"
)

// An Error is what a command gets back: a code for machines, and a sentence with the fix for people.
type Error struct {
	Code    Code   `json:"code"`
	Message string `json:"message"`
}

func (e *Error) Error() string { return e.Message }

// Is makes errors.Is(err, &Error{Code: NotFound}) true for every error of that code.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code && (t.Message == "" || t.Message == e.Message)
}

// CodeOf returns the code of an error that a Client or Up returned, Internal for any other, and "" for nil.
func CodeOf(err error) Code {
	var e *Error
	switch {
	case err == nil:
		return ""
	case errors.As(err, &e):
		return e.Code
	}
	return Internal
}

func errorf(code Code, format string, args ...any) error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// deployBody, scaleBody and orderBody are what the commands send.
type deployBody struct {
	Version rollout.Version `json:"version"`
	Origin
}

// An Origin is where a version was made, if not beside the app file.
type Origin struct {
	// Dir takes the place of the app's dir. Empty: it does not.
	Dir string `json:"dir,omitempty"`
	// Source says where the version comes from. Nil: nobody does.
	Source *report.Source `json:"source,omitempty"`
}

type scaleBody struct {
	Replicas int `json:"replicas"`
}

type orderBody struct {
	Verb rollout.Verb `json:"verb"`
}
