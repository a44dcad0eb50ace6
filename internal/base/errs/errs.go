// Package errs gives every error of Lus a kind for programs and a message for
// people. Kinds become HTTP statuses in internal/api/status and exit codes in
// internal/cli, each in one place.
package errs

import (
	"errors"
	"fmt"
)

// Kind says what went wrong in a way that programs can act on.
type Kind uint8

const (
	// Internal is everything without a kind of its own: a fault of ours.
	Internal Kind = iota
	// NotFound: the thing named does not exist.
	NotFound
	// Conflict: the thing is in a state that does not allow this, or the name is taken.
	Conflict
	// Invalid: the request itself is wrong.
	Invalid
	// Denied: the caller may not do this.
	Denied
	// Unauthenticated: the caller did not say, or not prove, who they are.
	Unauthenticated
	// Unavailable: it could work later or elsewhere (a registry that is down, a full disk).
	Unavailable
	// NotModified: the thing is already as asked.
	NotModified
	// Unsupported: Lus does not do this here.
	Unsupported
	// CommandNotFound: the container's command does not exist (exit code 127).
	CommandNotFound
	// CommandNotExecutable: the container's command may not be run (exit code 126).
	CommandNotExecutable
	// TooMany: the caller asks too often and may ask again later.
	TooMany
)

// Error is a message for people with a kind for programs.
type Error struct {
	Kind Kind
	Msg  string
	Err  error // the cause, for errors.Is and errors.As; Msg already tells it
}

// Error returns the message, or the cause's where there is none of its own.
func (e *Error) Error() string {
	if e.Msg == "" && e.Err != nil {
		return e.Err.Error()
	}
	return e.Msg
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// New returns an error of the given kind. The format may use %w once.
func New(k Kind, format string, args ...any) error {
	wrapped := fmt.Errorf(format, args...)
	return &Error{Kind: k, Msg: wrapped.Error(), Err: errors.Unwrap(wrapped)}
}

// With gives err a kind and keeps its text; nil stays nil.
func With(k Kind, err error) error {
	if err == nil {
		return nil
	}
	return &Error{Kind: k, Err: err}
}

// KindOf returns the kind of the outermost *Error in err's chain, Internal where there is none.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return Internal
}

// Is reports whether err is of kind k.
func Is(err error, k Kind) bool { return err != nil && KindOf(err) == k }
