package content

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/moby/buildkit/util/overlay"
	"golang.org/x/sys/unix"

	"lus/test/need"
)

// A layer's tar has the bytes that BuildKit and containerd write: images that
// were built elsewhere are the same images here.
func TestTarIsBuildKits(t *testing.T) {
	need.Root(t)
	for name, dirs := range map[string][]func(*folder){
		"the first layer":  {full},
		"a new folder":     {full, base},
		"nothing":          {func(*folder) {}, base},
		"three layers":     {full, func(f *folder) { f.file("new/other", "o") }, base},
		"over itself":      {full, full},
		"removed":          {func(f *folder) { f.gone("dir/a"); f.gone("never"); f.gone("new/never") }, base},
		"changed":          {func(f *folder) { f.file("dir/a", "changed"); f.file("dir/sub/x", "y") }, base},
		"a folder's mode":  {func(f *folder) { f.dir("dir/sub"); f.chmod("dir/sub", 0o711) }, base},
		"a file's place":   {func(f *folder) { f.file("dir/a/b/c", "c") }, base},
		"a folder's place": {func(f *folder) { f.file("dir", "file") }, base},
		"opaque": {func(f *folder) {
			f.file("dir/new", "n")
			f.file("dir/sub/deep/er", "d")
			f.opaque("dir")
		}, base},
		"opaque and new": {func(f *folder) { f.file("fresh/new", "n"); f.gone("fresh/old"); f.opaque("fresh") }, base},
		"links that stayed": {func(f *folder) {
			f.file("dir/sub/z", "linked")
			f.link("dir/sub/z", "dir/sub/y")
			f.opaque("dir/sub")
			f.file("dir/zz", "zz")
		}, func(f *folder) { base(f); f.file("dir/sub/z", "linked") }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var made []string
			for _, fill := range dirs {
				f := &folder{t, filepath.Join(t.TempDir(), "fs")}
				f.do(os.Mkdir(f.at, 0o755))
				fill(f)
				f.settle()
				made = append(made, f.at)
			}
			var got, want bytes.Buffer
			if err := writeLayer(context.Background(), &got, made); err != nil {
				t.Fatal(err)
			}
			if err := overlay.WriteUpperdir(context.Background(), &want, made[0], readOnly(made[1:])); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got.Bytes(), want.Bytes()) {
				t.Fatalf("the tar has\n%s\nBuildKit's has\n%s", names(t, &got), names(t, &want))
			}
		})
	}
}

// What nobody wants any more, or cannot take, ends with an error.
func TestTarIsGivenUp(t *testing.T) {
	t.Parallel()
	need.Root(t)
	f := &folder{t, filepath.Join(t.TempDir(), "fs")}
	full(f)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := writeLayer(ctx, io.Discard, []string{f.at}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if err := writeLayer(context.Background(), noRoom{}, []string{f.at}); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("a full disk: %v", err)
	}
	if err := writeLayer(context.Background(), io.Discard, []string{f.at + "/none"}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
}

// Whatever kills it, a layer that is read leaves nothing outside the store.
func TestTarNeedsNoFolderElsewhere(t *testing.T) {
	need.Root(t)
	f := &folder{t, filepath.Join(t.TempDir(), "fs")}
	full(f)
	t.Setenv("TMPDIR", filepath.Join(f.at, "none"))
	if err := writeLayer(context.Background(), io.Discard, []string{f.at}); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(filepath.Dir(f.at)); err != nil || len(left) != 1 {
		t.Errorf("beside it there is %v, %v", left, err)
	}
}

// noRoom is a disk with no room.
type noRoom struct{}

func (noRoom) Write([]byte) (int, error) { return 0, unix.ENOSPC }

func names(t *testing.T, r io.Reader) string {
	var b strings.Builder
	for in := tar.NewReader(r); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return b.String()
		}
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%c %o %s %q %d %v %v\n", h.Typeflag, h.Mode, h.Name, h.Linkname, h.Size, h.ModTime.Unix(), h.PAXRecords)
	}
}

