// Package need says what a test needs of the machine, in one place: root, a
// busybox to make a root file system of. A test whose need is not met skips
// and says why; with LUS_TEST_STRICT set it fails instead, so that a run that
// is meant to be complete cannot pass by skipping.
package need

import (
	"archive/tar"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Unmet skips the test, or fails it where LUS_TEST_STRICT is set.
func Unmet(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("LUS_TEST_STRICT") != "" {
		t.Fatalf("needs "+format, args...)
	}
	t.Skipf("needs "+format, args...)
}

// Root skips a test that works with the kernel where it may not.
func Root(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		Unmet(t, "root: run it with sudo")
	}
}

// Program returns the path of a program of the host.
func Program(t testing.TB, name, debianPackage string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		Unmet(t, "%s: apt-get install %s", name, debianPackage)
	}
	return path
}

// Tools is the folder of what scripts/need test took apart rather than
// installed: the docker client, other firewalls.
func Tools(t testing.TB) string {
	t.Helper()
	cache := os.Getenv("LUS_CACHE")
	if cache == "" {
		base, err := os.UserCacheDir()
		if err != nil {
			Unmet(t, "a folder for caches: %v", err)
		}
		cache = filepath.Join(base, "lus")
	}
	return filepath.Join(cache, "tools")
}

// Buildx is the unmodified plugin by which the docker client builds.
func Buildx(t testing.TB) string { return made(t, "docker-buildx-v0.38.2", "scripts/need test") }

// Crane copies and changes images in registries; it is unmodified.
func Crane(t testing.TB) string { return made(t, "crane-v0.21.7", "scripts/need test") }

// Oras carries files of any type to registries and back; it is unmodified.
func Oras(t testing.TB) string { return made(t, "oras-v1.3.6", "scripts/need test") }

// made is a program built from its module, by a script that names its version too.
func made(t testing.TB, name, by string) string {
	t.Helper()
	path := filepath.Join(Tools(t), name)
	if _, err := os.Stat(path); err != nil {
		Unmet(t, "%s: %s makes it", name, by)
	}
	return path
}

// ComposePlugin is Docker's own compose, unmodified.
func ComposePlugin(t testing.TB) string {
	t.Helper()
	return made(t, "docker-compose-v5.6.0", "test/conformance/compose build") // which names it too
}

// BusyboxRootfs makes a root file system of a static busybox in a new folder:
// every applet a link in /bin, and the usual empty folders.
func BusyboxRootfs(t testing.TB) string {
	t.Helper()
	busybox := Program(t, "busybox", "busybox-static")
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{"bin", "dev", "etc", "home", "proc", "root", "sys", "tmp", "usr", "var"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Join(dir, "tmp"), 0o1777); err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(busybox)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "bin/busybox"), program, 0o755)
	write(t, filepath.Join(dir, "etc/passwd"), []byte("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"), 0o644)
	write(t, filepath.Join(dir, "etc/group"), []byte("root:x:0:\nnogroup:x:65534:\n"), 0o644)
	applets, err := exec.Command(busybox, "--list").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range strings.Fields(string(applets)) {
		if a == "busybox" {
			continue
		}
		if err := os.Symlink("busybox", filepath.Join(dir, "bin", a)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// BusyboxTar is the same root file system as a tar, for import and for builds.
func BusyboxTar(t testing.TB) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	if err := w.AddFS(os.DirFS(BusyboxRootfs(t))); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func write(t testing.TB, path string, data []byte, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, data, mode); err != nil {
		t.Fatal(err)
	}
}
