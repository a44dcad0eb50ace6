package folder

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/moby/buildkit/cache/contenthash"
	"github.com/tonistiigi/fsutil"
	fstypes "github.com/tonistiigi/fsutil/types"
	"golang.org/x/sys/unix"
)

// state is a snapshot as a test compares it: what is in it, and the digests that
// cache keys are made of.
type state struct {
	files   map[string]string
	digests map[string]string
}

func (s state) String() string {
	var b strings.Builder
	for _, m := range []map[string]string{s.files, s.digests} {
		for _, k := range slices.Sorted(maps.Keys(m)) {
			fmt.Fprintf(&b, "%s: %s\n", k, m[k])
		}
	}
	return b.String()
}

// digests keeps what is told of changes, as the content hashes do.
type digests struct {
	mu sync.Mutex
	m  map[string]string
}

func (d *digests) change(kind fsutil.ChangeKind, p string, fi os.FileInfo, err error) error {
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	p = strings.TrimPrefix(p, "/")
	if kind == fsutil.ChangeKindDelete {
		maps.DeleteFunc(d.m, func(k, _ string) bool { return k == p || strings.HasPrefix(k, p+"/") })
		return nil
	}
	if !fi.IsDir() {
		maps.DeleteFunc(d.m, func(k, _ string) bool { return strings.HasPrefix(k, p+"/") })
	}
	st := fi.Sys().(*fstypes.Stat)
	d.m[p] = fi.(contenthash.Hashed).Digest().String()
	if st.Linkname != "" && fi.Mode()&fs.ModeSymlink == 0 {
		d.m[p] = "as " + st.Linkname
	}
	return nil
}

// stream is one end of BuildKit's transfer.
type stream struct {
	ctx     context.Context
	in, out chan *fstypes.Packet
}

func (s stream) Context() context.Context { return s.ctx }

func (s stream) SendMsg(m any) error {
	select {
	case s.out <- m.(*fstypes.Packet).CloneVT():
		return nil
	case <-s.ctx.Done():
		return s.ctx.Err()
	}
}

func (s stream) RecvMsg(m any) error {
	select {
	case p, ok := <-s.in:
		if !ok {
			return io.EOF
		}
		*m.(*fstypes.Packet) = fstypes.Packet{Type: p.Type, Stat: p.Stat, ID: p.ID, Data: p.Data}
		return nil
	case <-s.ctx.Done():
		return s.ctx.Err()
	}
}

// transfer is what BuildKit makes of a folder: the reference.
func transfer(t *testing.T, dir string, filter fsutil.FilterOpt) state {
	t.Helper()
	dest := t.TempDir()
	files, err := fsutil.NewFS(dir)
	must(t, err)
	files, err = fsutil.NewFilterFS(files, &fsutil.FilterOpt{Map: func(_ string, st *fstypes.Stat) fsutil.MapResult {
		st.Uid, st.Gid = 0, 0
		return fsutil.MapResultKeep
	}})
	must(t, err)
	files, err = fsutil.NewFilterFS(files, &filter)
	must(t, err)
	d := &digests{m: map[string]string{}}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	there, back := make(chan *fstypes.Packet, 16), make(chan *fstypes.Packet, 16)
	sent := make(chan error, 1)
	go func() {
		sent <- fsutil.Send(ctx, stream{ctx, back, there}, files, nil)
		close(there)
	}()
	must(t, fsutil.Receive(ctx, stream{ctx, there, back}, dest, fsutil.ReceiveOpt{NotifyHashed: d.change, ContentHasher: contenthash.NewFromStat}))
	must(t, <-sent)
	return state{listing(t, dest), d.m}
}

// snap is a snapshot that builds keep up to date.
type snap struct {
	t       *testing.T
	dest    string
	index   index
	digests digests
	read    int64 // bytes, in the last run
	begun   bool  // something changed in the last run
}

func newSnap(t *testing.T) *snap {
	return &snap{t: t, dest: t.TempDir(), index: index{}, digests: digests{m: map[string]string{}}}
}

func (s *snap) run(dir string, filter fsutil.FilterOpt) error {
	s.t.Helper()
	dest, err := openTree(s.dest)
	must(s.t, err)
	defer dest.close()
	src, err := openTree(dir)
	must(s.t, err)
	defer src.close()
	s.begun = false
	y := &syncer{dest: dest.root, index: s.index, trust: true, change: s.digests.change,
		begin: func() error { s.begun = true; return nil }, again: func() error { return nil }}
	err = y.run(s.t.Context(), src, &filter)
	s.read = y.moved.Load()
	if err == nil {
		s.index, err = decodeIndex(s.index.encode()) // as after the daemon's restart
	}
	return err
}

func (s *snap) update(dir string, filter fsutil.FilterOpt) state {
	s.t.Helper()
	must(s.t, s.run(dir, filter))
	return state{listing(s.t, s.dest), maps.Clone(s.digests.m)}
}

