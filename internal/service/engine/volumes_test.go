package engine_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"lus/internal/base/errs"
	"lus/internal/model/container"
	"lus/internal/model/filter"
	"lus/internal/model/volume"
)

func binds(list ...string) func(*container.CreateRequest) {
	return func(r *container.CreateRequest) { r.HostConfig.Binds = list }
}

func TestANamedVolume(t *testing.T) {
	h := start(t)
	ctx := limited(t)
	out, code := h.output("cat /data/file; stat -c '%u %a' /data/file; echo mine > /data/own", binds("store:/data"))
	if code != 0 || out != "from the image\n65534 640\n" {
		t.Errorf("the first use copies the image's content: %d %q", code, out)
	}
	if out, _ := h.output("rm /data/file; cat /other/own; ls /data", binds("store:/data", "store:/other:ro")); out != "mine\nown\nsub\n" {
		t.Errorf("the second use finds what the first left: %q", out)
	}
	if out, code := h.output("touch /data/x 2>&1", binds("store:/data:ro")); code == 0 || !strings.Contains(out, "Read-only") {
		t.Errorf("read-only: %d %q", code, out)
	}
	if out, _ := h.output("ls /data", binds("bare:/data:nocopy")); out != "" {
		t.Errorf("nocopy: %q", out)
	}
	id := h.create("user", "true", binds("store:/data"))
	if err := h.engine.RemoveVolume(ctx, "store", false); !errs.Is(err, errs.Conflict) || !strings.Contains(err.Error(), "volume is in use") {
		t.Errorf("removing what is in use: %v", err)
	}
	if m := h.inspect(id).Mounts; len(m) != 1 || m[0].Name != "store" || m[0].Destination != "/data" || !strings.HasSuffix(m[0].Source, "/volumes/store/_data") {
		t.Errorf("mounts: %+v", m)
	}
	if err := h.engine.RemoveVolume(ctx, "nope", false); !errs.Is(err, errs.NotFound) {
		t.Errorf("removing what is not there: %v", err)
	}
	must(t, h.engine.RemoveVolume(ctx, "nope", true))
}

func TestAnonymousVolumesGoWithTheirContainer(t *testing.T) {
	h := start(t)
	ctx := limited(t)
	volumes := func() int {
		l, err := h.engine.ListVolumes(ctx, nil)
		must(t, err)
		return len(l)
	}
	image := func(r *container.CreateRequest) { r.Image = "volumes" }
	if out, _ := h.output("cat /data/file", image, func(r *container.CreateRequest) { r.HostConfig.AutoRemove = false }); out != "from the image\n" {
		t.Errorf("an image's volume is filled: %q", out)
	}
	if volumes() != 1 {
		t.Fatalf("%d volumes", volumes())
	}
	removed := h.create("brief", "true", image, binds("/more", "named:/named"), func(r *container.CreateRequest) { r.HostConfig.AutoRemove = true })
	if volumes() != 4 {
		t.Errorf("%d volumes while it is there", volumes())
	}
	gone, err := h.engine.WaitContainer(ctx, removed, "removed")
	must(t, err)
	must(t, h.engine.StartContainer(ctx, removed))
	h.exit(gone)
	must(t, h.engine.Settle(ctx))
	if volumes() != 2 {
		t.Errorf("%d volumes after --rm, want the named and the first", volumes())
	}
	kept := h.create("kept", "true", image)
	must(t, h.engine.RemoveContainer(ctx, kept, container.RemoveOptions{}))
	must(t, h.engine.Settle(ctx))
	if volumes() != 3 {
		t.Errorf("%d volumes after rm without -v", volumes())
	}
	names, _, err := h.engine.PruneVolumes(ctx, nil)
	must(t, err)
	if len(names) != 1 { // the first container still has its own, the named is not anonymous
		t.Errorf("pruned %v", names)
	}
	names, _, err = h.engine.PruneVolumes(ctx, filter.Filters{"all": {"true"}})
	must(t, err)
	if len(names) != 1 || names[0] != "named" {
		t.Errorf("pruned with all: %v", names)
	}
}

func TestBinds(t *testing.T) {
	h := start(t)
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "in"), []byte("host"), 0o644))
	if out, _ := h.output("cat /h/in; echo -n inside > /h/out", binds(dir+":/h")); out != "host" {
		t.Errorf("%q", out)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "out")); err != nil || string(got) != "inside" {
		t.Errorf("%q %v", got, err)
	}
	missing := filepath.Join(dir, "new", "folder")
	if _, code := h.output("touch /h/x", binds(missing+":/h")); code != 0 {
		t.Error("-v makes a missing source")
	}
	if _, err := os.Stat(missing + "/x"); err != nil {
		t.Error(err)
	}
	req := request("true")
	req.HostConfig.Mounts = []container.Mount{{Type: "bind", Source: filepath.Join(dir, "nope"), Target: "/h"}}
	if _, err := h.engine.CreateContainer(limited(t), "", req); err == nil || !strings.Contains(err.Error(), "bind source path does not exist") {
		t.Errorf("--mount makes none: %v", err)
	}
	if out, _ := h.output("cat /etc/one", binds(filepath.Join(dir, "in")+":/etc/one")); out != "host" {
		t.Errorf("a single file: %q", out)
	}
}

