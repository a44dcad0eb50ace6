package engine_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"lus/internal/base/errs"
	"lus/internal/model/container"
	"lus/internal/model/volume"
)

// A container that shares a volume exchanges the part of it that another one is
// to be given with a link to a folder of the host, between the look at the part
// and its mount: CVE-2021-25741 and CVE-2017-1002101 of another system.
func TestASubpathIsExchanged(t *testing.T) {
	h := start(t)
	ctx := limited(t)
	secret := filepath.Join(t.TempDir(), "secret")
	must(t, os.Mkdir(secret, 0o755))
	must(t, os.WriteFile(filepath.Join(secret, "mark"), []byte("the host's\n"), 0o644))
	h.output("mkdir /v/in; echo inside > /v/in/mark", binds("trap:/v"))
	v, err := h.engine.InspectVolume(ctx, "trap")
	must(t, err)
	must(t, os.Symlink(secret, filepath.Join(v.Mountpoint, "out")))

	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-done:
				return
			default:
				if err := unix.Renameat2(unix.AT_FDCWD, v.Mountpoint+"/in", unix.AT_FDCWD, v.Mountpoint+"/out", unix.RENAME_EXCHANGE); err != nil {
					t.Error(err)
					return
				}
			}
		}
	}()
	defer func() { close(done); <-ended }()
	given := 0
	for range 30 {
		id := h.create("", "cat /x/mark", func(r *container.CreateRequest) {
			r.HostConfig.Mounts = []container.Mount{{Type: "volume", Source: "trap", Target: "/x", VolumeOptions: &container.VolumeOptions{Subpath: "in"}}}
		})
		if err := h.engine.StartContainer(ctx, id); err != nil {
			if !errs.Is(err, errs.Invalid) {
				t.Fatalf("refused with %v", err)
			}
			continue
		}
		h.wait(id, "not-running")
		if out := h.logs(id); strings.TrimSpace(out) != "inside" {
			t.Fatalf("the container was given %q", out)
		}
		given++
	}
	t.Logf("given in %d of 30 starts", given)
}

// A volume whose filling fails is emptied for the next try, but not under the
// hands of a container that works in it.
func TestAFillingThatFailsSparesWhoWorksThere(t *testing.T) {
	h := start(t)
	ctx := limited(t)
	v, err := h.engine.CreateVolume(ctx, &volume.CreateRequest{Name: "tight"})
	must(t, err)
	must(t, unix.Mount("tmpfs", v.Mountpoint, "tmpfs", 0, "nr_inodes=2,mode=755")) // itself and one file
	t.Cleanup(func() { _ = unix.Unmount(v.Mountpoint, unix.MNT_DETACH) })
	refused := func() {
		t.Helper()
		req := request("true")
		binds("tight:/data")(req)
		if _, err := h.engine.CreateContainer(ctx, "", req); !errs.Is(err, errs.Unavailable) {
			t.Fatalf("the image's content does not fit, and the error is %v", err)
		}
	}
	refused()
	if left, err := os.ReadDir(v.Mountpoint); err != nil || len(left) != 0 {
		t.Errorf("nobody uses it, and what is left is %v, %v", left, err)
	}
	h.run("works", "sleep 1000", binds("tight:/elsewhere"))
	refused()
	if left, err := os.ReadDir(v.Mountpoint); err != nil || len(left) != 1 {
		t.Errorf("it was emptied under a container that uses it: %v, %v", left, err)
	}
}
