package executor

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"lus/test/need"
)

func newTestBundle(t *testing.T) *bundle {
	t.Helper()
	need.Root(t)
	b := &bundle{dir: filepath.Join(t.TempDir(), "step")}
	must(t, os.Mkdir(b.dir, 0o700))
	return b
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func TestBindPart(t *testing.T) {
	b := newTestBundle(t)
	dir := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(dir, "d/e"), 0o755))
	must(t, os.WriteFile(filepath.Join(dir, "d/e/f"), []byte("x"), 0o644))
	must(t, os.Symlink("/d", filepath.Join(dir, "inside")))
	for _, part := range []string{"d/e", "/d/e", "inside/e", "../../d/e"} {
		at, err := b.bindPart(dir, part)
		must(t, err)
		if !exists(filepath.Join(at, "f")) {
			t.Errorf("%s does not show its folder", part)
		}
	}
	at, err := b.bindPart(dir, "d/e/f")
	must(t, err)
	if text, _ := os.ReadFile(at); string(text) != "x" {
		t.Errorf("a single file shows %q", text)
	}
	if _, err := b.bindPart(dir, "nosuch"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a part that is not there: %v", err)
	}
	must(t, b.close())
	if exists(b.dir) {
		t.Error("the bundle is still there")
	}
}

// CVE-2024-23651: a step that shares a cache with another swaps a folder for a
// symlink to the host's files just while the other mounts that folder.
func TestAPartNeverLeadsToTheHost(t *testing.T) {
	host := t.TempDir()
	must(t, os.WriteFile(filepath.Join(host, "secret"), []byte("the host's"), 0o600))
	for name, target := range map[string]string{
		"absolute":  host,
		"climbing":  "../../../../../../../../.." + host,
		"proc root": "/proc/1/root" + host,
	} {
		t.Run(name, func(t *testing.T) {
			b := newTestBundle(t)
			cache := t.TempDir()
			must(t, os.Symlink(target, filepath.Join(cache, "sub")))
			at, err := b.bindPart(cache, "sub")
			if err == nil && exists(filepath.Join(at, "secret")) {
				t.Error("the host's files are mounted")
			}
			must(t, b.close())
		})
	}
	t.Run("race", func(t *testing.T) {
		b := newTestBundle(t)
		cache := t.TempDir()
		sub, link := filepath.Join(cache, "sub"), filepath.Join(cache, "link")
		must(t, os.Mkdir(sub, 0o755))
		must(t, os.Symlink(host, link))
		stop := make(chan struct{})
		var swapping sync.WaitGroup
		swapping.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					_ = unix.Renameat2(unix.AT_FDCWD, sub, unix.AT_FDCWD, link, unix.RENAME_EXCHANGE)
				}
			}
		})
		// On a busy machine the swapper may stand still with the link in
		// place: both must have been met before the test has shown anything.
		mounted, refused := 0, 0
		for end := time.Now().Add(time.Minute); (mounted < 100 || refused < 100) && time.Now().Before(end); {
			at, err := b.bindPart(cache, "sub")
			if err != nil {
				refused++
				continue
			}
			mounted++
			if exists(filepath.Join(at, "secret")) {
				t.Fatal("the host's files are mounted")
			}
		}
		close(stop)
		swapping.Wait()
		if mounted == 0 || refused == 0 {
			t.Errorf("mounted %d times, refused %d times: the test shows nothing", mounted, refused)
		}
		must(t, b.close())
	})
}

func TestUserLookupStaysInTheRoot(t *testing.T) {
	host := filepath.Join(t.TempDir(), "passwd")
	must(t, os.WriteFile(host, []byte("evil:x:0:0::/:\n"), 0o644))
	root := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(root, "etc"), 0o755))
	passwd := filepath.Join(root, "etc/passwd")
	must(t, os.Symlink(host, passwd))
	if u, err := lookUpUser(root, "evil"); err == nil {
		t.Errorf("the host's passwd was read: %+v", u)
	}
	must(t, os.Remove(passwd))
	must(t, unix.Mkfifo(passwd, 0o644))
	if _, err := lookUpUser(root, "evil"); err == nil {
		t.Error("a fifo was taken for passwd")
	}
	must(t, os.Remove(passwd))
	must(t, os.WriteFile(passwd, []byte("app:x:7:8::/:\n"), 0o644))
	must(t, os.WriteFile(filepath.Join(root, "etc/group"), []byte("g:x:9:app\nh:x:10:\n"), 0o644))
	for name, want := range map[string][3]uint32{"app": {7, 8, 2}, "app:h": {7, 10, 1}, "7": {7, 8, 2}, "5:6": {5, 6, 1}, "": {0, 0, 1}} {
		u, err := lookUpUser(root, name)
		if err != nil || u.UID != want[0] || u.GID != want[1] || len(u.AdditionalGids) != int(want[2]) {
			t.Errorf("user %q is %+v (%v), want %v", name, u, err, want)
		}
	}
}

func TestWorkingDirectoryStaysInTheRoot(t *testing.T) {
	host, root := t.TempDir(), t.TempDir()
	must(t, os.Symlink(host, filepath.Join(root, "out")))
	must(t, os.Symlink("../../../../../../.."+host, filepath.Join(root, "up")))
	for _, cwd := range []string{"/out/made", "/up/made", "/../../made"} {
		if err := makeWorkingDir(root, cwd, specUser(0)); err != nil {
			t.Errorf("%s: %v", cwd, err)
		}
	}
	if exists(filepath.Join(host, "made")) {
		t.Error("a folder of the host was made")
	}
	if !exists(filepath.Join(root, "made")) {
		t.Error("no folder was made inside")
	}
	must(t, os.WriteFile(filepath.Join(root, "file"), nil, 0o644))
	if err := makeWorkingDir(root, "/file", specUser(0)); err == nil {
		t.Error("a file was taken for the working directory")
	}
}

func TestABusyMountIsNotEntered(t *testing.T) {
	b := newTestBundle(t)
	src := t.TempDir()
	must(t, os.WriteFile(filepath.Join(src, "keep"), nil, 0o644))
	at, err := b.bindPart(filepath.Dir(src), filepath.Base(src))
	must(t, err)
	busy, err := os.Open(filepath.Join(at, "keep"))
	must(t, err)
	defer busy.Close()
	must(t, b.close())
	if !exists(filepath.Join(src, "keep")) {
		t.Error("cleaning up removed what was mounted")
	}
}

func specUser(uid uint32) specs.User { return specs.User{UID: uid, GID: uid} }
