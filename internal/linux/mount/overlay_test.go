package mount_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"lus/internal/base/errs"
	"lus/internal/linux/mount"
	"lus/test/need"
)

// layers makes n layers with a file each, and one that all have.
func layers(t *testing.T, dir string, n int) mount.Overlay {
	t.Helper()
	var o mount.Overlay
	for i := range n {
		l := filepath.Join(dir, fmt.Sprint(i), "fs")
		if err := os.MkdirAll(l, 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(l, fmt.Sprintf("only-%d", i)), fmt.Sprint(i))
		write(t, filepath.Join(l, "common"), fmt.Sprint(i))
		o.Lower = append(o.Lower, l)
	}
	o.Upper, o.Work = filepath.Join(dir, "upper"), filepath.Join(dir, "work")
	for _, d := range []string{o.Upper, o.Work} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return o
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, root *os.File, name string) string {
	t.Helper()
	f, err := mount.Open(root, name, os.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	buf := make([]byte, 100)
	n, _ := f.Read(buf)
	return string(buf[:n])
}

func TestOverlaysBothWays(t *testing.T) {
	need.Root(t)
	deep := strings.Repeat("a-long-name-of-a-folder/", 12)
	for _, method := range []mount.Method{mount.Auto, mount.Layers, mount.Classic} {
		for _, c := range []struct {
			name   string
			prefix string
			layers int
		}{
			{"one layer", "", 1},
			{"many layers", "", 60},
			{"long paths", deep, 3},
			{"characters that separate", "a:b,c\\d", 3},
		} {
			dir := filepath.Join(t.TempDir(), c.prefix)
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			o := layers(t, dir, c.layers)
			o.Method, o.Volatile = method, true
			root, err := o.Mount()
			if err != nil {
				t.Errorf("method %d, %s: %v", method, c.name, err)
				continue
			}
			last := fmt.Sprint(c.layers - 1)
			if read(t, root, "common") != "0" || read(t, root, "only-"+last) != last {
				t.Errorf("method %d, %s: the wrong layer is on top", method, c.name)
			}
			f, err := mount.Open(root, "new", os.O_WRONLY|os.O_CREATE, 0o600)
			if err != nil {
				t.Errorf("method %d, %s: %v", method, c.name, err)
			} else {
				_ = f.Close()
			}
			if _, err := os.Stat(filepath.Join(o.Upper, "new")); err != nil {
				t.Errorf("method %d, %s: the upper folder lacks what was written: %v", method, c.name, err)
			}
			_ = root.Close()
			if again, err := o.Mount(); err != nil {
				t.Errorf("method %d, %s, a second time: %v", method, c.name, err)
			} else {
				_ = again.Close()
			}
		}
	}
}

func TestOverlaysWithoutAnUpperFolderAreReadOnly(t *testing.T) {
	need.Root(t)
	for _, n := range []int{1, 2} {
		o := layers(t, t.TempDir(), n)
		o.Upper, o.Work = "", ""
		root, err := o.Mount()
		if err != nil {
			t.Fatal(err)
		}
		if read(t, root, "common") != "0" {
			t.Error("the wrong layer is on top")
		}
		if f, err := mount.Open(root, "new", os.O_WRONLY|os.O_CREATE, 0o600); err == nil {
			_ = f.Close()
			t.Errorf("%d layers without an upper folder could be written to", n)
		}
		_ = root.Close()
	}
}

func TestNothingShowsInTheHostsMounts(t *testing.T) {
	need.Root(t)
	for _, method := range []mount.Method{mount.Layers, mount.Classic} {
		dir := t.TempDir()
		o := layers(t, dir, 2)
		o.Method = method
		root, err := o.Mount()
		if err != nil {
			t.Fatal(err)
		}
		table, err := os.ReadFile("/proc/self/mountinfo")
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(table), dir) {
			t.Errorf("method %d: the host's table has it", method)
		}
		_ = root.Close()
	}
}

func TestOverlaysThatAreRefused(t *testing.T) {
	need.Root(t)
	o := layers(t, t.TempDir(), 2)
	o.Lower = append(o.Lower, "/no/such/layer")
	if _, err := o.Mount(); err == nil || !strings.Contains(err.Error(), "/no/such/layer") {
		t.Errorf("a missing layer: %v", err)
	}
	if _, err := (mount.Overlay{}).Mount(); !errs.Is(err, errs.Invalid) {
		t.Errorf("no layers: %v", err)
	}
	o = layers(t, t.TempDir(), 900)
	o.Method = mount.Classic
	if _, err := o.Mount(); !errs.Is(err, errs.Unsupported) || !strings.Contains(err.Error(), "900") {
		t.Errorf("too many layers: %v", err)
	}
}

func TestTheKernelsReasonIsTold(t *testing.T) {
	need.Root(t)
	_, err := mount.New("tmpfs", 0, mount.Option{Key: "size", Value: "much"})
	if err == nil || !strings.Contains(err.Error(), "Bad value") {
		t.Errorf("got %v", err)
	}
	if _, err := mount.New("tmpfs", 0, mount.Option{Key: "source", Value: strings.Repeat("x", 300)}); !errs.Is(err, errs.Invalid) {
		t.Errorf("a long value: %v", err)
	}
}

func TestBindsSeeLaterMountsOnlyWhenAsked(t *testing.T) {
	need.Root(t)
	host := t.TempDir()
	if err := unix.Mount(host, host, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(host, unix.MNT_DETACH) })
	if err := unix.Mount("", host, "", unix.MS_SHARED, ""); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(host, "disk"), 0o755); err != nil {
		t.Fatal(err)
	}
	private, err := mount.Bind{Source: host, Recursive: true}.Mount()
	if err != nil {
		t.Fatal(err)
	}
	defer private.Close()
	if err := unix.Mount("tmpfs", filepath.Join(host, "disk"), "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(filepath.Join(host, "disk"), unix.MNT_DETACH) })
	write(t, filepath.Join(host, "disk", "mark"), "x")
	if _, err := mount.Open(private, "disk/mark", os.O_RDONLY, 0); err == nil {
		t.Error("a private bind received a mount")
	}
	fresh, err := mount.Bind{Source: host, Recursive: true}.Mount()
	if err != nil {
		t.Fatal(err)
	}
	defer fresh.Close()
	if read(t, fresh, "disk/mark") != "x" {
		t.Error("a new bind does not see what the host has mounted")
	}
}
