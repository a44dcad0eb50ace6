package build

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"lus/internal/model/build"
	"lus/internal/service/build/internal/report"
)

// spare is what the builder keeps of the disk for the day it is full: giving
// space back means writing to the cache's database, which needs some itself.
const spare = 1 << 20

func (s *Service) spareFile() string { return filepath.Join(s.d.Root, "spare") }

// keepRoom takes the spare space, or goes without.
func (s *Service) keepRoom() {
	f, err := os.OpenFile(s.spareFile(), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return
	}
	defer f.Close()
	if err := unix.Fallocate(int(f.Fd()), 0, 0, spare); err != nil {
		_ = os.Remove(s.spareFile())
	}
}

// afterFailure makes room where a build ended for want of it: at once where the
// disk is full now, because others who write to it would fail meanwhile, and
// soon otherwise. Then it was a quota, or a disk that only the step has.
func (s *Service) afterFailure(ctx context.Context, failure error) {
	if report.DiskFull(failure) {
		s.full.Store(true)
	}
	if !s.diskFull() {
		return
	}
	ctx = context.WithoutCancel(ctx)
	o, done, err := s.begin(ctx)
	if err != nil {
		return // the daemon stops; the next one sweeps
	}
	defer done()
	s.full.Store(false)
	if err := s.makeRoom(ctx, o); err != nil {
		s.d.Log.Warn("making room after a build that filled the disk", "err", err)
	}
}

// diskFull tells whether less is free than the builder itself needs. The step's
// own words are no sign: it may have written that the disk is full, or nothing.
func (s *Service) diskFull() bool {
	var at unix.Statfs_t
	return unix.Statfs(s.d.Root, &at) == nil && at.Bavail*uint64(at.Bsize) < spare
}

// makeRoom drops all of the cache that nobody uses: the disk is full, and what a
// build left that ended for it could not be let go of.
func (s *Service) makeRoom(ctx context.Context, o *opened) error {
	err := os.Remove(s.spareFile())
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	_, perr := o.engine.Prune(ctx, build.Prune{All: true})
	s.keepRoom()
	return errors.Join(err, perr)
}
