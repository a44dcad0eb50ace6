package folder

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/tonistiigi/fsutil"
	fstypes "github.com/tonistiigi/fsutil/types"
	"golang.org/x/sys/unix"
)

// tree shows a folder of this host to BuildKit's filters. Each name is looked
// up by the descriptor of the folder that it lies in and is not followed, so
// whatever is renamed or linked meanwhile, nothing leads out of the folder. A
// tree is for one walk after another, by one goroutine.
type tree struct {
	root  *dir
	index index        // what was known of the folder: where the walk is likely to come by
	lock  sync.RWMutex // for who changes the index during a walk, and who else than the walk reads it
	trust bool         // what is known of a file, and holds, is not read again

	// last is the entry that the walk is at, in more detail than filters pass on.
	last struct {
		path string
		dir  *dir
		name string
		stat unix.Stat_t
	}
}

// dir is an open folder, shared by the walk and those who still read in it.
type dir struct {
	fd    int
	users atomic.Int32
}

func newDir(fd int) *dir {
	d := &dir{fd: fd}
	d.users.Store(1)
	return d
}

func (d *dir) keep() *dir {
	d.users.Add(1)
	return d
}

func (d *dir) drop() {
	if d.users.Add(-1) == 0 {
		unix.Close(d.fd)
	}
}

// beneath is how names of a context are opened: they lead nowhere else.
const beneath = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS

// openDir opens a folder in the folder at; name is a path without links.
func openDir(at int, name string) (*dir, error) {
	how := unix.OpenHow{Flags: unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: beneath}
	for {
		fd, err := unix.Openat2(at, name, &how)
		if err == nil {
			return newDir(fd), nil
		}
		if !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) {
			return nil, err
		}
	}
}

// openTree opens the folder; links on the way to it are followed, as the user
// means them.
func openTree(name string) (*tree, error) {
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return &tree{root: newDir(fd)}, nil
}

func (t *tree) close() { t.root.drop() }

// Open implements fsutil.FS. Nobody calls it: files are read by descriptor.
func (t *tree) Open(name string) (io.ReadCloser, error) {
	return nil, fmt.Errorf("open %s: %w", name, errors.ErrUnsupported)
}

// Walk implements fsutil.FS: it calls f for target and all below it, sorted by
// name, as filepath.WalkDir does. The folder itself is left out.
func (t *tree) Walk(ctx context.Context, target string, f fs.WalkDirFunc) error {
	w := walk{tree: t, ctx: ctx, f: f, links: map[inode]string{}}
	w.ahead = ahead{tree: t, found: map[string]chan *dirList{}}
	defer w.ahead.close()
	target = path.Clean(strings.TrimLeft(target, "/"))
	if target == "." {
		return w.end(w.top())
	}
	if !filepath.IsLocal(target) {
		return w.end(f(target, nil, missing(target, unix.ENOENT)))
	}
	parent := t.root.keep()
	if at := path.Dir(target); at != "." {
		parent.drop()
		below, err := openDir(t.root.fd, at)
		if err != nil {
			return w.end(f(target, nil, missing(target, err)))
		}
		parent = below
	}
	defer parent.drop()
	var st unix.Stat_t
	if err := unix.Fstatat(parent.fd, path.Base(target), &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return w.end(f(target, nil, missing(target, err)))
	}
	return w.end(w.entry(parent, target, named{name: path.Base(target), kind: fileMode(st.Mode).Type(), stat: &st}))
}

// missing is what filters take as "it is not there": a link on the way to it is
// not followed here, FollowLinks does that step by step.
func missing(name string, err error) error {
	if errors.Is(err, unix.ELOOP) || errors.Is(err, unix.EXDEV) {
		err = unix.ENOENT
	}
	return &os.PathError{Op: "lstat", Path: name, Err: err}
}

type inode struct{ dev, ino uint64 }

type walk struct {
	tree  *tree
	ctx   context.Context
	f     fs.WalkDirFunc
	links map[inode]string // files with several names -> the first of them
	ahead ahead
}

// end is the walk's result: what was not there, or was skipped, is no error.
func (walk) end(err error) error {
	if errors.Is(err, fs.SkipDir) || errors.Is(err, fs.SkipAll) || gone(err) {
		return nil
	}
	return err
}

