package copies

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	confs "github.com/containerd/continuity/fs"
	"github.com/moby/buildkit/snapshot"
	"github.com/moby/buildkit/solver/llbsolver/file"
	"github.com/moby/buildkit/solver/llbsolver/ops/fileoptypes"
	"github.com/moby/buildkit/solver/pb"
	fscopy "github.com/tonistiigi/fsutil/copy"
	"golang.org/x/sys/unix"

	"lus/internal/store/content"
)

// backend carries file actions out.
type backend struct {
	*file.Backend
	refs  *refs
	store *content.Store
}

// errSpecial says that BuildKit does this copy.
var errSpecial = errors.New("not a plain copy of a folder")

// Copy implements fileoptypes.Backend. What it cannot do it has not begun, or
// has done as BuildKit would: BuildKit then does all of it.
func (b *backend) Copy(ctx context.Context, from, to, users, groups fileoptypes.Mount, a *pb.FileActionCopy) error {
	err := b.folder(ctx, from, to, users, groups, a)
	if errors.Is(err, errSpecial) {
		return b.Backend.Copy(ctx, from, to, users, groups, a)
	}
	return err
}

// plain tells whether a copy has nothing special about it, as far as can be
// told before looking.
func plain(a *pb.FileActionCopy) bool {
	return a.DirCopyContents && a.CreateDestPath && a.ModeStr == "" && !a.AlwaysReplaceExistingDestPaths &&
		len(a.IncludePatterns) == 0 && len(a.ExcludePatterns) == 0 && !strings.ContainsAny(a.Src, `*?[\`)
}

// folder copies a folder, if that is what the action means.
func (b *backend) folder(ctx context.Context, from, to, users, groups fileoptypes.Mount, a *pb.FileActionCopy) (err error) {
	name, known := b.refs.snapshot(to)
	src, ok := from.(*file.Mount)
	if !ok || !known || !plain(a) {
		return errSpecial
	}
	mounter := snapshot.LocalMounter(src.Mountable())
	root, err := mounter.Mount()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, mounter.Unmount()) }()
	source, err := sourceFolder(root, a)
	if err != nil {
		return err
	}
	owner, err := readUser(a.Owner, mountable(users), mountable(groups))
	if err != nil {
		return err
	}
	mounts, err := b.store.Snapshotter().Mounts(ctx, name)
	if err != nil {
		return err
	}
	l, err := openLayer(mounts)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	c := &copier{owner: owner, overlay: l.merged != nil}
	if a.Mode != -1 {
		mode := int(a.Mode)
		c.mode = &mode
	}
	if a.Timestamp != -1 {
		at := time.Unix(a.Timestamp/1e9, a.Timestamp%1e9)
		c.time = &at
	}
	return c.run(ctx, l, root, source, a.Dest)
}

func mountable(m fileoptypes.Mount) snapshot.Mountable {
	if own, ok := m.(*file.Mount); ok {
		return own.Mountable()
	}
	return nil
}

// sourceFolder is the folder that is copied, as a path in root.
func sourceFolder(root string, a *pb.FileActionCopy) (string, error) {
	name := path.Join("/", a.Src)
	var full string
	var err error
	if a.FollowSymlink {
		full, err = confs.RootPath(root, name)
	} else if full, err = confs.RootPath(root, path.Dir(name)); err == nil {
		full = filepath.Join(full, path.Base(name))
	}
	if err != nil {
		return "", errSpecial // BuildKit has the words for it
	}
	info, err := os.Lstat(full)
	if err != nil || !info.IsDir() {
		return "", errSpecial
	}
	return full, nil
}

// run copies the folder source, which lies in root, to dest in the layer.
func (c *copier) run(ctx context.Context, l *layer, root, source, dest string) error {
	top, err := os.Open(source)
	if err != nil {
		return err
	}
	defer top.Close()
	if err := unix.Fstat(int(top.Fd()), &c.top); err != nil {
		return &os.PathError{Op: "stat", Path: strings.TrimPrefix(source, root), Err: err}
	}
	inside, err := confs.RootPath(l.root(), path.Clean(dest))
	if err != nil {
		return errSpecial
	}
	there, err := presentIn(source, inside)
	if err != nil {
		return err
	}
	// The folder itself, those above it and what replaces something are written
	// through the overlay, by BuildKit's code: what is below is in the way there.
	rel, at := strings.TrimPrefix(source, root), strings.TrimPrefix(inside, l.root())
	if at != "" { // every layer has a root
		if err := fscopy.Copy(ctx, root, rel, l.root(), dest, c.bare("*")); err != nil {
			return inPlace(err, root, l.root())
		}
	}
	if err := c.replace(ctx, there, root, rel, l.root(), at); err != nil {
		return inPlace(err, root, l.root())
	}
	if err := l.unmount(); err != nil {
		return err
	}
	own, err := l.open(at)
	if err != nil {
		return err
	}
	defer own.Close()
	if err := c.copy(ctx, top, own, there); err != nil {
		return err
	}
	if err := c.setTime(int(own.Fd()), "", &c.top); err != nil {
		return &os.PathError{Op: "utimes", Path: at, Err: err}
	}
	return l.sync()
}

// present are the names of a folder that the place it is copied to has already.
type present struct {
	files   map[string]struct{}
	folders map[string]*present
}

// presentIn compares a folder with the place it is copied to; nil: nothing is
// there. A file in a folder's place, or a link, is special.
func presentIn(source, dest string) (*present, error) {
	info, err := os.Stat(dest)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil || !info.IsDir() {
		return nil, errSpecial
	}
	return compare(source, dest)
}

func compare(source, dest string) (*present, error) {
	list, err := os.ReadDir(source)
	if err != nil {
		return nil, err
	}
	p := &present{files: map[string]struct{}{}, folders: map[string]*present{}}
	for _, e := range list {
		from, to := filepath.Join(source, e.Name()), filepath.Join(dest, e.Name())
		old, err := os.Lstat(to)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		var st unix.Stat_t
		if err != nil || unix.Lstat(from, &st) != nil {
			return nil, errSpecial
		}
		switch kind := st.Mode & unix.S_IFMT; {
		case kind == unix.S_IFDIR && old.IsDir():
			if p.folders[e.Name()], err = compare(from, to); err != nil {
				return nil, err
			}
		case kind == unix.S_IFREG && old.Mode().IsRegular() && st.Nlink < 2:
			p.files[e.Name()] = struct{}{}
		default:
			return nil, errSpecial
		}
	}
	return p, nil
}

// replace copies the files that replace others, and brings the folders that are
// there into the layer.
func (c *copier) replace(ctx context.Context, p *present, root, rel, into, at string) error {
	if p == nil {
		return nil
	}
	for name := range p.files {
		if err := fscopy.Copy(ctx, root, path.Join(rel, name), into, path.Join(at, name), c.bare()); err != nil {
			return err
		}
	}
	for name, below := range p.folders {
		info, err := os.Lstat(filepath.Join(root, rel, name))
		if err != nil {
			return err
		}
		if err := os.Chmod(filepath.Join(into, at, name), info.Mode()); err != nil {
			return err
		}
		if err := c.replace(ctx, below, root, path.Join(rel, name), into, path.Join(at, name)); err != nil {
			return err
		}
	}
	return nil
}

// bare is this copy in BuildKit's words, without what the patterns match.
func (c *copier) bare(without ...string) fscopy.Opt {
	return func(i *fscopy.CopyInfo) {
		i.Chown = func(old *fscopy.User) (*fscopy.User, error) {
			if c.owner != nil {
				return c.owner, nil
			}
			return old, nil
		}
		i.Utime, i.Mode, i.CopyDirContents, i.ExcludePatterns = c.time, c.mode, true, without
		i.XAttrErrorHandler = func(string, string, string, error) error { return nil }
	}
}

// inPlace takes the places on the host out of an error.
func inPlace(err error, roots ...string) error {
	var at *os.PathError
	if errors.As(err, &at) {
		for _, r := range roots {
			at.Path = strings.TrimPrefix(at.Path, r)
		}
	}
	return err
}
