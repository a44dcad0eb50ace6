package folder

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/moby/buildkit/cache/contenthash"
	"github.com/opencontainers/go-digest"
	"github.com/tonistiigi/fsutil"
	fstypes "github.com/tonistiigi/fsutil/types"
	"golang.org/x/sys/unix"

	"lus/internal/base/errs"
)

// syncer brings a snapshot to the state of a folder. What its index says is
// there is not looked at.
type syncer struct {
	dest   *dir // the snapshot; nobody else writes there
	tree   *tree
	index  index
	trust  bool                                                      // files whose record holds are not read
	change func(fsutil.ChangeKind, string, os.FileInfo, error) error // tells the content hashes
	begin  func() error                                              // called before the first change
	again  func() error                                              // called before each further pass
	moved  atomic.Int64                                              // bytes read

	pass    uint32
	began   int64               // when this pass began, on the clock that files get their times from, in ns
	touched map[string]int64    // folders of the snapshot whose time must be set -> ns
	fresh   map[string]struct{} // files written in this pass
	links   []*fstypes.Stat     // further names of files, made when those are there
	linkRaw []unix.Stat_t

	files   chan file
	workers sync.WaitGroup
	stop    context.CancelCauseFunc

	mu       sync.Mutex
	unstable []string // files that became something else while they were read
	started  bool
	noClone  atomic.Bool
}

// passes is how often a folder is looked at that changes while it is read.
const passes = 4

// run takes over what files shows.
func (s *syncer) run(ctx context.Context, t *tree, filter *fsutil.FilterOpt) error {
	for _, r := range s.index {
		r.visited = 0
	}
	for s.pass = 1; s.pass <= passes; s.pass++ {
		if s.pass > 1 {
			if err := s.again(); err != nil {
				return err
			}
		}
		s.unstable = nil
		s.began = now(t.root.fd)
		if err := s.once(ctx, t, filter); err != nil {
			return err
		}
		if len(s.unstable) == 0 {
			return nil
		}
	}
	return errs.New(errs.Conflict, "the context changes while it is read: %s is never twice the same kind of file: build when nobody writes there, or name it in .dockerignore", s.unstable[0])
}

// once is one look at all of it.
func (s *syncer) once(ctx context.Context, t *tree, filter *fsutil.FilterOpt) (err error) {
	ctx, s.stop = context.WithCancelCause(ctx)
	defer s.stop(nil)
	s.touched, s.fresh, s.links, s.linkRaw = map[string]int64{}, map[string]struct{}{}, nil, nil
	s.tree, t.index, t.trust = t, s.index, s.trust || s.pass > 1
	shown, err := fsutil.NewFilterFS(t, filter)
	if err != nil {
		return err
	}
	s.startWorkers(ctx)
	in := &place{root: s.dest}
	err = fsutil.WithHardlinkReset(shown).Walk(ctx, "/", func(p string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return s.visit(ctx, t, in, p, e)
	})
	in.close()
	close(s.files)
	s.workers.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx) // what ended all, not what followed from it
	}
	if err != nil {
		return err
	}
	return s.finish()
}

// visit compares a file with what is known of it.
func (s *syncer) visit(ctx context.Context, t *tree, in *place, p string, e fs.DirEntry) error {
	info, err := e.Info()
	if err != nil {
		return err
	}
	st, ok := info.Sys().(*fstypes.Stat)
	if !ok {
		return fmt.Errorf("%s has no description", p)
	}
	st.Uid, st.Gid = 0, 0
	old := s.index[p]
	if st.IsDir() {
		return s.folder(in, p, st, old)
	}
	if t.last.path != p {
		return fmt.Errorf("the filters show %s when the walk is at %s", p, t.last.path)
	}
	raw := t.last.stat
	if old != nil && !old.isDir() && (s.trust || s.pass > 1) && old.holds(&raw) && old.link == st.Linkname && !s.isFresh(st) {
		old.visited = s.pass
		return nil
	}
	if err := s.clear(in, p, old, false); err != nil {
		return err
	}
	r := recordOf(st, &raw)
	r.visited = s.pass
	r.unsure = s.late(&raw)
	switch mode := info.Mode(); {
	case mode&(fs.ModeDevice|fs.ModeNamedPipe) != 0:
		err = s.device(in, p, st)
	case mode&fs.ModeSymlink != 0:
		err = s.symlink(in, p, st)
	case st.Linkname != "":
		s.set(p, &r)
		s.links, s.linkRaw = append(s.links, st), append(s.linkRaw, raw)
		return nil
	default:
		return s.send(ctx, t, in, p, st, &r)
	}
	if err != nil {
		return err
	}
	s.set(p, &r)
	return s.tell(p, st)
}

