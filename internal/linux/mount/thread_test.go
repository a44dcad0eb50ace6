package mount_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"lus/internal/linux/mount"
	"lus/test/need"
)

const alone = "LUS_TEST_ALONE"

// TestMain makes mounts with nothing but the first thread to run goroutines on,
// where a test asks for it.
func TestMain(m *testing.M) {
	if os.Getenv(alone) == "" {
		os.Exit(m.Run())
	}
	runtime.GOMAXPROCS(1)
	if err := stays(os.Getenv(alone)); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

// stays makes mounts in namespaces of their own, from layers and a folder below
// dir, until something of this process has moved there, or enough were made.
func stays(dir string) error {
	mine, err := os.Readlink("/proc/self/ns/mnt")
	if err != nil {
		return err
	}
	for range 50 {
		o := mount.Overlay{Lower: []string{filepath.Join(dir, "a"), filepath.Join(dir, "b")}, Method: mount.Classic}
		root, err := o.Mount()
		if err != nil {
			return err
		}
		a, err := mount.Assemble(root, []mount.Placed{{Bind: mount.Bind{Source: filepath.Join(dir, "b")}, Target: "/in"}})
		if err != nil {
			return err
		}
		a.Close()
		switch now, err := os.Readlink("/proc/self/ns/mnt"); {
		case err != nil:
			return err
		case now != mine:
			return fmt.Errorf("the process is in %s, and was in %s", now, mine)
		}
	}
	return nil
}

// Whoever looks at the daemon's root, mounts or namespace by /proc sees the
// host's, whatever was mounted.
func TestTheProcessStaysWhereItIs(t *testing.T) {
	need.Root(t)
	dir := t.TempDir()
	for _, name := range []string{"a/in", "b"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), alone+"="+dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
