package build_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lus/internal/base/errs"
)

// CVE-2024-23652: a step swaps the folder of a mount's stub for a symlink, and
// cleaning the stub away must not follow it to the host.
func TestCleaningStubsSparesTheHost(t *testing.T) {
	b := newBuilder(t)
	host := t.TempDir()
	empty := filepath.Join(host, "stub")
	for name, target := range map[string]string{"absolute": host, "climbing": "../../../../../../../../../../../.." + host} {
		t.Run(name, func(t *testing.T) {
			must(t, os.WriteFile(empty, nil, 0o600))
			r := b.file(fmt.Sprintf("FROM busybox\nRUN --mount=type=tmpfs,target=/x/stub mv /x /y && ln -s %s /x\n", target), nil)
			if r.err != nil {
				t.Logf("the step itself is refused: %v", r.err)
			}
			if _, err := os.Lstat(empty); err != nil {
				t.Fatalf("cleaning removed a file of the host: %v", err)
			}
		})
	}
	t.Run("a folder", func(t *testing.T) {
		must(t, os.Remove(empty))
		must(t, os.Mkdir(empty, 0o700))
		_ = b.file(fmt.Sprintf("FROM busybox\nRUN --mount=type=tmpfs,target=/x/stub mv /x /y; ln -s %s /x\n", host), nil)
		if _, err := os.Lstat(empty); err != nil {
			t.Fatalf("cleaning removed a folder of the host: %v", err)
		}
	})
	t.Run("what the image had stays", func(t *testing.T) {
		r := b.file("FROM busybox\nRUN mkdir -p /has/it && touch /file\nRUN --mount=type=tmpfs,target=/has/it --mount=type=bind,source=a,target=/file true\nRUN ls -d /has/it /file > /seen\n", map[string]string{"a": "A"}).ok(t)
		b.wantFile(r.id, "seen", "/file\n/has/it")
	})
}

// CVE-2024-23651, by a whole build: one step leaves a symlink in a cache, the
// next mounts that part of it.
func TestAPartOfACacheNeverLeadsToTheHost(t *testing.T) {
	b := newBuilder(t)
	host := t.TempDir()
	must(t, os.WriteFile(filepath.Join(host, "secret"), []byte("the host's"), 0o644))
	r := b.file(fmt.Sprintf(`FROM busybox
RUN --mount=type=cache,target=/c,id=z ln -s %s /c/sub
RUN --mount=type=cache,target=/v,id=z,source=sub cat /v/secret
`, host), nil)
	if r.err == nil || strings.Contains(r.output, "the host's") {
		t.Errorf("a step read the host's files (error %v):\n%s", r.err, r.output)
	}
}

// CVE-2024-23653: no way to privileges that were not granted. (Containers that
// a frontend makes: internal/engine.)
func TestNoStepIsPrivileged(t *testing.T) {
	b := newBuilder(t)
	r := b.file("# syntax=docker/dockerfile:1-labs\nFROM busybox\nRUN --security=insecure true\n", nil)
	if r.err == nil {
		t.Fatal("a privileged step ran")
	}
	r = b.file("FROM busybox\nRUN --security=insecure true\n", nil)
	if r.err == nil || errs.KindOf(r.err) != errs.Denied && errs.KindOf(r.err) != errs.Invalid {
		t.Errorf("a privileged step: error %v of kind %d", r.err, errs.KindOf(r.err))
	}
	r = b.file("FROM busybox\nRUN --network=host true\n", nil)
	if r.err == nil || errs.KindOf(r.err) != errs.Denied {
		t.Errorf("a step that takes the host's network by itself: error %v of kind %d", r.err, errs.KindOf(r.err))
	}
	r = b.file("FROM busybox\nRUN mount -t tmpfs x /mnt 2>&1; mknod /d b 7 0 && head -c1 /d; grep CapEff /proc/self/status\n", nil).ok(t)
	if !strings.Contains(r.output, "00000000a80425fb") {
		t.Errorf("a step's capabilities are not Docker's default:\n%s", r.output)
	}
	for _, want := range []string{"denied", "not permitted"} {
		if strings.Contains(r.output, want) {
			return
		}
	}
	t.Errorf("a step could mount or open a device:\n%s", r.output)
}