func gone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR)
}

// entry calls f for a name, and for what is in it where it is a folder.
func (w *walk) entry(parent *dir, full string, n named) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	if len(full) >= unix.PathMax {
		return &os.PathError{Op: "lstat", Path: full[:80] + "...", Err: unix.ENAMETOOLONG}
	}
	e := &entry{walk: w, dir: parent, named: n, full: full}
	err := w.f(full, e, nil)
	if e.vanished && (err == nil || gone(err) || errors.Is(err, fs.SkipDir)) {
		return nil
	}
	if errors.Is(err, fs.SkipDir) && n.kind.IsDir() {
		return nil
	}
	if err != nil || !n.kind.IsDir() {
		return err
	}
	l := w.ahead.take(full)
	if l == nil {
		l = readDir(parent, n.name)
	}
	defer l.drop()
	if gone(l.err) || errors.Is(l.err, unix.ELOOP) {
		return nil // no folder any more
	}
	if l.err != nil {
		return w.unreadable(full, e, l.err)
	}
	return w.children(l, full)
}

// unreadable asks f what to do about a folder that cannot be read: filters do
// not mind where they leave it out.
func (w *walk) unreadable(full string, e *entry, err error) error {
	err = w.f(full, e, &os.PathError{Op: "open", Path: full, Err: err})
	if errors.Is(err, fs.SkipDir) {
		return nil
	}
	return err
}

// top shows the folder itself.
func (w *walk) top() error {
	l := readDir(w.tree.root, ".")
	defer l.drop()
	if l.err != nil {
		return l.err
	}
	return w.children(l, "")
}

