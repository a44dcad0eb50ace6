package engine_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"lus/internal/base/errs"
	"lus/internal/base/layout"
	"lus/internal/model/container"
)

// What a start mounts on lies beneath the image: a container's own folder is as it
// left it, empty where it wrote nothing.
func TestAStartWritesNothingOfItsOwn(t *testing.T) {
	t.Parallel()
	h := start(t)
	id := h.run("box", "cat /etc/hosts /etc/hostname /etc/resolv.conf && sleep 1000", onNetwork("bridge"))
	if out, code := h.exec(id, "cat /etc/hostname"); code != 0 || out != id[:12]+"\n" {
		t.Errorf("its host name: %d %q", code, out)
	}
	left, err := os.ReadDir(filepath.Join(h.layout.Container(id), "upper"))
	must(t, err)
	if len(left) > 0 {
		t.Errorf("its folder has %v", left)
	}
	h.exec(id, "echo mine >/etc/mine")
	changes, err := h.engine.ContainerChanges(context.Background(), id)
	must(t, err)
	if want := []container.Change{{Path: "/etc", Kind: container.Modified}, {Path: "/etc/mine", Kind: container.Added}}; len(changes) != 2 || changes[0] != want[0] || changes[1] != want[1] {
		t.Errorf("changes %v, not %v", changes, want)
	}
	out, code := h.exec(id, "stat -c %s /etc/hosts")
	stub, err := os.Stat(filepath.Join(h.layout.Stubs(), "etc/hosts"))
	must(t, err)
	if code != 0 || out == "0\n" || stub.Size() != 0 {
		t.Errorf("/etc/hosts: %d %q, the stub: %d bytes", code, out, stub.Size())
	}
}

// What cannot be made, as on a full disk, keeps the daemon from nothing but starts, and
// these from nothing once it can be; nor does somebody who removes it.
func TestStubsAreMadeWhereTheyAreMissing(t *testing.T) {
	t.Parallel()
	root := newRoot(t)
	stubs := layout.Resolve(root, filepath.Join(root, "run")).Stubs()
	must(t, os.MkdirAll(filepath.Dir(stubs), 0o755))
	must(t, os.WriteFile(stubs, nil, 0o600))
	h := reopen(t, root)
	id := h.create("box", "sleep 1000", onNetwork("bridge"))
	if err := h.engine.StartContainer(context.Background(), id); !errs.Is(err, errs.Unavailable) {
		t.Errorf("a start without them: %v", err)
	}
	must(t, os.Remove(stubs))
	must(t, h.engine.StartContainer(context.Background(), id))
	must(t, os.RemoveAll(stubs))
	h.run("other", "sleep 1000", onNetwork("bridge"))
}
