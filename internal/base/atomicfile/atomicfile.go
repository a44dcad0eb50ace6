// Package atomicfile writes files that are either the old or the new one,
// never half of each.
package atomicfile

import (
	"os"
	"path/filepath"
)

// Durability says what a written file survives.
type Durability bool

const (
	// Crash: it survives the death of this process, not that of the power.
	Crash Durability = false
	// Power: it is on disk before Write returns (one fsync of the file and one of its folder).
	Power Durability = true
)

// Write replaces the file at path with data. Whoever reads it sees the former
// content or all of data.
func Write(path string, data []byte, perm os.FileMode, d Durability) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	tmp := f.Name()
	err = fill(f, data, perm, d)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		_ = os.Remove(tmp)
		return err
	}
	if d == Power {
		return syncDir(filepath.Dir(path))
	}
	return nil
}

func fill(f *os.File, data []byte, perm os.FileMode, d Durability) error {
	if _, err := f.Write(data); err != nil {
		return err
	}
	if err := f.Chmod(perm); err != nil {
		return err
	}
	if d == Power {
		return f.Sync()
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