// listing describes all below dir: kind, mode, owner, time, names of the same
// file, attributes and content.
func listing(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	firsts := map[uint64]string{}
	must(t, filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		must(t, err)
		rel, _ := filepath.Rel(dir, p)
		if rel == "." {
			return nil
		}
		var st unix.Stat_t
		must(t, unix.Lstat(p, &st))
		line := fmt.Sprintf("%o %d:%d %d", st.Mode, st.Uid, st.Gid, st.Mtim.Nano())
		switch {
		case e.Type()&fs.ModeSymlink != 0:
			to, err := os.Readlink(p)
			must(t, err)
			line += " -> " + to
		case e.Type().IsRegular():
			text, err := os.ReadFile(p)
			must(t, err)
			line += fmt.Sprintf(" %q", text[:min(len(text), 40)])
			if first, ok := firsts[st.Ino]; ok {
				line += " is " + first
			} else if st.Nlink > 1 {
				firsts[st.Ino] = rel
			}
		case e.Type()&fs.ModeDevice != 0:
			line += fmt.Sprintf(" device %d", st.Rdev)
		}
		attrs, err := attributesOf(p)
		if err == nil && len(attrs) > 0 {
			line += fmt.Sprint(" ", attrs)
		}
		out[rel] = line
		return nil
	}))
	return out
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func put(t *testing.T, dir, name, text string) {
	t.Helper()
	p := filepath.Join(dir, name)
	must(t, os.MkdirAll(filepath.Dir(p), 0o755))
	must(t, os.WriteFile(p, []byte(text), 0o644))
}

func same(t *testing.T, what string, got, want state) {
	t.Helper()
	if got.String() != want.String() {
		t.Errorf("%s:\ngot\n%s\nwant\n%s", what, got, want)
	}
}

func attributesOf(p string) (map[string][]byte, error) {
	d, err := os.Open(filepath.Dir(p))
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return attributes(int(d.Fd()), filepath.Base(p))
}

// many is a folder with everything that a file system knows.
func many(t *testing.T, dir string) {
	for _, name := range []string{"a", "b/c", "b/d/e", "b-/x", "b.txt", "node_modules/m/index.js", "keep/.gitkeep", "z/\xff\xfe", "z/new\nline", "é/ü"} {
		put(t, dir, name, "text of "+name)
	}
	put(t, dir, "empty", "")
	put(t, dir, "large", strings.Repeat("0123456789abcdef", 20_000))
	must(t, os.Mkdir(filepath.Join(dir, "hollow"), 0o700))
	must(t, os.Symlink("b/c", filepath.Join(dir, "link")))
	must(t, os.Symlink("/etc/passwd", filepath.Join(dir, "outward")))
	must(t, os.Symlink("b", filepath.Join(dir, "tofolder")))
	must(t, os.Symlink("loop", filepath.Join(dir, "loop")))
	must(t, os.Link(filepath.Join(dir, "a"), filepath.Join(dir, "b/hard")))
	must(t, os.Link(filepath.Join(dir, "a"), filepath.Join(dir, "z/hard")))
	must(t, unix.Mkfifo(filepath.Join(dir, "fifo"), 0o640))
	must(t, unix.Mknod(filepath.Join(dir, "null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
	must(t, unix.Mknod(filepath.Join(dir, "socket"), unix.S_IFSOCK|0o755, 0))
	must(t, os.Chmod(filepath.Join(dir, "b.txt"), 0o751|fs.ModeSetuid))
	must(t, os.Chmod(filepath.Join(dir, "keep"), 0o777|fs.ModeSticky))
	must(t, os.Chmod(filepath.Join(dir, "b/d/e"), 0))
	must(t, os.Chown(filepath.Join(dir, "b/c"), 1234, 567))
	must(t, unix.Setxattr(filepath.Join(dir, "b/c"), "user.note", []byte("v"), 0))
	must(t, unix.Setxattr(filepath.Join(dir, "keep"), "user.note", []byte("folder"), 0))
	old := time.Date(2001, 2, 3, 4, 5, 6, 789, time.UTC)
	must(t, os.Chtimes(filepath.Join(dir, "b/d/e"), old, old))
	must(t, os.Chtimes(filepath.Join(dir, "b"), old, old))
}

var filters = map[string]fsutil.FilterOpt{
	"all":                    {},
	"exclude":                {ExcludePatterns: []string{"node_modules", "**/*.txt", "z"}},
	"exclude all but":        {ExcludePatterns: []string{"*", "!b/d", "!keep"}},
	"exclude with exception": {ExcludePatterns: []string{"b/*", "!b/d/**"}},
	"include":                {IncludePatterns: []string{"b/d/*", "large"}},
	"include by pattern":     {IncludePatterns: []string{"**/e", "*.txt"}},
	"the first name is out":  {ExcludePatterns: []string{"a"}},
	"follow a link":          {FollowPaths: []string{"link", "missing"}},
	"follow through a link":  {FollowPaths: []string{"tofolder/d"}},
	"follow a pattern":       {FollowPaths: []string{"b*"}},
	"follow outward":         {FollowPaths: []string{"outward", "loop", "../../etc/passwd"}},
	"follow a file's inside": {FollowPaths: []string{"a/b/c"}},
	"both":                   {IncludePatterns: []string{"b", "z"}, ExcludePatterns: []string{"b/c"}},
}
