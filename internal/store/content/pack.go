package content

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/continuity/fs"
	"github.com/moby/buildkit/util/overlay"
	"golang.org/x/sys/unix"
)

// packer goes through a layer's folder and hands what it changes, in order, to
// one who writes it (tarWriter), while others read the files ahead of him.
type packer struct {
	dir   string // the folder
	dev   uint64 // its file system
	order chan *change
	jobs  chan *change
	bufs  sync.Pool
}

// change is one entry of a layer.
type change struct {
	kind fs.ChangeKind
	path string      // absolute, in the layer
	mode os.FileMode // its kind at least
	info os.FileInfo // where nil, ready tells it
	// What reading gave; not before ready is closed.
	ready      chan struct{}
	err        error
	nothing    bool // it is a note of the overlay to itself
	link       string
	capability string
	data       []byte
	read       bool // data is all there is
	buf        *[inline]byte
}

const (
	// inline is the size of files up to which they are read ahead.
	inline = 64 << 10
	// aheadOf is how many changes are read ahead.
	aheadOf = 32
)

// packLayer goes through a layer's folder over those below it, topmost first.
// Each change is handed to write.
func packLayer(ctx context.Context, dirs []string, write func(*packer, *change) error) error {
	var st unix.Stat_t
	if err := unix.Stat(dirs[0], &st); err != nil {
		return &os.PathError{Op: "stat", Path: dirs[0], Err: err}
	}
	p := &packer{dir: dirs[0], dev: st.Dev, order: make(chan *change, aheadOf), jobs: make(chan *change, aheadOf)}
	p.bufs.New = func() any { return new([inline]byte) }
	ctx, stop := context.WithCancel(ctx)
	var walked error
	var others sync.WaitGroup
	others.Go(func() {
		defer close(p.order)
		defer close(p.jobs)
		walked = p.walk(ctx, dirs)
	})
	for range max(2, runtime.GOMAXPROCS(0)) {
		others.Go(func() {
			for c := range p.jobs {
				if c.err = ctx.Err(); c.err == nil {
					c.err = p.prepare(c)
				}
				close(c.ready)
			}
		})
	}
	err := p.drain(write)
	stop()
	others.Wait()
	if err != nil {
		return err
	}
	return walked
}

func (p *packer) drain(write func(*packer, *change) error) error {
	for c := range p.order {
		<-c.ready
		if c.err != nil {
			return c.err
		}
		if c.nothing {
			continue
		}
		if err := write(p, c); err != nil {
			return err
		}
		if c.buf != nil {
			p.bufs.Put(c.buf)
		}
	}
	return nil
}

// walk finds the changes as BuildKit does: it compares with what is below, and
// knows what overlayfs means by its whiteouts.
func (p *packer) walk(ctx context.Context, dirs []string) error {
	return mount.WithTempMount(ctx, readOnly(dirs[1:]), func(below string) error {
		return withView(ctx, p.dir, func(view string) error {
			return overlay.Changes(ctx, func(k fs.ChangeKind, name string, f os.FileInfo, err error) error {
				if err != nil {
					return err
				}
				if err := p.add(ctx, newChange(k, name, f)); err != nil {
					return err
				}
				// All below a folder that is new is new, and needs no comparison.
				// Within one that hides what is below it BuildKit walks the view.
				if k == fs.ChangeKindAdd && f.IsDir() && device(f) == p.dev {
					if err := p.fresh(ctx, name); err != nil {
						return err
					}
					return filepath.SkipDir
				}
				return nil
			}, p.dir, view, below)
		})
	})
}

func newChange(k fs.ChangeKind, name string, f os.FileInfo) *change {
	c := &change{kind: k, path: name, info: f}
	if f != nil {
		c.mode = f.Mode()
	}
	return c
}

func device(f os.FileInfo) uint64 {
	if st, ok := f.Sys().(*syscall.Stat_t); ok {
		return st.Dev
	}
	return 0
}

