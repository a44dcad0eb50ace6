package folder

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io/fs"
	"maps"
	"slices"

	fstypes "github.com/tonistiigi/fsutil/types"
	"golang.org/x/sys/unix"
)

// record is what was known of a file when it was taken into the snapshot. As
// long as all of it holds, the file has not changed: the kernel sets ctime with
// every change of content, mode or attributes, and nobody can set it back.
type record struct {
	mode    uint32 // as BuildKit writes it
	size    int64
	mtime   int64 // ns
	ctime   int64 // ns
	dev     uint64
	ino     uint64
	rdev    uint64
	link    string // where a symbolic link leads; another name of the same file
	attrs   map[string][]byte
	unsure  bool   // it changed so late that a further change need not show
	visited uint32 // the last pass that came by; not kept
}

func recordOf(st *fstypes.Stat, raw *unix.Stat_t) record {
	return record{
		mode: st.Mode, size: raw.Size, mtime: raw.Mtim.Nano(), ctime: raw.Ctim.Nano(),
		dev: raw.Dev, ino: raw.Ino, rdev: raw.Rdev, link: st.Linkname, attrs: st.Xattrs,
	}
}

// isDir tells whether it is a folder's.
func (r *record) isDir() bool { return fs.FileMode(r.mode).IsDir() }

// holds reports whether the file is still as it was. Which of its names comes
// first is another question.
func (r *record) holds(raw *unix.Stat_t) bool {
	return !r.unsure && r.ino == raw.Ino && r.dev == raw.Dev && r.ctime == raw.Ctim.Nano() &&
		r.mtime == raw.Mtim.Nano() && r.size == raw.Size && r.rdev == raw.Rdev && r.mode == uint32(fileMode(raw.Mode))
}

// index is what the snapshot of a folder holds, by path.
type index map[string]*record

// known describes a file that has not changed, without reading it.
func (x index) known(path string, raw *unix.Stat_t) *fstypes.Stat {
	r := x[path]
	if r == nil || r.isDir() || !r.holds(raw) {
		return nil
	}
	st := &fstypes.Stat{Path: path, Mode: r.mode, Size: r.size, ModTime: r.mtime, Xattrs: r.attrs}
	switch kind := raw.Mode & unix.S_IFMT; kind {
	case unix.S_IFLNK:
		st.Linkname = r.link
	case unix.S_IFCHR, unix.S_IFBLK:
		st.Devmajor, st.Devminor = int64(unix.Major(r.rdev)), int64(unix.Minor(r.rdev))
	}
	return st
}

// indexFormat begins what encode writes; another one is not read.
const indexFormat = 1

// encode writes the index, in no order.
func (x index) encode() []byte {
	out := binary.AppendUvarint(nil, indexFormat)
	out = slices.Grow(out, 96*len(x))
	out = binary.AppendUvarint(out, uint64(len(x)))
	for p, r := range x {
		out = appendText(out, p)
		unsure := uint64(0)
		if r.unsure {
			unsure = 1
		}
		for _, n := range []uint64{uint64(r.mode), uint64(r.size), uint64(r.mtime), uint64(r.ctime), r.dev, r.ino, r.rdev, unsure} {
			out = binary.AppendUvarint(out, n)
		}
		out = appendText(out, r.link)
		out = binary.AppendUvarint(out, uint64(len(r.attrs)))
		for _, k := range slices.Sorted(maps.Keys(r.attrs)) {
			out = appendText(appendText(out, k), string(r.attrs[k]))
		}
	}
	return out
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

var errIndex = errors.New("the record of the folder's files is damaged")

// decodeIndex reads what encode wrote.
func decodeIndex(data []byte) (index, error) {
	d := decoder{r: bytes.NewReader(data)}
	if d.number() != indexFormat {
		return nil, errIndex
	}
	n := d.number()
	if d.bad || n > uint64(len(data)) {
		return nil, errIndex
	}
	x := make(index, n)
	for range n {
		p := d.text()
		r := &record{mode: uint32(d.number()), size: int64(d.number()), mtime: int64(d.number()), ctime: int64(d.number())}
		r.dev, r.ino, r.rdev, r.unsure = d.number(), d.number(), d.number(), d.number() != 0
		r.link = d.text()
		for range d.number() {
			if r.attrs == nil {
				r.attrs = map[string][]byte{}
			}
			k := d.text()
			r.attrs[k] = []byte(d.text())
			if d.bad {
				break
			}
		}
		if d.bad {
			return nil, errIndex
		}
		x[p] = r
	}
	return x, nil
}

type decoder struct {
	r   *bytes.Reader
	bad bool
}

func (d *decoder) number() uint64 {
	n, err := binary.ReadUvarint(d.r)
	if err != nil {
		d.bad = true
		return 0
	}
	return n
}

func (d *decoder) text() string {
	n := d.number()
	if n > uint64(d.r.Len()) {
		d.bad = true
		return ""
	}
	b := make([]byte, n)
	_, _ = d.r.Read(b) // there are as many
	return string(b)
}
