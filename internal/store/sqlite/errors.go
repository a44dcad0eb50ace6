package sqlite

import (
	"database/sql"
	"errors"
	"fmt"
	"syscall"

	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"lus/internal/base/errs"
)

type panicked struct{ value any }

func (p panicked) Error() string { return fmt.Sprintf("a write to the records panicked: %v", p.value) }

// full is the database's word for a full disk. It is ENOSPC, as elsewhere.
type full struct{ error }

func (full) Is(target error) bool { return target == syscall.ENOSPC }

func (f full) Unwrap() error { return f.error }

// explain turns the database's errors into words that say what to do. Errors
// with a kind of their own, and those of the callers' functions, stay.
func explain(path string, err error) error {
	var known *errs.Error
	if err == nil || errors.As(err, &known) || errors.Is(err, sql.ErrNoRows) {
		return err
	}
	var e *sqlite.Error
	if errors.As(err, &e) {
		switch e.Code() & 0xff {
		case lib.SQLITE_BUSY, lib.SQLITE_LOCKED:
			return errs.New(errs.Unavailable, "the records in %s are locked by another process: is a second daemon or a database tool using this root? (%w)", path, err)
		case lib.SQLITE_CORRUPT, lib.SQLITE_NOTADB:
			return errs.New(errs.Unavailable, "the records in %s are damaged: move the file (and its -wal and -shm) away or restore a backup, then start again (%w)", path, err)
		case lib.SQLITE_FULL:
			return errs.New(errs.Unavailable, "the disk that holds %s is full: free some space, nothing was changed (%w)", path, full{err})
		case lib.SQLITE_READONLY, lib.SQLITE_CANTOPEN, lib.SQLITE_PERM:
			return errs.New(errs.Denied, "the records in %s cannot be opened for writing: check that the folder exists and belongs to root (%w)", path, err)
		}
	}
	if errors.Is(err, syscall.ENOSPC) {
		return errs.New(errs.Unavailable, "the disk that holds %s is full: free some space, nothing was changed (%w)", path, err)
	}
	return err
}