// isFresh tells that the file that this is another name of was written anew.
func (s *syncer) isFresh(st *fstypes.Stat) bool {
	if st.Linkname == "" || fs.FileMode(st.Mode)&fs.ModeSymlink != 0 {
		return false
	}
	_, ok := s.fresh[st.Linkname]
	return ok
}

// late reports whether a file changed so lately that the next change could have
// the same time: it changed since this pass began. A time that is a whole second
// may be of a file system that counts no less.
func (s *syncer) late(raw *unix.Stat_t) bool {
	at := raw.Ctim.Nano()
	if raw.Ctim.Nsec == 0 {
		at += coarse.Nanoseconds()
	}
	return at >= s.began
}

// coarse is the most that lies between two times of one file system: FAT's.
const coarse = 2 * time.Second

// slack is how far the clock of a file server may be ahead of ours.
const slack = 2 * time.Second

// now is the time that a file would get if it changed now, in ns; where another
// machine sets it, some time before.
func now(fd int) int64 {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_REALTIME_COARSE, &t) != nil {
		return 0 // all is late
	}
	var st unix.Statfs_t
	if unix.Fstatfs(fd, &st) != nil {
		return 0
	}
	switch st.Type {
	case unix.NFS_SUPER_MAGIC, unix.SMB_SUPER_MAGIC, unix.SMB2_SUPER_MAGIC, unix.CIFS_SUPER_MAGIC,
		unix.CEPH_SUPER_MAGIC, unix.V9FS_MAGIC, unix.FUSE_SUPER_MAGIC, unix.AFS_SUPER_MAGIC:
		return t.Nano() - slack.Nanoseconds()
	}
	return t.Nano()
}

// folder makes a folder, or sees that it is as it should be.
func (s *syncer) folder(in *place, p string, st *fstypes.Stat, old *record) error {
	r := &record{mode: st.Mode, mtime: st.ModTime, attrs: st.Xattrs, visited: s.pass}
	is := old != nil && old.isDir()
	same := is && old.mode == st.Mode && maps.EqualFunc(old.attrs, st.Xattrs, bytes.Equal)
	if same && old.mtime == st.ModTime {
		old.visited = s.pass
		return nil
	}
	if err := s.clear(in, p, old, true); err != nil {
		return err
	}
	s.set(p, r)
	s.touched[p] = st.ModTime
	if same {
		return s.start()
	}
	parent, name, err := in.at(p)
	if err != nil {
		return err
	}
	if !is {
		if err := unix.Mkdirat(parent.fd, name, 0o700); err != nil {
			return &os.PathError{Op: "mkdir", Path: p, Err: err}
		}
	}
	d, err := openDir(parent.fd, name)
	if err != nil {
		return &os.PathError{Op: "open", Path: p, Err: err}
	}
	defer d.drop()
	if is {
		for key := range old.attrs {
			if _, ok := st.Xattrs[key]; !ok {
				_ = unix.Fremovexattr(d.fd, key)
			}
		}
	}
	if err := dress(d.fd, st); err != nil {
		return &os.PathError{Op: "chmod", Path: p, Err: err}
	}
	return s.tell(p, st)
}

// dress gives what was made its attributes and mode.
func dress(fd int, st *fstypes.Stat) error {
	for key, value := range st.Xattrs {
		_ = unix.Fsetxattr(fd, key, value, 0) // as far as the file system takes them
	}
	return unix.Fchmod(fd, permissions(st.Mode))
}

