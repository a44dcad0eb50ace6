package content

import (
	"archive/tar"
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/containerd/containerd/v2/pkg/archive/tarheader"
	"github.com/containerd/continuity/fs"
	"golang.org/x/sys/unix"
)

// writeLayer writes the layer of the topmost of these folders as a tar, byte for
// byte as BuildKit and containerd do.
func writeLayer(ctx context.Context, w io.Writer, dirs []string) error {
	out := bufio.NewWriterSize(w, tarBuffer)
	t := &tarWriter{
		tar: tar.NewWriter(out), ctx: ctx,
		first: map[uint64]string{}, waiting: map[uint64][]string{}, folders: map[string]struct{}{},
	}
	if err := packLayer(ctx, dirs, t.write); err != nil {
		return fmt.Errorf("pack a layer: %w", err)
	}
	if err := t.tar.Close(); err != nil {
		return err
	}
	return out.Flush()
}

const tarBuffer = 64 << 10

// tarWriter writes the changes of a layer in order.
type tarWriter struct {
	tar *tar.Writer
	ctx context.Context
	buf []byte
	// first are the names under which files of several names were written, by
	// inode; waiting those of files that did not change, in case one of their
	// names did.
	first   map[uint64]string
	waiting map[uint64][]string
	folders map[string]struct{} // written, without the slash at the end
}

func (t *tarWriter) write(p *packer, c *change) error {
	if err := t.ctx.Err(); err != nil {
		return err
	}
	if c.kind == fs.ChangeKindDelete {
		return t.whiteout(p, c.path)
	}
	h, err := header(c)
	if err != nil {
		return err
	}
	var others []string // names that came before, and are links to this one
	if inode, several := fs.GetLinkInfo(c.info); several {
		if first, ok := t.first[inode]; ok {
			h.Typeflag, h.Linkname, h.Size = tar.TypeLink, first, 0
		} else if c.kind == fs.ChangeKindUnmodified {
			t.waiting[inode] = append(t.waiting[inode], h.Name)
			return nil
		} else {
			t.first[inode] = h.Name
			others = t.waiting[inode]
			delete(t.waiting, inode)
		}
	} else if c.kind == fs.ChangeKindUnmodified {
		return nil
	}
	if c.capability != "" {
		h.PAXRecords = map[string]string{"SCHILY.xattr." + capabilityAttribute: c.capability}
	}
	if err := t.begin(p, h); err != nil {
		return err
	}
	if h.Typeflag == tar.TypeReg && h.Size > 0 {
		if err := t.content(p, c); err != nil {
			return fmt.Errorf("%s: %w", c.path, err)
		}
	}
	for _, name := range others {
		h.Linkname, h.Name, h.Typeflag, h.Size = c.path[1:], name, tar.TypeLink, 0
		if err := t.begin(p, h); err != nil {
			return err
		}
	}
	return nil
}

// header describes a file. Times are whole seconds, for that is what tars held
// before there were others.
func header(c *change) (*tar.Header, error) {
	h, err := tarheader.FileInfoHeaderNoLookups(c.info, c.link)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.path, err)
	}
	h.Format = tar.FormatPAX
	h.ModTime = h.ModTime.Truncate(time.Second)
	h.AccessTime, h.ChangeTime = time.Time{}, time.Time{}
	h.Name = strings.TrimPrefix(c.path, "/")
	if c.info.IsDir() {
		h.Name += "/"
	}
	if st, ok := c.info.Sys().(*syscall.Stat_t); ok && c.info.Mode()&os.ModeDevice != 0 {
		h.Devmajor, h.Devminor = int64(unix.Major(st.Rdev)), int64(unix.Minor(st.Rdev))
	}
	return h, nil
}

// whiteout tells that a name of the layers below is gone.
func (t *tarWriter) whiteout(p *packer, name string) error {
	dir, base := path.Split(name)
	epoch := time.Unix(0, 0).UTC()
	return t.begin(p, &tar.Header{
		Typeflag: tar.TypeReg, Name: path.Join(dir, ".wh."+base)[1:],
		ModTime: epoch, AccessTime: epoch, ChangeTime: epoch,
	})
}

// begin writes a header, and before it the folders on the way to it, where they
// did not change themselves.
func (t *tarWriter) begin(p *packer, h *tar.Header) error {
	name := strings.TrimRight(h.Name, "/")
	if parent := path.Dir(name); parent != "." {
		if _, ok := t.folders[parent]; !ok {
			t.folders[parent] = struct{}{}
			info, err := os.Lstat(filepath.Join(p.dir, parent))
			if err != nil {
				return err
			}
			c := newChange(fs.ChangeKindModify, "/"+parent, info)
			if err := p.prepare(c); err != nil {
				return err
			}
			if err := t.write(p, c); err != nil {
				return err
			}
		}
	}
	if h.Typeflag == tar.TypeDir {
		t.folders[name] = struct{}{}
	}
	return t.tar.WriteHeader(h)
}

// content writes what is in a file.
func (t *tarWriter) content(p *packer, c *change) error {
	if c.read {
		_, err := t.tar.Write(c.data)
		return err
	}
	f, err := os.OpenFile(filepath.Join(p.dir, c.path), os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if t.buf == nil {
		t.buf = make([]byte, 256<<10)
	}
	left := c.info.Size()
	for left > 0 {
		if err := t.ctx.Err(); err != nil {
			return err
		}
		n, err := f.Read(t.buf[:min(int64(len(t.buf)), left)])
		if _, werr := t.tar.Write(t.buf[:n]); werr != nil {
			return werr
		}
		left -= int64(n)
		if err != nil && left > 0 {
			return err
		}
	}
	return nil
}
