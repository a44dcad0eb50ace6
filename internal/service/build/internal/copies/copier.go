package copies

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	fscopy "github.com/tonistiigi/fsutil/copy"
	"golang.org/x/sys/unix"
)

// copier copies one folder.
type copier struct {
	owner   *fscopy.User // nil: that of each file
	mode    *int         // of files and folders; nil: that of each
	time    *time.Time   // nil: that of each file
	overlay bool         // the layer is to lie on others
	top     unix.Stat_t  // the folder itself

	out     *os.File
	inherit bool // what is there may be anybody's, and what is new may get its group
	jobs    chan job
	stop    context.CancelCauseFunc
	folders []folder    // whose attributes are set when all is in them
	apart   atomic.Bool // the kernel does not copy between these two

	mu    sync.Mutex
	first map[uint64]string // files with several names -> the one that was copied
	links [][2]string       // old and new name
}

// folder is a folder that was made, or was there.
type folder struct {
	path  string
	stat  unix.Stat_t
	attrs []attribute
	old   bool // it was there
}

// job is one name to copy; its folders are kept open for it.
type job struct {
	from, to *dir
	name     string
	path     string
	kind     os.FileMode
}

// dir is an open folder, shared by the walk and those who still work in it.
type dir struct {
	*os.File
	users atomic.Int32
}

func share(f *os.File) *dir {
	d := &dir{File: f}
	d.users.Store(1)
	return d
}

func (d *dir) keep() *dir {
	d.users.Add(1)
	return d
}

func (d *dir) drop() {
	if d.users.Add(-1) == 0 {
		d.Close()
	}
}

// openDir opens a folder in the folder at; no link is followed.
func openDir(at int, name string) (*os.File, error) {
	if name == "" {
		name = "."
	}
	how := unix.OpenHow{Flags: unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS}
	for {
		fd, err := unix.Openat2(at, name, &how)
		if err == nil {
			// So named that a kind which a listing lacks is looked up there.
			return os.NewFile(uintptr(fd), fmt.Sprintf("/proc/self/fd/%d", fd)), nil
		}
		if !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) {
			return nil, err
		}
	}
}

// copy copies what is in the folder from to the folder to, where nobody else
// writes. Of what is there already files are left out.
func (c *copier) copy(ctx context.Context, from, to *os.File, there *present) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(to.Fd()), &st); err != nil {
		return err
	}
	c.out, c.first = to, map[uint64]string{}
	c.inherit = st.Mode&unix.S_ISGID != 0 || there != nil && len(there.folders) > 0
	ctx, c.stop = context.WithCancelCause(ctx)
	defer c.stop(nil)
	c.jobs = make(chan job, 64)
	var workers sync.WaitGroup
	for range max(2, runtime.GOMAXPROCS(0)) {
		workers.Go(func() { c.work(ctx) })
	}
	err := c.walk(ctx, from, to, there)
	close(c.jobs)
	workers.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx) // what ended all, not what followed from it
	}
	if err != nil {
		return err
	}
	return c.finish()
}

// walk goes through the top folder.
func (c *copier) walk(ctx context.Context, from, to *os.File, there *present) error {
	a, err := openDir(int(from.Fd()), "")
	if err != nil {
		return err
	}
	b, err := openDir(int(to.Fd()), "")
	if err != nil {
		return errors.Join(err, a.Close())
	}
	in, out := share(a), share(b)
	defer in.drop()
	defer out.drop()
	return c.content(ctx, in, out, "", there)
}

