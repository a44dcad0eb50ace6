package build

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"lus/internal/model/build"
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
