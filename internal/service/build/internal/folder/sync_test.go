package folder

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tonistiigi/fsutil"
	"golang.org/x/sys/unix"

	"lus/test/need"
)

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