// children shows what is in a folder.
func (w *walk) children(l *dirList, full string) error {
	asked, next := 0, 0
	for _, n := range l.names {
		for ; next < len(l.names) && asked < aheadMost; next++ {
			if w.ahead.ask(l, next, full) {
				asked++
			}
		}
		name := path.Join(full, n.name)
		if n.kind.IsDir() && w.ahead.asked(name) {
			asked--
		}
		err := w.entry(l.dir, name, n)
		if errors.Is(err, fs.SkipDir) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// list reads a folder, sorted by name.
func list(fd int) ([]named, error) {
	again, err := unix.Openat(fd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(again), fmt.Sprintf("/proc/self/fd/%d", fd)) // so that a kind the listing lacks is looked up there
	defer f.Close()
	entries, err := f.ReadDir(-1)
	if err != nil {
		return nil, err
	}
	out := make([]named, len(entries))
	for i, e := range entries {
		out[i] = named{name: e.Name(), kind: e.Type()}
	}
	slices.SortFunc(out, func(a, b named) int { return strings.Compare(a.name, b.name) })
	return out, nil
}

// entry is a name that the walk came by; it is looked at when somebody asks.
type entry struct {
	walk *walk
	dir  *dir
	named
	full     string
	is       *fstypes.Stat
	vanished bool
}

// Name implements fs.DirEntry.
func (e *entry) Name() string { return e.name }

// IsDir implements fs.DirEntry.
func (e *entry) IsDir() bool { return e.kind.IsDir() }

// Type implements fs.DirEntry.
func (e *entry) Type() fs.FileMode { return e.kind }

// Info implements fs.DirEntry. Its Sys is BuildKit's description of a file.
func (e *entry) Info() (fs.FileInfo, error) {
	if e.is == nil {
		if err := e.look(); err != nil {
			e.vanished = gone(err)
			return nil, &os.PathError{Op: "lstat", Path: e.full, Err: err}
		}
	}
	return &fsutil.StatInfo{Stat: e.is.Clone()}, nil
}

func (e *entry) look() error {
	t := e.walk.tree
	st := e.stat
	if st == nil {
		st = &unix.Stat_t{}
		if err := unix.Fstatat(e.dir.fd, e.name, st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return err
		}
	}
	if t.trust {
		e.is = t.index.known(e.full, st)
	}
	if e.is == nil {
		var err error
		if e.is, err = describe(e.dir.fd, e.name, e.full, st); err != nil {
			return err
		}
	}
	e.is.Linkname = e.walk.link(e.full, st, e.is)
	if !e.is.IsDir() {
		t.last.path, t.last.dir, t.last.name, t.last.stat = e.full, e.dir, e.name, *st
	}
	return nil
}

// link is where a symbolic link leads, or the first name that the walk saw of
// the same file.
func (w *walk) link(full string, st *unix.Stat_t, is *fstypes.Stat) string {
	kind := st.Mode & unix.S_IFMT
	if kind == unix.S_IFDIR || kind == unix.S_IFLNK || st.Nlink < 2 {
		return is.Linkname
	}
	key := inode{st.Dev, st.Ino}
	if first, ok := w.links[key]; ok && first != full {
		return first
	}
	w.links[key] = full
	return ""
}

// describe is a file in BuildKit's words, as root's: a build's result does not
// depend on who owns the files of its context.
func describe(at int, name, full string, st *unix.Stat_t) (*fstypes.Stat, error) {
	out := &fstypes.Stat{Path: full, Mode: uint32(fileMode(st.Mode)), ModTime: st.Mtim.Nano()}
	kind := st.Mode & unix.S_IFMT
	if kind == unix.S_IFCHR || kind == unix.S_IFBLK {
		out.Devmajor, out.Devminor = int64(unix.Major(st.Rdev)), int64(unix.Minor(st.Rdev))
	}
	if kind != unix.S_IFDIR {
		out.Size = st.Size
	}
	var err error
	if kind == unix.S_IFLNK {
		if out.Linkname, err = readlink(at, name); err != nil {
			return nil, err
		}
	}
	out.Xattrs, err = attributes(at, name)
	return out, err
}

func readlink(at int, name string) (string, error) {
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(at, name, buf)
	if err != nil {
		return "", err
	}
	return string(buf[:n]), nil
}

// skippedAttributes are those of another system, which BuildKit leaves out too.
const skippedAttributes = "com.apple."

// attributes are the extended attributes of name itself.
func attributes(at int, name string) (map[string][]byte, error) {
	file := fmt.Sprintf("/proc/self/fd/%d/%s", at, name)
	names, err := grow(func(b []byte) (int, error) { return unix.Llistxattr(file, b) })
	if errors.Is(err, unix.ENOTSUP) || err == nil && len(names) == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out map[string][]byte
	for key := range strings.SplitSeq(strings.TrimSuffix(string(names), "\x00"), "\x00") {
		if strings.HasPrefix(key, skippedAttributes) {
			continue
		}
		value, err := grow(func(b []byte) (int, error) { return unix.Lgetxattr(file, key, b) })
		if err != nil {
			continue
		}
		if out == nil {
			out = map[string][]byte{}
		}
		out[key] = value
	}
	return out, nil
}

// grow calls f with ever more room until what it has to say fits.
func grow(f func([]byte) (int, error)) ([]byte, error) {
	n, err := f(nil)
	for err == nil && n > 0 {
		b := make([]byte, n)
		m, ferr := f(b)
		if ferr == nil {
			return b[:m], nil
		}
		if !errors.Is(ferr, unix.ERANGE) {
			return nil, ferr
		}
		n, err = f(nil)
	}
	return nil, err
}

// fileMode is a mode of stat(2) in Go's words, and a socket is a file without
// content: images hold none, and BuildKit takes them so.
func fileMode(m uint32) fs.FileMode {
	out := fs.FileMode(m & 0o777)
	switch m & unix.S_IFMT {
	case unix.S_IFBLK:
		out |= fs.ModeDevice
	case unix.S_IFCHR:
		out |= fs.ModeDevice | fs.ModeCharDevice
	case unix.S_IFDIR:
		out |= fs.ModeDir
	case unix.S_IFIFO:
		out |= fs.ModeNamedPipe
	case unix.S_IFLNK:
		out |= fs.ModeSymlink
	}
	if m&unix.S_ISUID != 0 {
		out |= fs.ModeSetuid
	}
	if m&unix.S_ISGID != 0 {
		out |= fs.ModeSetgid
	}
	if m&unix.S_ISVTX != 0 {
		out |= fs.ModeSticky
	}
	return out
}