func TestAVolumeCannotLeadOut(t *testing.T) {
	h := start(t)
	ctx := limited(t)
	secret := filepath.Join(t.TempDir(), "secret")
	must(t, os.Mkdir(secret, 0o700))
	h.output("ln -s "+secret+" /v/out; mkdir /v/in", binds("trap:/v"))
	sub := func(p string) func(*container.CreateRequest) {
		return func(r *container.CreateRequest) {
			r.HostConfig.Mounts = []container.Mount{{Type: "volume", Source: "trap", Target: "/x", VolumeOptions: &container.VolumeOptions{Subpath: p}}}
		}
	}
	if _, code := h.output("touch /x/ok", sub("in")); code != 0 {
		t.Error("a folder of the volume was refused")
	}
	id := h.create("", "touch /x/leak", sub("out"))
	if err := h.engine.StartContainer(ctx, id); !errs.Is(err, errs.Invalid) {
		t.Errorf("a link out of the volume: %v", err)
	}
	if left, err := os.ReadDir(secret); err != nil || len(left) > 0 {
		t.Errorf("it wrote there: %v %v", left, err)
	}
}

func TestVolumeRequests(t *testing.T) {
	h := start(t)
	ctx := limited(t)
	for what, req := range map[string]volume.CreateRequest{
		"a bad name":        {Name: "a/b"},
		"climbing out":      {Name: ".."},
		"an unknown driver": {Name: "vol", Driver: "nfs"},
		"an option":         {Name: "vol", DriverOpts: map[string]string{"size": "1g"}},
		"nfs by options":    {Name: "vol", DriverOpts: map[string]string{"type": "nfs", "o": "addr=10.0.0.1", "device": ":/x"}},
	} {
		if _, err := h.engine.CreateVolume(ctx, &req); err == nil {
			t.Errorf("%s: made", what)
		}
	}
	v, err := h.engine.CreateVolume(ctx, &volume.CreateRequest{Name: "vol", Labels: map[string]string{"a": "1"}})
	must(t, err)
	again, err := h.engine.CreateVolume(ctx, &volume.CreateRequest{Name: "vol"})
	must(t, err)
	if again.CreatedAt != v.CreatedAt || again.Labels["a"] != "1" {
		t.Errorf("making it again made another: %+v", again)
	}
	l, err := h.engine.ListVolumes(ctx, filter.Filters{"label": {"a=1"}})
	must(t, err)
	if len(l) != 1 {
		t.Errorf("by its label: %v", l)
	}
	dir := t.TempDir()
	_, err = h.engine.CreateVolume(ctx, &volume.CreateRequest{Name: "bound", DriverOpts: map[string]string{"type": "none", "o": "bind", "device": dir}})
	must(t, err)
	h.output("touch /v/here", binds("bound:/v"))
	if _, err := os.Stat(filepath.Join(dir, "here")); err != nil {
		t.Error(err)
	}
}

func TestVolumesFrom(t *testing.T) {
	h := start(t)
	h.create("giver", "true", binds("given:/g"), func(r *container.CreateRequest) { r.HostConfig.Tmpfs = map[string]string{"/t": ""} })
	out, code := h.output("echo text > /g/x; cat /g/x", func(r *container.CreateRequest) { r.HostConfig.VolumesFrom = []string{"giver"} })
	if code != 0 || out != "text\n" {
		t.Errorf("%d %q", code, out)
	}
	if _, code := h.output("touch /g/y", func(r *container.CreateRequest) { r.HostConfig.VolumesFrom = []string{"giver:ro"} }); code == 0 {
		t.Error("read-only was not")
	}
}

func TestSharedMemory(t *testing.T) {
	h := start(t)
	h.run("donor", "echo shared > /dev/shm/x; sleep 1000", func(r *container.CreateRequest) { r.HostConfig.IpcMode = "shareable" })
	until(t, "the file", func() bool { _, code := h.exec("donor", "test -s /dev/shm/x"); return code == 0 })
	if out, _ := h.output("cat /dev/shm/x", func(r *container.CreateRequest) { r.HostConfig.IpcMode = "container:donor" }); out != "shared\n" {
		t.Errorf("%q", out)
	}
	if out, _ := h.output("df -k /dev/shm | tail -1 | awk '{print $2}'", func(r *container.CreateRequest) { r.HostConfig.ShmSize = 8 << 20 }); out != "8192\n" {
		t.Errorf("--shm-size: %q", out)
	}
	h.run("private", "sleep 1000")
	id := h.create("", "true", func(r *container.CreateRequest) { r.HostConfig.IpcMode = "container:private" })
	if err := h.engine.StartContainer(limited(t), id); !errs.Is(err, errs.Conflict) {
		t.Errorf("a private one: %v", err)
	}
}

func TestAFailedStartLeavesNothing(t *testing.T) {
	h := start(t)
	ctx := limited(t)
	before := h.traces()
	id := h.create("doomed", "", onNetwork("bridge"), published("18081", "80/tcp"), func(r *container.CreateRequest) {
		r.Cmd = container.Strings{"/no/such"}
		r.HostConfig.IpcMode = "shareable"
	})
	if err := h.engine.StartContainer(ctx, id); !errs.Is(err, errs.CommandNotFound) {
		t.Fatalf("%v", err)
	}
	must(t, h.engine.RemoveContainer(ctx, id, container.RemoveOptions{}))
	must(t, h.engine.Settle(ctx))
	if after := h.traces(); after != before {
		t.Errorf("left behind:\n%s", after)
	}
	var st unix.Stat_t
	if err := unix.Stat(h.layout.Container(id), &st); !errors.Is(err, unix.ENOENT) {
		t.Errorf("its folder: %v", err)
	}
}
