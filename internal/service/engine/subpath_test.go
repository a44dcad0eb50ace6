package engine_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"lus/internal/base/errs"
	"lus/internal/model/container"
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