// folder is a layer's folder.
type folder struct {
	t  *testing.T
	at string
}

func (f *folder) do(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *folder) path(name string) string { return filepath.Join(f.at, name) }
func (f *folder) dir(name string)         { f.do(os.MkdirAll(f.path(name), 0o755)) }
func (f *folder) chmod(name string, m fs.FileMode) {
	f.do(os.Chmod(f.path(name), m))
}

func (f *folder) file(name, text string) {
	f.dir(filepath.Dir(name))
	f.do(os.WriteFile(f.path(name), []byte(text), 0o644))
}

func (f *folder) link(old, name string) { f.do(os.Link(f.path(old), f.path(name))) }

func (f *folder) gone(name string) {
	f.dir(filepath.Dir(name))
	f.do(unix.Mknod(f.path(name), unix.S_IFCHR, 0))
}

func (f *folder) opaque(name string) {
	f.do(unix.Setxattr(f.path(name), "trusted.overlay.opaque", []byte("y"), 0))
}

// settle gives all files times that do not depend on now.
func (f *folder) settle() {
	f.do(filepath.WalkDir(f.at, func(p string, _ fs.DirEntry, err error) error {
		ts := unix.NsecToTimespec(1234567890_123456789 + int64(len(p)-len(f.at))*1e9)
		return errors.Join(err, unix.UtimesNanoAt(unix.AT_FDCWD, p, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW))
	}))
}

func base(f *folder) {
	f.file("dir/a", "a")
	f.file("dir/sub/x", "x")
	f.file("etc/passwd", "root")
}

// full has every kind of file.
func full(f *folder) {
	f.file("dir/a", "a")
	f.file("new/small", "s")
	f.file("new/empty", "")
	f.file("new/just", strings.Repeat("j", inline))
	f.file("new/big", strings.Repeat("b", inline+1))
	f.file("new/sub/setuid", "u")
	f.chmod("new/sub/setuid", 0o755|fs.ModeSetuid)
	f.do(os.Chown(f.path("new/small"), 5, 6))
	f.do(os.Chown(f.path("new/sub"), 1<<22, 1<<22))
	f.chmod("new/sub", 0o770|fs.ModeSetgid|fs.ModeSticky)
	f.link("new/big", "a big link")
	f.link("new/big", "new/sub/again")
	f.link("new/small", "new/a link")
	f.do(os.Symlink("../dir/a", f.path("new/sym")))
	f.do(os.Symlink(strings.Repeat("long/", 40), f.path("new/long sym")))
	f.link("new/sym", "new/sym again")
	f.do(unix.Mkfifo(f.path("new/pipe"), 0o600))
	f.do(unix.Mknod(f.path("new/null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
	f.do(unix.Mknod(f.path("new/disk"), unix.S_IFBLK|0o660, int(unix.Mkdev(300, 70000))))
	f.gone("new/nobody's")
	f.gone("at the top")
	f.file(strings.Repeat("name/", 60)+"end", "e")
	f.file("new/ünïcödé", "8")
	f.file("new/"+strings.Repeat("n", 150), "n")
	f.do(unix.Setxattr(f.path("new/small"), "user.no", []byte("matter"), 0))
	capable := []byte{1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	f.do(unix.Setxattr(f.path("new/small"), capabilityAttribute, capable, 0))
	f.do(unix.Setxattr(f.path("new/empty"), capabilityAttribute, capable, 0))
	for i := range 200 {
		f.file(fmt.Sprintf("many/%d/%d", i%5, i), strings.Repeat("m", i*100))
	}
	// A socket's name must be short: it is made elsewhere.
	short, err := os.MkdirTemp("", "s")
	f.do(err)
	defer os.RemoveAll(short)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: short + "/s", Net: "unix"})
	f.do(err)
	l.SetUnlinkOnClose(false)
	f.do(l.Close())
	f.do(os.Rename(short+"/s", f.path("new/socket")))
}
