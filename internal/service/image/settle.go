package image

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	store "lus/internal/store/content"
)

// settle writes what was unpacked to the disk. Names of images survive the
// power, so what they name must be there first.
func (s *Service) settle(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return settleError(unix.Syncfs(int(f.Fd())))
}

func settleError(err error) error {
	if err == nil {
		return nil
	}
	if full(err) {
		return noSpace(err)
	}
	return fmt.Errorf("write the layers to the disk: %w", err)
}

// finish hashes a layer that is whole, and meanwhile writes it to the disk; dir
// is its folder.
func (s *Service) finish(ctx context.Context, name, dir string) (store.Layer, error) {
	settled := make(chan error, 1)
	go func() { settled <- s.settleLayer(dir) }()
	l, err := s.store.Hash(ctx, name)
	return l, errors.Join(err, <-settled)
}

// fewFiles is how many files are synced one by one, rather than all that is on
// the file system.
const fewFiles = 64

// settleLayer writes one layer to the disk. Where it has few files it is only
// these: the whole file system may have as much again to write, as the files
// that a commit copied.
func (s *Service) settleLayer(dir string) error {
	names, err := files(dir, fewFiles)
	if err != nil {
		return err
	}
	if names == nil {
		return s.settle(dir)
	}
	// All begin before the first is waited for. Folders come after what is in
	// them, and last those that the layer lies in.
	for _, n := range names {
		if err := withFile(n, startWriting); err != nil {
			return err
		}
	}
	slices.Reverse(names)
	for _, n := range append(names, filepath.Dir(dir), filepath.Dir(filepath.Dir(dir))) {
		if err := withFile(n, func(f *os.File) error { return f.Sync() }); err != nil {
			return settleError(err)
		}
	}
	return nil
}

// startWriting lets the kernel begin to write a file. Where it cannot, syncing
// does all.
func startWriting(f *os.File) error {
	_ = unix.SyncFileRange(int(f.Fd()), 0, 0, unix.SYNC_FILE_RANGE_WRITE)
	return nil
}

// files are the folders and plain files below dir and itself; nil where there
// are more than most.
func files(dir string, most int) ([]string, error) {
	var out []string
	err := filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if len(out) == most {
			out = nil
			return fs.SkipAll
		}
		if e.IsDir() || e.Type().IsRegular() {
			out = append(out, name)
		}
		return nil
	})
	return out, err
}

func withFile(name string, do func(*os.File) error) error {
	f, err := os.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	return do(f)
}
