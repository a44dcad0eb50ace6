package folder

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
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

	"lus/test/need"
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

// A snapshot is what BuildKit's transfer would have made of the folder, and so
// are the digests that decide what is built again.
func TestSnapshotIsWhatATransferGives(t *testing.T) {
	t.Parallel()
	need.Root(t)
	dir := t.TempDir()
	many(t, dir)
	for name, filter := range filters {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			same(t, name, newSnap(t).update(dir, filter), transfer(t, dir, filter))
		})
	}
}

// changes are what happens to a folder between two builds.
var changes = map[string]func(t *testing.T, dir string){
	"nothing":          func(*testing.T, string) {},
	"content":          func(t *testing.T, dir string) { put(t, dir, "b/c", "TEXT OF b/c") },
	"grown":            func(t *testing.T, dir string) { put(t, dir, "b/d/e", "longer text than before") },
	"emptied":          func(t *testing.T, dir string) { put(t, dir, "large", "") },
	"new file":         func(t *testing.T, dir string) { put(t, dir, "b/d/new", "new") },
	"new folder":       func(t *testing.T, dir string) { put(t, dir, "q/r/s", "new") },
	"file removed":     func(t *testing.T, dir string) { must(t, os.Remove(filepath.Join(dir, "b/c"))) },
	"folder removed":   func(t *testing.T, dir string) { must(t, os.RemoveAll(filepath.Join(dir, "b"))) },
	"mode":             func(t *testing.T, dir string) { must(t, os.Chmod(filepath.Join(dir, "b/c"), 0o600)) },
	"mode of a folder": func(t *testing.T, dir string) { must(t, os.Chmod(filepath.Join(dir, "b"), 0o711)) },
	"time": func(t *testing.T, dir string) {
		must(t, os.Chtimes(filepath.Join(dir, "b/c"), time.Time{}, time.Unix(1, 2)))
	},
	"time of a folder": func(t *testing.T, dir string) {
		must(t, os.Chtimes(filepath.Join(dir, "b"), time.Time{}, time.Unix(1, 2)))
	},
	"attribute": func(t *testing.T, dir string) {
		must(t, unix.Setxattr(filepath.Join(dir, "b/c"), "user.note", []byte("w"), 0))
	},
	"attribute of a folder": func(t *testing.T, dir string) { must(t, unix.Removexattr(filepath.Join(dir, "keep"), "user.note")) },
	"owner":                 func(t *testing.T, dir string) { must(t, os.Chown(filepath.Join(dir, "b/c"), 1, 1)) },
	"link elsewhere": func(t *testing.T, dir string) {
		replace(t, dir, "link", func(p string) error { return os.Symlink("a", p) })
	},
	"file to folder": func(t *testing.T, dir string) { must(t, os.Remove(filepath.Join(dir, "a"))); put(t, dir, "a/b", "x") },
	"folder to file": func(t *testing.T, dir string) { must(t, os.RemoveAll(filepath.Join(dir, "b"))); put(t, dir, "b", "x") },
	"folder to link": func(t *testing.T, dir string) {
		replace(t, dir, "b", func(p string) error { return os.Symlink("z", p) })
	},
	"link to folder": func(t *testing.T, dir string) {
		replace(t, dir, "tofolder", func(p string) error { return os.Mkdir(p, 0o755) })
	},
	"file to link": func(t *testing.T, dir string) {
		replace(t, dir, "large", func(p string) error { return os.Symlink("a", p) })
	},
	"file to fifo": func(t *testing.T, dir string) {
		replace(t, dir, "large", func(p string) error { return unix.Mkfifo(p, 0o600) })
	},
	"first name removed":        func(t *testing.T, dir string) { must(t, os.Remove(filepath.Join(dir, "a"))) },
	"second name removed":       func(t *testing.T, dir string) { must(t, os.Remove(filepath.Join(dir, "b/hard"))) },
	"further name":              func(t *testing.T, dir string) { must(t, os.Link(filepath.Join(dir, "a"), filepath.Join(dir, "0"))) },
	"content of several names":  func(t *testing.T, dir string) { put(t, dir, "a", "TEXT OF a") },
	"folders change their name": func(t *testing.T, dir string) { must(t, os.Rename(filepath.Join(dir, "b"), filepath.Join(dir, "bb"))) },
	"files change places": func(t *testing.T, dir string) {
		must(t, unix.Renameat2(unix.AT_FDCWD, filepath.Join(dir, "b/c"), unix.AT_FDCWD, filepath.Join(dir, "b.txt"), unix.RENAME_EXCHANGE))
	},
	"content, with size and time as they were": func(t *testing.T, dir string) {
		p := filepath.Join(dir, "b/c")
		info, err := os.Stat(p)
		must(t, err)
		put(t, dir, "b/c", strings.ToUpper("text of b/c"))
		must(t, os.Chtimes(p, info.ModTime(), info.ModTime()))
	},
}

