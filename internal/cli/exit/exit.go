// Package exit carries exit codes from commands to main.
package exit

import (
	"errors"
	"fmt"
)

// The exit codes of every command.
const (
	// OK: done, and what was asked about holds.
	OK = 0
	// Failed: it was done and the answer is no, such as a probe that lost requests, or it could not be done.
	Failed = 1
	// Usage: the command line or a file is wrong. Nothing was started.
	Usage = 2
	// NothingAnswers: no Gapless answers at the socket, and no cluster either.
	NothingAnswers = 3
)

// An ExitError is an error with the exit code it leads to. The root command maps it; any
// other error leads to Failed.
type ExitError struct {
	Code int
	// Err is shown to the person. Nil when the output has said everything already.
	Err error
}

func (e *ExitError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("exit code %d", e.Code)
	}
	return e.Err.Error()
}

func (e *ExitError) Unwrap() error { return e.Err }

// Silently returns an error that exits with the code and prints nothing more.
func Silently(code int) error { return &ExitError{Code: code} }

// With returns err with an exit code.
func With(code int, err error) error { return &ExitError{Code: code, Err: err} }

// Usagef returns an error about a wrong command line or file.
func Usagef(format string, args ...any) error {
	return With(Usage, fmt.Errorf(format, args...))
}

// Code is the exit code an error leads to: 0 for nil, Failed for an error that carries none.
func Code(err error) int {
	var e *ExitError
	switch {
	case err == nil:
		return OK
	case errors.As(err, &e):
		return e.Code
	}
	return Failed
}