// permissions are the lower bits of a mode as chmod(2) takes them.
func permissions(m uint32) uint32 {
	mode := fs.FileMode(m)
	out := uint32(mode.Perm())
	if mode&fs.ModeSetuid != 0 {
		out |= unix.S_ISUID
	}
	if mode&fs.ModeSetgid != 0 {
		out |= unix.S_ISGID
	}
	if mode&fs.ModeSticky != 0 {
		out |= unix.S_ISVTX
	}
	return out
}

// clear makes room for p, of which old is known; a folder stays where one is
// wanted. That a folder went is told.
func (s *syncer) clear(in *place, p string, old *record, wantDir bool) error {
	if err := s.start(); err != nil {
		return err
	}
	s.touch(path.Dir(p))
	if old == nil || old.isDir() && wantDir {
		return nil
	}
	parent, name, err := in.at(p)
	if err != nil {
		return err
	}
	if !old.isDir() {
		s.set(p, nil)
		if err := unix.Unlinkat(parent.fd, name, 0); err != nil && !errors.Is(err, unix.ENOENT) {
			return &os.PathError{Op: "unlink", Path: p, Err: err}
		}
		return nil
	}
	if err := s.removeDir(p); err != nil {
		return err
	}
	return s.change(fsutil.ChangeKindDelete, p, nil, nil)
}

// removeDir removes a folder with all that is in it from the snapshot and from
// the index.
func (s *syncer) removeDir(p string) error {
	root, err := os.OpenRoot(fmt.Sprintf("/proc/self/fd/%d", s.dest.fd))
	if err != nil {
		return err
	}
	defer root.Close()
	if err := root.RemoveAll(p); err != nil {
		return err
	}
	below := p + "/"
	s.tree.lock.Lock()
	defer s.tree.lock.Unlock()
	delete(s.index, p)
	maps.DeleteFunc(s.index, func(k string, _ *record) bool { return strings.HasPrefix(k, below) })
	return nil
}

// set changes what is known of a name; nil: it is not there. The walk itself
// reads the index without the lock, as nobody else writes.
func (s *syncer) set(p string, r *record) {
	s.tree.lock.Lock()
	defer s.tree.lock.Unlock()
	if r == nil {
		delete(s.index, p)
		return
	}
	s.index[p] = r
}

// start is called before each change, and tells of the first.
func (s *syncer) start() error {
	if s.started {
		return nil
	}
	s.started = true
	return s.begin()
}

// touch remembers that the time of a folder of the snapshot changes by what is
// done in it.
func (s *syncer) touch(p string) {
	if r := s.index[p]; r != nil {
		s.touched[p] = r.mtime
	}
}

func (s *syncer) symlink(in *place, p string, st *fstypes.Stat) error {
	parent, name, err := in.at(p)
	if err != nil {
		return err
	}
	if err := unix.Symlinkat(st.Linkname, parent.fd, name); err != nil {
		return &os.PathError{Op: "symlink", Path: p, Err: err}
	}
	for key, value := range st.Xattrs {
		_ = unix.Lsetxattr(fmt.Sprintf("/proc/self/fd/%d/%s", parent.fd, name), key, value, 0)
	}
	return setTime(parent.fd, name, st.ModTime)
}

func (s *syncer) device(in *place, p string, st *fstypes.Stat) error {
	parent, name, err := in.at(p)
	if err != nil {
		return err
	}
	kind := uint32(unix.S_IFBLK)
	switch mode := fs.FileMode(st.Mode); {
	case mode&fs.ModeNamedPipe != 0:
		kind = unix.S_IFIFO
	case mode&fs.ModeCharDevice != 0:
		kind = unix.S_IFCHR
	}
	dev := unix.Mkdev(uint32(st.Devmajor), uint32(st.Devminor))
	if err := unix.Mknodat(parent.fd, name, kind|0o600, int(dev)); err != nil {
		return &os.PathError{Op: "mknod", Path: p, Err: err}
	}
	if err := unix.Fchmodat(parent.fd, name, permissions(st.Mode), 0); err != nil {
		return &os.PathError{Op: "chmod", Path: p, Err: err}
	}
	return setTime(parent.fd, name, st.ModTime)
}