// content goes through a folder: folders are made at once, all else is for the
// workers.
func (c *copier) content(ctx context.Context, from, to *dir, at string, there *present) error {
	list, err := from.ReadDir(-1)
	if err != nil {
		return &os.PathError{Op: "readdir", Path: "/" + at, Err: err}
	}
	slices.SortFunc(list, func(a, b os.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	if there == nil {
		there = &present{}
	}
	for _, e := range list {
		if _, ok := there.files[e.Name()]; ok {
			continue
		}
		full := path.Join(at, e.Name())
		if len(full) >= unix.PathMax {
			return &os.PathError{Op: "copy", Path: "/" + full[:80] + "...", Err: unix.ENAMETOOLONG}
		}
		if e.IsDir() {
			if err := c.folder(ctx, from, to, e.Name(), full, there.folders[e.Name()]); err != nil {
				return err
			}
			continue
		}
		j := job{from: from.keep(), to: to.keep(), name: e.Name(), path: full, kind: e.Type()}
		select {
		case c.jobs <- j:
		case <-ctx.Done():
			j.drop()
			return context.Cause(ctx)
		}
	}
	return nil
}

func (j *job) drop() {
	j.from.drop()
	j.to.drop()
}

// folder makes a folder, where it is not there, and goes through it.
func (c *copier) folder(ctx context.Context, from, to *dir, name, full string, there *present) error {
	a, err := openDir(int(from.Fd()), name)
	if err != nil {
		return &os.PathError{Op: "open", Path: "/" + full, Err: err}
	}
	in := share(a)
	defer in.drop()
	f := folder{path: full, old: there != nil}
	if err := unix.Fstat(int(in.Fd()), &f.stat); err != nil {
		return &os.PathError{Op: "stat", Path: "/" + full, Err: err}
	}
	f.attrs = attributes(int(in.Fd()))
	if !f.old {
		if err := unix.Mkdirat(int(to.Fd()), name, 0o700); err != nil {
			return &os.PathError{Op: "mkdir", Path: "/" + full, Err: err}
		}
	}
	c.folders = append(c.folders, f)
	b, err := openDir(int(to.Fd()), name)
	if err != nil {
		return &os.PathError{Op: "open", Path: "/" + full, Err: err}
	}
	out := share(b)
	defer out.drop()
	return c.content(ctx, in, out, full, there)
}

// work copies until there is nothing left to copy.
func (c *copier) work(ctx context.Context) {
	buf := make([]byte, bufferSize)
	for j := range c.jobs {
		if ctx.Err() == nil {
			if err := c.one(ctx, &j, buf); err != nil {
				var at *os.PathError
				if !errors.As(err, &at) {
					err = &os.PathError{Op: "copy", Path: "/" + j.path, Err: err}
				}
				c.stop(err)
			}
		}
		j.drop()
	}
}

// finish makes what waits for files: their further names, and the attributes
// of folders.
func (c *copier) finish() error {
	out := int(c.out.Fd())
	for _, l := range c.links {
		if err := unix.Linkat(out, l[0], out, l[1], 0); err != nil {
			return &os.LinkError{Op: "link", Old: "/" + l[0], New: "/" + l[1], Err: err}
		}
	}
	for _, f := range slices.Backward(c.folders) {
		if err := c.dressFolder(out, &f); err != nil {
			return &os.PathError{Op: "set the attributes of", Path: "/" + f.path, Err: err}
		}
	}
	return nil
}

func (c *copier) dressFolder(out int, f *folder) error {
	if err := c.own(out, f.path, &f.stat); err != nil {
		return err
	}
	// Nobody else writes here: no link can have taken its place.
	if err := unix.Fchmodat(out, f.path, c.permissions(&f.stat), 0); err != nil {
		return err
	}
	if len(f.attrs) > 0 {
		name := fmt.Sprintf("/proc/self/fd/%d/%s", out, f.path)
		give(f.attrs, func(key string, value []byte) error { return unix.Lsetxattr(name, key, value, 0) })
	}
	return c.setTime(out, f.path, &f.stat)
}

// permissions are the mode that a file of this description gets.
func (c *copier) permissions(st *unix.Stat_t) uint32 {
	if c.mode != nil {
		return uint32(*c.mode) & 0o7777
	}
	return st.Mode & 0o7777
}

// own gives name, or the open file at where there is none, its owner.
func (c *copier) own(at int, name string, st *unix.Stat_t) error {
	uid, gid := int(st.Uid), int(st.Gid)
	if c.owner != nil {
		uid, gid = c.owner.UID, c.owner.GID
	}
	if uid == 0 && gid == 0 && !c.inherit {
		return nil // we are root, and so is what we make
	}
	return unix.Fchownat(at, name, uid, gid, unix.AT_SYMLINK_NOFOLLOW|emptyPath(name))
}

func (c *copier) setTime(at int, name string, st *unix.Stat_t) error {
	times := []unix.Timespec{st.Atim, st.Mtim}
	if c.time != nil {
		t, err := unix.TimeToTimespec(*c.time)
		if err != nil {
			return err
		}
		times = []unix.Timespec{t, t}
	}
	return unix.UtimesNanoAt(at, name, times, unix.AT_SYMLINK_NOFOLLOW|emptyPath(name))
}

func emptyPath(name string) int {
	if name == "" {
		return unix.AT_EMPTY_PATH
	}
	return 0
}