func replace(t *testing.T, dir, name string, by func(string) error) {
	t.Helper()
	p := filepath.Join(dir, name)
	must(t, os.RemoveAll(p))
	must(t, by(p))
}

// Whatever happened since the last build, the snapshot is what a first build
// would make.
func TestSnapshotFollowsTheFolder(t *testing.T) {
	t.Parallel()
	need.Root(t)
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			many(t, dir)
			s := newSnap(t)
			s.update(dir, fsutil.FilterOpt{})
			change(t, dir)
			same(t, name, s.update(dir, fsutil.FilterOpt{}), transfer(t, dir, fsutil.FilterOpt{}))
		})
	}
}

// Builds of one folder that leave out different files share its snapshot.
func TestSnapshotFollowsTheFilter(t *testing.T) {
	t.Parallel()
	need.Root(t)
	dir := t.TempDir()
	many(t, dir)
	s := newSnap(t)
	for range 2 {
		for name, filter := range filters {
			same(t, name, s.update(dir, filter), transfer(t, dir, filter))
		}
	}
}

// settle waits until a change would get another time than all files have.
func settle(t *testing.T, dir string) {
	t.Helper()
	probe := filepath.Join(dir, ".settle")
	for {
		before := now(unix.AT_FDCWD)
		must(t, os.WriteFile(probe, nil, 0o600))
		var st unix.Stat_t
		must(t, unix.Stat(probe, &st))
		must(t, os.Remove(probe))
		d, err := openTree(dir)
		must(t, err)
		late := now(d.root.fd) > st.Ctim.Nano()
		d.close()
		if late && before >= 0 {
			return
		}
	}
}

func TestUnchangedFilesAreNotRead(t *testing.T) {
	t.Parallel()
	need.Root(t)
	dir := t.TempDir()
	many(t, dir)
	settle(t, dir)
	s := newSnap(t)
	s.update(dir, fsutil.FilterOpt{})
	if s.read == 0 {
		t.Error("the first time nothing was read")
	}
	s.update(dir, fsutil.FilterOpt{})
	if s.read != 0 || s.begun {
		t.Errorf("%d bytes were read though nothing had changed (written: %v)", s.read, s.begun)
	}
	put(t, dir, "b/c", "12345")
	s.update(dir, fsutil.FilterOpt{})
	if s.read != 5 {
		t.Errorf("%d bytes were read, 5 had changed", s.read)
	}
}

// What is left out is not even looked into: a folder that cannot be read does
// no harm there, and is told of elsewhere.
func TestIgnoredFoldersAreNotWalked(t *testing.T) {
	t.Parallel()
	need.Root(t)
	dir := t.TempDir()
	put(t, dir, "a", "A")
	// A long way down: whoever walks there runs into the bound of a path.
	deep := filepath.Join(dir, "ignored")
	must(t, os.Mkdir(deep, 0o755))
	at, err := unix.Open(deep, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	must(t, err)
	name := strings.Repeat("n", 250)
	for range 20 {
		must(t, unix.Mkdirat(at, name, 0o755))
		next, err := unix.Openat(at, name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
		must(t, err)
		unix.Close(at)
		at = next
	}
	unix.Close(at)
	s := newSnap(t)
	if got := s.update(dir, fsutil.FilterOpt{ExcludePatterns: []string{"ignored"}}); len(got.files) != 1 {
		t.Errorf("the snapshot holds %v", got.files)
	}
	if err := newSnap(t).run(dir, fsutil.FilterOpt{}); !errors.Is(err, unix.ENAMETOOLONG) {
		t.Errorf("a path without end: %v", err)
	}
}

// A build goes on whatever is done to the folder meanwhile, and what it took is
// what it hashed; nothing of the host gets in.
func TestFolderChangesWhileItIsRead(t *testing.T) {
	t.Parallel()
	need.Root(t)
	dir := t.TempDir()
	secret := filepath.Join(t.TempDir(), "secret")
	must(t, os.WriteFile(secret, []byte("SECRET"), 0o600))
	must(t, os.Mkdir(filepath.Join(filepath.Dir(secret), "c"), 0o755))
	for i := range 30 {
		put(t, dir, fmt.Sprintf("f%d/c", i), strings.Repeat("x", 10_000))
	}
	stop := make(chan struct{})
	var busy sync.WaitGroup
	busy.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			p := filepath.Join(dir, fmt.Sprintf("f%d", i%30))
			switch i % 5 {
			case 0:
				_ = os.WriteFile(p+"/c", bytes.Repeat([]byte{byte(i)}, i%20_000), 0o644)
			case 1:
				_ = os.Rename(p+"/c", p+"/d")
				_ = os.Symlink(secret, p+"/c")
			case 2:
				_ = os.Remove(p + "/c")
				_ = os.Rename(p+"/d", p+"/c")
			case 3:
				_ = os.Rename(p, p+"-")
				_ = os.Symlink(filepath.Dir(secret), p)
			case 4:
				_ = os.Remove(p)
				_ = os.Rename(p+"-", p)
			}
		}
	})
	s := newSnap(t)
	for range 20 {
		if err := s.run(dir, fsutil.FilterOpt{}); err != nil && !strings.Contains(err.Error(), "changes while it is read") {
			t.Errorf("a build of a folder in motion: %v", err)
		}
		out, err := exec.Command("grep", "-rl", "SECRET", s.dest).Output()
		if len(out) > 0 || err == nil {
			t.Fatalf("a file of the host is in the snapshot: %s", out)
		}
	}
	close(stop)
	busy.Wait()
	same(t, "once it rests", s.update(dir, fsutil.FilterOpt{}), transfer(t, dir, fsutil.FilterOpt{}))
}

