package image

import (
	"archive/tar"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/containerd/continuity/fs"
	"golang.org/x/sys/unix"
)

// implied finds the folders that a layer holds only because something lies in
// them: its tar has no entry for them. They are as the layers below have them,
// and those need not be there yet when this one is unpacked.
type implied struct {
	root    string
	parents map[string]bool // as the tar names them
	named   map[string]bool
}

func newImplied(root string) *implied {
	return &implied{root: root, parents: map[string]bool{}, named: map[string]bool{}}
}

// note sees each entry of the tar and lets it pass.
func (i *implied) note(h *tar.Header) (bool, error) {
	dir, base := filepath.Split(h.Name)
	i.parents[dir] = true
	if h.Typeflag == tar.TypeDir && base != "" {
		i.named[h.Name] = true
	}
	return true, nil
}

// folders are those found, relative to the layer, each before what is in it.
func (i *implied) folders() ([]string, error) {
	found := map[string]bool{}
	for dir := range i.parents {
		path, err := fs.RootPath(i.root, dir)
		if err != nil {
			return nil, err
		}
		for ; len(path) > len(i.root) && !found[path]; path = filepath.Dir(path) {
			found[path] = true
		}
	}
	for name := range i.named {
		dir, base := filepath.Split(name)
		path, err := fs.RootPath(i.root, dir)
		if err != nil {
			return nil, err
		}
		delete(found, filepath.Join(path, base))
	}
	out := slices.Collect(maps.Keys(found))
	slices.SortFunc(out, func(a, b string) int { return cmp.Or(len(a)-len(b), strings.Compare(a, b)) })
	for k, path := range out {
		out[k] = strings.TrimPrefix(path, i.root)
	}
	return out, nil
}

// inherit gives folders of the layer in dir the owner, mode and attributes that
// they have in the layers below, the topmost first.
func inherit(dir string, folders, below []string) error {
	for _, rel := range folders {
		for _, lower := range below {
			from, err := fs.RootPath(lower, rel)
			if err != nil {
				return err
			}
			info, err := os.Lstat(from)
			if errors.Is(err, os.ErrNotExist) {
				continue
			}
			if err != nil {
				return err
			}
			if info.IsDir() { // else it was replaced: a new folder it is
				if err := become(filepath.Join(dir, rel), from, info); err != nil {
					return fmt.Errorf("folder %s as in the layers below: %w", rel, err)
				}
			}
			break
		}
	}
	return nil
}

// become gives path what the folder from has. Attributes of the kernel's
// overlay and others that are for root alone are not a layer's to take over.
func become(path, from string, info os.FileInfo) error {
	now, err := os.Lstat(path)
	if err != nil || !now.IsDir() {
		return err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	if err := os.Lchown(path, int(st.Uid), int(st.Gid)); err != nil {
		return err
	}
	if err := unix.Fchmodat(unix.AT_FDCWD, path, st.Mode&0o7777, 0); err != nil {
		return err
	}
	names := make([]byte, 64<<10) // the kernel gives no longer list
	n, err := unix.Llistxattr(from, names)
	if err != nil {
		return ignoreUnsupported(err)
	}
	value := make([]byte, 64<<10)
	for name := range strings.SplitSeq(strings.TrimRight(string(names[:n]), "\x00"), "\x00") {
		if name == "" || strings.HasPrefix(name, "trusted.") {
			continue
		}
		size, err := unix.Lgetxattr(from, name, value)
		if err != nil {
			continue
		}
		if err := unix.Lsetxattr(path, name, value[:size], 0); err != nil {
			return ignoreUnsupported(err)
		}
	}
	return nil
}

func ignoreUnsupported(err error) error {
	if errors.Is(err, unix.ENOTSUP) {
		return nil
	}
	return err
}
