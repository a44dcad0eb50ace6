package errs_test

import (
	"errors"
	"fmt"
	"io/fs"
	"testing"

	"lus/internal/base/errs"
)

func TestNewKeepsCauseAndTellsItOnce(t *testing.T) {
	err := errs.New(errs.NotFound, "no such container: %s: %w", "web", fs.ErrNotExist)
	if got, want := err.Error(), "no such container: web: file does not exist"; got != want {
		t.Errorf("message %q, want %q", got, want)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		t.Error("the cause is lost")
	}
}

func TestKindOfLooksThroughWrapping(t *testing.T) {
	err := fmt.Errorf("starting: %w", errs.New(errs.Conflict, "port is taken"))
	if got := errs.KindOf(err); got != errs.Conflict {
		t.Errorf("kind %v, want Conflict", got)
	}
	if errs.KindOf(errors.New("plain")) != errs.Internal {
		t.Error("an error without a kind must be Internal")
	}
	if errs.Is(nil, errs.Internal) {
		t.Error("no error is of no kind")
	}
}

func TestWithKeepsTheText(t *testing.T) {
	if errs.With(errs.Invalid, nil) != nil {
		t.Error("nil must stay nil")
	}
	err := errs.With(errs.Invalid, errors.New("bad port"))
	if err.Error() != "bad port" || errs.KindOf(err) != errs.Invalid {
		t.Errorf("got %q of kind %v", err, errs.KindOf(err))
	}
}
