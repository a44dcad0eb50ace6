package engine

import (
	"os"
	"path/filepath"
	"slices"

	"lus/internal/base/errs"
)

// stubs are what every container has, made to mount something on or by the
// start itself.
func stubs() []string {
	return []string{"/dev/console", "/dev/pts", "/dev/shm", "/dev/mqueue", "/proc", "/sys", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf"}
}

// lastStub is made last: where it is, all are.
const lastStub = "etc/resolv.conf"

// makeStubs makes the layer with what every start mounts on: beneath the image,
// where it is no work of the start's and no change of the container's. What an
// image has of it, or hides, counts as ever.
func makeStubs(dir string) error {
	fail := func(err error) error {
		return errs.New(errs.Unavailable, "cannot make the layer beneath the images, %s: %w", dir, roomless(err))
	}
	for _, d := range []string{"dev", "proc", "sys", "etc"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return fail(err)
		}
	}
	for _, name := range []string{"etc/hosts", "etc/hostname", lastStub} {
		f, err := os.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_RDONLY, 0o644)
		if err != nil {
			return fail(err)
		}
		if err := f.Close(); err != nil {
			return fail(err)
		}
	}
	return nil
}

// onStubs are an image's layers, topmost first, with the stubs beneath, which are made
// where they are missing.
func (e *Engine) onStubs(layers []string) ([]string, error) {
	dir := e.Layout.Stubs()
	if _, err := os.Lstat(filepath.Join(dir, lastStub)); err != nil {
		if err := makeStubs(dir); err != nil {
			return nil, err
		}
	}
	return append(slices.Clip(layers), dir), nil
}