// withView shows a layer's folder without its whiteouts. What it needs for that
// lies in the snapshot's own folder, and goes with it at the latest.
func withView(ctx context.Context, dir string, f func(view string) error) error {
	empty, err := os.MkdirTemp(filepath.Dir(dir), "view")
	if err != nil {
		return err
	}
	err = mount.WithTempMount(ctx, readOnly([]string{dir, empty}), f)
	return errors.Join(err, os.Remove(empty))
}

// fresh goes through a folder that is not below.
func (p *packer) fresh(ctx context.Context, name string) error {
	full := filepath.Join(p.dir, name)
	if n, err := unix.Lgetxattr(full, "trusted.overlay.redirect", nil); n > 0 || err != nil && !errors.Is(err, unix.ENODATA) && !errors.Is(err, unix.ENOTSUP) {
		return errors.Join(errors.New("a folder of the layer is written down as another's: the layer cannot be packed"), err)
	}
	d, err := os.Open(full)
	if err != nil {
		return err
	}
	list, err := d.ReadDir(-1)
	d.Close()
	if err != nil {
		return err
	}
	slices.SortFunc(list, func(a, b os.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	for _, e := range list {
		at := filepath.Join(name, e.Name())
		if err := p.add(ctx, &change{kind: fs.ChangeKindAdd, path: at, mode: e.Type()}); err != nil {
			return err
		}
		if e.IsDir() {
			if err := p.fresh(ctx, at); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *packer) add(ctx context.Context, c *change) error {
	c.ready = make(chan struct{})
	for _, to := range []chan *change{p.jobs, p.order} {
		select {
		case to <- c:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// prepare reads what the writer needs of a change.
func (p *packer) prepare(c *change) error {
	if c.kind == fs.ChangeKindDelete {
		return nil
	}
	full := filepath.Join(p.dir, c.path)
	if c.mode.IsRegular() && (c.info == nil || c.info.Size() > 0) {
		return p.file(c, full)
	}
	var err error
	if c.info == nil {
		if c.info, err = os.Lstat(full); err != nil {
			return err
		}
		// Nothing is below: there is nothing to hide.
		c.nothing = isWhiteout(c.info)
	}
	switch {
	case c.mode&os.ModeSocket != 0:
		c.nothing = true // no tar holds one
	case c.mode&os.ModeSymlink != 0:
		if c.link, err = os.Readlink(full); err != nil {
			return err
		}
	}
	if c.nothing {
		return nil
	}
	c.capability, err = capability(func(b []byte) (int, error) { return unix.Lgetxattr(full, capabilityAttribute, b) })
	return err
}

func isWhiteout(f os.FileInfo) bool {
	st, ok := f.Sys().(*syscall.Stat_t)
	return ok && st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == 0
}

func (p *packer) file(c *change, full string) error {
	f, err := os.OpenFile(full, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if c.info == nil {
		if c.info, err = f.Stat(); err != nil {
			return err
		}
	}
	fd := int(f.Fd())
	c.capability, err = capability(func(b []byte) (int, error) { return unix.Fgetxattr(fd, capabilityAttribute, b) })
	if err != nil {
		return err
	}
	// Whether a file of many names is written is known when it is its turn.
	if _, several := fs.GetLinkInfo(c.info); several || c.info.Size() > inline {
		return nil
	}
	c.buf = p.bufs.Get().(*[inline]byte)
	c.data = c.buf[:c.info.Size()]
	for n := 0; n < len(c.data); {
		m, err := unix.Read(fd, c.data[n:])
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return &os.PathError{Op: "read", Path: full, Err: err}
		}
		if m == 0 {
			return &os.PathError{Op: "read", Path: full, Err: io.ErrUnexpectedEOF}
		}
		n += m
	}
	c.read = true
	return nil
}

// capabilityAttribute is the one extended attribute that a layer holds.
const capabilityAttribute = "security.capability"

func capability(get func([]byte) (int, error)) (string, error) {
	var b [128]byte
	n, err := get(b[:])
	if errors.Is(err, unix.ENODATA) || errors.Is(err, unix.ENOTSUP) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read the capabilities of a file of the layer: %w", err)
	}
	return string(b[:n]), nil
}
