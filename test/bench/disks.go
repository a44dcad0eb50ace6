package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"lus/internal/base/layout"
	"lus/test/stack"
)

// diskSize is how large a disk of one builder may grow; it is sparse.
const diskSize = 16 << 30

// newDisk mounts an empty ext4 of its own at a folder.
func (b *suite) newDisk(name, at string) error {
	file := filepath.Join(b.dir, name+".disk")
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Truncate(diskSize), f.Close(), os.MkdirAll(at, 0o755)); err != nil {
		return err
	}
	// All inodes are there at once: none is made while others measure.
	return lines(
		[]string{"mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", file},
		[]string{"mount", "-o", "loop", file, at},
	)
}

// apartBuilders are the builders for a row that makes and removes files by tens
// of thousands, Lus and buildah each on a disk of its own: ext4 makes new files
// ten times slower for minutes where as many were removed, so on one disk each
// would be measured by what the other had removed. docker's daemon is the
// machine's and stays where it is. The caller ends them.
func (b *suite) apartBuilders() (sides []*side, end func(), err error) {
	var undo []func()
	end = func() {
		for i := len(undo) - 1; i >= 0; i-- {
			undo[i]()
		}
	}
	defer func() {
		if err != nil {
			end()
		}
	}()
	disk := func(name string) (at string, err error) {
		at = filepath.Join(b.dir, name+"-disk")
		if err := b.newDisk(name, at); err != nil {
			return "", err
		}
		undo = append(undo, func() { b.dropDisk(name, at) })
		return at, nil
	}
	at, err := disk("lus")
	if err != nil {
		return nil, nil, err
	}
	s, err := stack.New()
	if err != nil {
		return nil, nil, err
	}
	s.Layout = layout.Resolve(filepath.Join(at, "root"), s.Run)
	undo = append(undo, func() {
		if left := s.Remove(); left != "" {
			fmt.Fprintln(b.stderr, "bench: Lus left behind:\n"+left)
		}
	})
	if err := s.Up(); err != nil {
		return nil, nil, fmt.Errorf("%w\n%s", err, s.DaemonLog(20))
	}
	if err := s.Import(stack.Busybox); err != nil {
		return nil, nil, err
	}
	lus := *b.lus
	lus.env = s.Env()
	sides = append([]*side{&lus}, b.sides()[1:]...)
	if b.buildah == nil {
		return sides, end, nil
	}
	if at, err = disk("buildah"); err != nil {
		return nil, nil, err
	}
	buildah, err := b.newBuildah(b.buildah.program, filepath.Join(at, "root"))
	if err != nil {
		return nil, nil, err
	}
	undo = append(undo, buildah.forget)
	return append(sides, buildah), end, nil
}

func (b *suite) dropDisk(name, at string) {
	if err := errors.Join(lines([]string{"umount", "-R", at}), os.Remove(filepath.Join(b.dir, name+".disk"))); err != nil {
		fmt.Fprintln(b.stderr, "bench:", err)
	}
}
