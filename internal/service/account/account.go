// Package account knows who there is and who may do what: users with passwords,
// tokens that stand for them, and rules. It proves who somebody is, and answers
// whether they may do something. What people reach over the network asks it.
package account

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"lus/internal/base/errs"
	"lus/internal/base/keyed"
	"lus/internal/service/account/internal/password"
	"lus/internal/service/account/internal/throttle"
	"lus/internal/store/sqlite"
)

// Deps is what the service needs.
type Deps struct {
	DB *sqlite.DB
	// Dir is the folder of the key that signs bearer tokens, made where it is
	// not there.
	Dir string
	Log *slog.Logger
	Now func() time.Time // nil: the clock
}

// Service is the accounts of this Lus. Its methods are safe for concurrent use.
type Service struct {
	db     *sqlite.DB
	log    *slog.Logger
	now    func() time.Time
	key    []byte
	hasher *password.Hasher
	guess  *throttle.Throttle
	turns  keyed.Lock[comer]

	change sync.Mutex // one change and the look at its outcome at a time
	state  atomic.Pointer[state]
	used   usage
}

// New returns the service over the records in deps.
func New(ctx context.Context, d Deps) (*Service, error) {
	s := &Service{db: d.DB, log: d.Log, now: d.Now, hasher: password.New()}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.now == nil {
		s.now = time.Now
	}
	s.guess = throttle.New(s.now)
	var err error
	if s.key, err = signingKey(filepath.Join(d.Dir, "token.key")); err != nil {
		return nil, err
	}
	return s, s.reload(ctx)
}

// flushEvery is how often it is written down when tokens were used.
const flushEvery = time.Minute

// Run notes when tokens were used, and forgets those that are over, until ctx
// ends.
func (s *Service) Run(ctx context.Context) error {
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			s.flush(context.WithoutCancel(ctx))
			return nil
		case <-tick.C:
			s.flush(ctx)
		}
	}
}

// write changes the records, so that the change survives the power, and takes a
// new look at them. What fails has changed nothing.
func (s *Service) write(ctx context.Context, fn func(*sql.Tx) error) error {
	s.change.Lock()
	defer s.change.Unlock()
	if err := s.db.Write(ctx, sqlite.Power, fn); err != nil {
		return err
	}
	// The change is made, whatever becomes of the caller: it must be seen.
	return s.reload(context.WithoutCancel(ctx))
}

// notFound is the error of a user who is not there.
func notFound(name string) error {
	return errs.New(errs.NotFound, "there is no user %q: `lus account ls` lists them", name)
}

// row turns the absence of a row into an error of ours.
func row(err, absent error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return absent
	}
	return err
}

// removed is the error where a deletion removed nothing.
func removed(r sql.Result, absent error) error {
	n, err := r.RowsAffected()
	if err != nil || n > 0 {
		return err
	}
	return absent
}