// What goes from a folder, or is left out of the next build, leaves nothing open.
func TestWhatGoesLeavesNothingOpen(t *testing.T) {
	t.Parallel()
	need.Root(t)
	dir := t.TempDir()
	many(t, dir)
	s := newSnap(t)
	s.update(dir, fsutil.FilterOpt{})
	s.update(dir, fsutil.FilterOpt{IncludePatterns: []string{"a"}})
	list, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	for _, e := range list {
		if to, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && (to == s.dest || strings.HasPrefix(to, s.dest+"/")) {
			t.Errorf("descriptor %s is still %s", e.Name(), to)
		}
	}
}

// Where a file system counts whole seconds, a change is seen that keeps the size
// and comes in the second of the one before.
func TestChangesWithinOneSecondAreSeen(t *testing.T) {
	t.Parallel()
	dir, s := wholeSeconds(t), newSnap(t)
	name := filepath.Join(dir, "f")
	for end := time.Now().Add(time.Minute); ; {
		put(t, dir, "f", "one")
		s.update(dir, fsutil.FilterOpt{})
		first := changed(t, name)
		put(t, dir, "f", "two")
		if changed(t, name) == first {
			break
		}
		if time.Now().After(end) {
			t.Fatal("no two changes came within one second")
		}
	}
	s.update(dir, fsutil.FilterOpt{})
	if text, err := os.ReadFile(filepath.Join(s.dest, "f")); string(text) != "two" {
		t.Errorf("the snapshot has %q (%v)", text, err)
	}
}

func changed(t *testing.T, name string) int64 {
	t.Helper()
	var st unix.Stat_t
	must(t, unix.Stat(name, &st))
	return st.Ctim.Nano()
}

// wholeSeconds is a folder on a file system that counts whole seconds.
func wholeSeconds(t *testing.T) string {
	t.Helper()
	need.Root(t)
	disk, dir := filepath.Join(t.TempDir(), "disk"), t.TempDir()
	f, err := os.Create(disk)
	must(t, err)
	must(t, f.Truncate(8<<20))
	must(t, f.Close())
	if out, err := exec.Command(need.Program(t, "mke2fs", "e2fsprogs"), "-q", "-F", "-t", "ext2", "-I", "128", disk).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if out, err := exec.Command("mount", "-o", "loop", disk, dir).CombinedOutput(); err != nil {
		need.Unmet(t, "a file system in a file: %v: %s", err, out)
	}
	t.Cleanup(func() { must(t, unix.Unmount(dir, 0)) })
	return dir
}

func TestDamagedIndexIsNotBelieved(t *testing.T) {
	t.Parallel()
	x := index{"a": {mode: 0o644, size: 1, attrs: map[string][]byte{"user.a": []byte("b")}}, "b": {mode: uint32(fs.ModeSymlink), link: "a"}}
	data := x.encode()
	for n := range len(data) {
		if _, err := decodeIndex(data[:n]); err == nil {
			t.Errorf("the first %d of %d bytes are taken for an index", n, len(data))
		}
	}
}

// Two builds of a folder may read it at once, each into a snapshot of its own.
func TestTwoAtOnce(t *testing.T) {
	t.Parallel()
	need.Root(t)
	dir := t.TempDir()
	many(t, dir)
	want := transfer(t, dir, fsutil.FilterOpt{})
	for i := range 4 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			same(t, "the snapshot", newSnap(t).update(dir, fsutil.FilterOpt{}), want)
		})
	}
}
