package main

import (
	"errors"
	"io"
	"syscall"
)

// outcome counts what became of the requests of one client.
type outcome struct {
	answered, reset, eof, other int
	err                         error // the last loss
}

func (o *outcome) lost() int { return o.reset + o.eof + o.other }

func (o *outcome) count(err error) {
	switch {
	case err == nil:
		o.answered++
		return
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		o.reset++
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		o.eof++
	default:
		o.other++
	}
	o.err = err
}

func (o *outcome) add(other outcome) {
	o.answered += other.answered
	o.reset += other.reset
	o.eof += other.eof
	o.other += other.other
	if other.err != nil {
		o.err = other.err
	}
}

func isRefused(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }
