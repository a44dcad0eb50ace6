package copies

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	cmount "github.com/containerd/containerd/v2/core/mount"
	"golang.org/x/sys/unix"

	"lus/internal/base/errs"
	"lus/internal/linux/mount"
)

// layer is a new layer of the image: its own folder, and the view of what is
// below it and it together.
type layer struct {
	folder string
	work   string
	merged *os.File // nil: there is nothing below
}

// openLayer opens the layer that a snapshot's mounts show. The view does not
// sync when it goes: what is written there waits for sync.
func openLayer(mounts []cmount.Mount) (*layer, error) {
	if len(mounts) != 1 {
		return nil, errSpecial
	}
	m := mounts[0]
	if m.Type == "bind" && !m.ReadOnly() {
		return &layer{folder: m.Source}, nil
	}
	if m.Type != "overlay" {
		return nil, errSpecial
	}
	l := &layer{}
	var lower []string
	for _, o := range m.Options {
		key, value, _ := strings.Cut(o, "=")
		switch key {
		case "lowerdir":
			lower = strings.Split(value, ":")
		case "upperdir":
			l.folder = value
		case "workdir":
			l.work = value
		case "index":
		default:
			return nil, errSpecial // it may change how a layer is to be read
		}
	}
	if l.folder == "" || l.work == "" {
		return nil, errSpecial
	}
	f, err := mount.Overlay{Lower: lower, Upper: l.folder, Work: l.work, Volatile: true}.Mount()
	if err != nil {
		return nil, fmt.Errorf("mount the new layer: %w", err)
	}
	l.merged = f
	return l, nil
}

// root is where files are to be found that lie in the layer or below.
func (l *layer) root() string {
	if l.merged == nil {
		return l.folder
	}
	return fmt.Sprintf("/proc/self/fd/%d", l.merged.Fd())
}

// unmount ends the view: from here on the layer's folder is written to, which
// nobody may do below a mounted overlay.
func (l *layer) unmount() error {
	if l.merged == nil {
		return nil
	}
	err := l.merged.Close()
	l.merged = nil
	// The mark that nothing was synced would keep the next mount from being one.
	return errors.Join(err, os.RemoveAll(filepath.Join(l.work, "work", "incompat")))
}

func (l *layer) close() error { return l.unmount() }

// open opens a folder that the layer itself has.
func (l *layer) open(name string) (*os.File, error) {
	root, err := os.Open(l.folder)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	d, err := openDir(int(root.Fd()), strings.TrimPrefix(filepath.Join("/", name), "/"))
	if err != nil {
		return nil, errs.New(errs.Internal, "open %s in the new layer: %w", name, err)
	}
	return d, nil
}

// sync writes the layer to the disk: the cache that tells of it may be there
// before.
func (l *layer) sync() error {
	if l.work == "" {
		return nil // nor would an unmounted folder be synced
	}
	f, err := os.Open(l.folder)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.Syncfs(int(f.Fd()))
}