func setTime(at int, name string, ns int64) error {
	t := unix.NsecToTimespec(ns)
	if err := unix.UtimesNanoAt(at, name, []unix.Timespec{t, t}, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return &os.PathError{Op: "utimes", Path: name, Err: err}
	}
	return nil
}

// tell hands the hash of what has no content to the content hashes.
func (s *syncer) tell(p string, st *fstypes.Stat) error {
	h, err := contenthash.NewFromStat(st)
	if err != nil {
		return err
	}
	return s.change(fsutil.ChangeKindAdd, p, hashed{&fsutil.StatInfo{Stat: st}, digest.NewDigest(digest.SHA256, h)}, nil)
}

// hashed is a file with the digest that its content hash begins with.
type hashed struct {
	os.FileInfo
	dgst digest.Digest
}

// Digest implements contenthash.Hashed.
func (h hashed) Digest() digest.Digest { return h.dgst }

// finish makes what waits for files: their further names, what is gone, and
// the times of folders.
func (s *syncer) finish() error {
	for i, st := range s.links {
		if err := s.hardLink(st, &s.linkRaw[i]); err != nil {
			return err
		}
	}
	if err := s.removeGone(); err != nil {
		return err
	}
	for p, ns := range s.touched {
		r := s.index[p]
		if r == nil || !r.isDir() {
			continue
		}
		d, err := openDir(s.dest.fd, p)
		if err != nil {
			return &os.PathError{Op: "open", Path: p, Err: err}
		}
		err = setTime(d.fd, ".", ns)
		d.drop()
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *syncer) hardLink(st *fstypes.Stat, raw *unix.Stat_t) error {
	first := s.index[st.Linkname]
	if first == nil || first.ino != raw.Ino || first.dev != raw.Dev {
		// It changed between the two looks.
		s.unstable = append(s.unstable, st.Path)
		delete(s.index, st.Path)
		return nil
	}
	from, err := parentOf(s.dest, st.Linkname)
	if err != nil {
		return err
	}
	defer from.drop()
	to, err := parentOf(s.dest, st.Path)
	if err != nil {
		return err
	}
	defer to.drop()
	err = unix.Linkat(from.fd, path.Base(st.Linkname), to.fd, path.Base(st.Path), 0)
	if errors.Is(err, unix.ENOENT) && first.unsure {
		s.unstable = append(s.unstable, st.Path)
		return nil
	}
	if err != nil {
		return &os.LinkError{Op: "link", Old: st.Linkname, New: st.Path, Err: err}
	}
	return s.tell(st.Path, st)
}

func parentOf(root *dir, p string) (*dir, error) {
	d, err := openDir(root.fd, path.Dir(p))
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path.Dir(p), Err: err}
	}
	return d, nil
}

// removeGone removes what this pass did not come by.
func (s *syncer) removeGone() error {
	var old []string
	for p, r := range s.index {
		if r.visited != s.pass {
			old = append(old, p)
		}
	}
	slices.SortFunc(old, fsutil.ComparePath)
	in := &place{root: s.dest}
	defer in.close()
	under := ""
	for _, p := range old {
		if under != "" && strings.HasPrefix(p, under) {
			continue
		}
		r := s.index[p]
		if err := s.clear(in, p, r, false); err != nil {
			return err
		}
		if r.isDir() {
			under = p + "/"
			continue // it is told that all of it went
		}
		if err := s.change(fsutil.ChangeKindDelete, p, nil, nil); err != nil {
			return err
		}
	}
	return nil
}

// place finds the folders of the snapshot, and keeps the last one open: a walk
// comes by all files of a folder one after the other.
type place struct {
	root *dir
	dir  *dir
	name string
}

// at is the folder that p lies in, which the place keeps, and p's name there.
func (l *place) at(p string) (*dir, string, error) {
	parent := path.Dir(p)
	if l.dir != nil && l.name == parent {
		return l.dir, path.Base(p), nil
	}
	d, err := openDir(l.root.fd, parent)
	if err != nil {
		return nil, "", &os.PathError{Op: "open", Path: parent, Err: err}
	}
	l.close()
	l.dir, l.name = d, parent
	return d, path.Base(p), nil
}

func (l *place) close() {
	if l.dir != nil {
		l.dir.drop()
		l.dir = nil
	}
}
