package runtime_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"lus/internal/base/errs"
	"lus/internal/linux/runtime"
)

func mountOf(kind, source, target string, options ...string) func(*runtime.Container) {
	return func(c *runtime.Container) {
		c.Spec.Mounts = append(c.Spec.Mounts, specs.Mount{Type: kind, Source: source, Destination: target, Options: options})
	}
}

func file(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestBinds(t *testing.T) {
	b := newBench(t)
	dir := t.TempDir()
	one := file(t, filepath.Join(dir, "one"), "text")
	deep := filepath.Join(dir, "deep")
	if err := os.Mkdir(deep, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", deep, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(deep, unix.MNT_DETACH) })
	for _, c := range []struct {
		name  string
		mount func(*runtime.Container)
		line  string
		want  string
	}{
		{"a folder is made for it", mountOf("bind", dir, "/made/for/it", "rbind"), "cat /made/for/it/one", "text"},
		{"a single file", mountOf("bind", one, "/etc/new/one", "bind"), "cat /etc/new/one", "text"},
		{"over a file that exists", mountOf("bind", one, "/etc/passwd", "bind"), "cat /etc/passwd", "text"},
		{"what is written is the host's", mountOf("bind", dir, "/d", "rbind"), "echo 1 > /d/two; cat /d/two", "1"},
		{"read-only", mountOf("bind", dir, "/d", "rbind", "ro"), "touch /d/x 2>&1 | grep -c Read-only", "1"},
		{"read-only all the way down", mountOf("bind", dir, "/d", "rbind", "ro"), "touch /d/deep/x 2>&1 | grep -c Read-only", "1"},
		{"without what is mounted below", mountOf("bind", dir, "/d", "bind"), "mount | grep -c /d/deep; true", "0"},
		{"an option of its own", mountOf("bind", dir, "/d", "rbind", "noexec", "nosuid"), "mount | grep ' /d ' | grep -c nosuid,noexec", "1"},
		{"tmpfs", mountOf("tmpfs", "tmpfs", "/t", "size=64k", "mode=1770"), "stat -c %a /t; mount | grep -c 'tmpfs on /t .*size=64k'", "1770\n1"},
		{"a folder under another", func(c *runtime.Container) {
			mountOf("tmpfs", "tmpfs", "/t")(c)
			mountOf("bind", dir, "/t/sub/dir", "rbind")(c)
		}, "cat /t/sub/dir/one", "text"},
	} {
		if got := b.sh(c.line, c.mount); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestMountsThatAreRefused(t *testing.T) {
	b := newBench(t)
	for _, c := range []struct {
		mount func(*runtime.Container)
		kind  errs.Kind
		says  string
	}{
		{mountOf("bind", "/no/such/place", "/x", "rbind"), errs.Invalid, "bind source path does not exist: /no/such/place"},
		{mountOf("bind", t.TempDir(), "/", "rbind"), errs.Invalid, "can't be '/'"},
		{mountOf("bind", t.TempDir(), "/proc/self", "rbind"), errs.Invalid, "inside /proc"},
		{mountOf("bind", t.TempDir(), "/proc", "rbind"), errs.Invalid, "only a proc file system"},
		{mountOf("bind", "relative", "/x", "rbind"), errs.Invalid, "must be absolute"},
		{mountOf("tmpfs", "tmpfs", "/x", "sise=1"), errs.Internal, "sise"},
		{mountOf("nofs", "none", "/x"), errs.Unsupported, "nofs"},
		{mountOf("bind", t.TempDir(), "/etc/passwd", "rbind"), errs.Invalid, "directory onto a file"},
	} {
		err := b.start(func() *runtime.Container {
			k := b.container("true")
			c.mount(k)
			return k
		}())
		if !errs.Is(err, c.kind) || err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("error %v (kind %v), want kind %v and %q", err, errs.KindOf(err), c.kind, c.says)
		}
	}
}

// An image whose paths are links out of it must not reach the host: the mount
// lands inside, whatever the link says.
func TestLinksInTheImageStayInTheImage(t *testing.T) {
	b := newBench(t)
	host := t.TempDir()
	victim := filepath.Join(host, "victim")
	if err := os.Mkdir(victim, 0o755); err != nil {
		t.Fatal(err)
	}
	for link, to := range map[string]string{
		"absolute": victim, "climbing": "../../../../../../../.." + victim, "etcdir": "/etc",
	} {
		if err := os.Symlink(to, filepath.Join(b.lower, link)); err != nil {
			t.Fatal(err)
		}
	}
	source := t.TempDir()
	file(t, filepath.Join(source, "mark"), "inside")
	if got := b.sh("cat /etcdir/sub/mark /etc/sub/mark", mountOf("bind", source, "/etcdir/sub", "rbind")); got != "insideinside" {
		t.Errorf("a mount below a link: %q", got)
	}
	for _, link := range []string{"/absolute", "/climbing"} {
		c := b.container("sh", "-c", "true")
		mountOf("bind", source, link+"/below", "rbind")(c)
		_ = b.start(c) // whether it can be made inside or not
		if entries, err := os.ReadDir(victim); err != nil || len(entries) != 0 {
			t.Fatalf("%s: the host's folder was written to: %v %v", link, entries, err)
		}
	}
}

func TestAFakeProcIsRefused(t *testing.T) {
	b := newBench(t)
	if err := os.Remove(filepath.Join(b.lower, "proc")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/tmp", filepath.Join(b.lower, "proc")); err != nil {
		t.Fatal(err)
	}
	if err := b.start(b.container("true")); err == nil {
		t.Error("a /proc that is a link was mounted over")
	}
}

// The working directory must not be a way out by a descriptor left open.
func TestTheWorkingDirectoryStaysInside(t *testing.T) {
	b := newBench(t)
	for n := range 12 {
		c := b.container("cat", "../../../../../../../../etc/hostname")
		c.Spec.Process.Cwd = "/proc/self/fd/" + string(rune('0'+n%10))
		if n >= 10 {
			c.Spec.Process.Cwd = "/proc/thread-self/fd/" + string(rune('0'+n-10+4))
		}
		if err := b.start(c); err == nil {
			t.Errorf("working directory %s was entered", c.Spec.Process.Cwd)
		}
	}
	if err := os.Symlink("/proc/self/fd/8", filepath.Join(b.lower, "way-out")); err != nil {
		t.Fatal(err)
	}
	c := b.container("pwd")
	c.Spec.Process.Cwd = "/way-out"
	if err := b.start(c); err == nil {
		t.Error("a link to a descriptor was entered")
	}
}

func TestAWorkingDirectoryIsMade(t *testing.T) {
	b := newBench(t)
	if got := b.sh("pwd", func(c *runtime.Container) { c.Spec.Process.Cwd = "/srv/not/yet" }); got != "/srv/not/yet" {
		t.Errorf("pwd says %q", got)
	}
}

func TestAReadOnlyRoot(t *testing.T) {
	b := newBench(t)
	got := b.sh("touch /x 2>&1 | grep -c Read-only; touch /tmp/t /dev/shm/x && echo ok", func(c *runtime.Container) {
		c.Spec.Root.Readonly = true
		mountOf("tmpfs", "tmpfs", "/tmp")(c)
	})
	if got != "1\nok" {
		t.Errorf("got %q", got)
	}
}

func TestRootfsAsAFolder(t *testing.T) {
	b := newBench(t)
	c := b.container("sh", "-c", "echo x > /written")
	c.Rootfs = runtime.Rootfs{Path: b.lower}
	if out, code := b.run(c); code != 0 {
		t.Fatal(out)
	}
	if _, err := os.Stat(filepath.Join(b.lower, "written")); err != nil {
		t.Error(err)
	}
}
