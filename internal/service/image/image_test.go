package image_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"lus/internal/base/errs"
	"lus/internal/model/container"
	"lus/internal/model/filter"
	model "lus/internal/model/image"
	"lus/internal/service/image"
	"lus/test/need"
)

func (w *world) importTar(ref string, tar []byte, changes ...string) string {
	w.t.Helper()
	id, err := w.ImportImage(context.Background(), bytes.NewReader(tar), ref, "", "", changes)
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}

// used is what the store's blobs and snapshots take on disk, in bytes.
func (w *world) used() int64 {
	w.t.Helper()
	var sum int64
	for _, dir := range []string{"content/blobs", "overlayfs/snapshots"} {
		filepath.Walk(filepath.Join(w.root, dir), func(_ string, i os.FileInfo, err error) error {
			if err == nil && i.Mode().IsRegular() {
				sum += i.Sys().(*syscall.Stat_t).Blocks * 512
			}
			return nil
		})
	}
	return sum
}

func TestNamesFindImages(t *testing.T) {
	w := newWorld(t)
	id := w.importTar("app:1", tarOf(t, entry{name: "f", text: "x"}))
	digits := strings.TrimPrefix(id, "sha256:")
	ctx := context.Background()
	if err := w.TagImage(ctx, "app:1", "app"); err != nil {
		t.Fatal(err)
	}
	for _, ref := range []string{
		"app", "app:1", "app:latest", "library/app", "docker.io/library/app:1", "docker.io/app",
		id, digits, digits[:12], digits[:3], "sha256:" + digits[:7],
	} {
		if i, err := w.Resolve(ctx, ref); err != nil || i.ID != id {
			t.Errorf("%s: %v", ref, err)
		}
	}
	for ref, kind := range map[string]errs.Kind{
		"app:2": errs.NotFound, "other": errs.NotFound, "host:5000/app:1": errs.NotFound, strings.Repeat("0", 64): errs.NotFound,
		"fffffffffff0": errs.NotFound, "UPPER": errs.Invalid, "": errs.Invalid, "a b": errs.Invalid, "../../etc/passwd": errs.Invalid,
		"app:" + strings.Repeat("x", 200): errs.Invalid, "app@sha256:1234": errs.Invalid,
	} {
		if _, err := w.InspectImage(ctx, ref); !errs.Is(err, kind) {
			t.Errorf("%q gives %v, want kind %d", ref, err, kind)
		}
	}
	_, err := w.Resolve(ctx, "nosuch")
	if fmt.Sprint(err) != "No such image: nosuch:latest" {
		t.Errorf("a missing image is told as %q", err)
	}
}

func TestImport(t *testing.T) {
	w := newWorld(t)
	plain := tarOf(t, entry{name: "d/", kind: '5'}, entry{name: "d/f", text: "imported"})
	packings := map[string][]byte{"plain": plain, "gzip": gz(plain), "zstd": zst(t, plain), "bzip2": packed(t, plain, need.Program(t, "bzip2", "bzip2")), "xz": packed(t, plain, need.Program(t, "xz", "xz-utils"))}
	for name, tar := range packings {
		w.importTar(name+":1", tar)
		if got, _ := w.read(name+":1", "d/f"); got != "imported" {
			t.Errorf("%s: the file is %q", name, got)
		}
	}
	w.importTar("app:1", plain,
		`CMD ["/bin/sh", "-c", "echo hi"]`, `ENTRYPOINT exec top`, `ENV A=1 B="two words"`, `ENV C=$A`, "EXPOSE 80 53/udp",
		"LABEL kind=test", "USER 1000:1000", `VOLUME ["/data"]`, "WORKDIR /srv", "WORKDIR sub", "STOPSIGNAL SIGINT",
		"HEALTHCHECK --interval=5s CMD true", "ONBUILD RUN x")
	c := w.inspect("app:1").Config
	want := container.Config{
		Cmd: container.Strings{"/bin/sh", "-c", "echo hi"}, Entrypoint: container.Strings{"/bin/sh", "-c", "exec top"},
		Env: []string{"A=1", "B=two words", "C=1"}, ExposedPorts: map[string]struct{}{"80/tcp": {}, "53/udp": {}},
		Labels: map[string]string{"kind": "test"}, User: "1000:1000", Volumes: map[string]struct{}{"/data": {}},
		WorkingDir: "/srv/sub", StopSignal: "SIGINT", OnBuild: []string{"RUN x"},
		Healthcheck: &container.Healthcheck{Test: []string{"CMD-SHELL", "true"}, Interval: 5 * time.Second},
	}
	if got, want := fmt.Sprintf("%+v %+v", c, *c.Healthcheck), fmt.Sprintf("%+v %+v", want, *want.Healthcheck); stripPointer(got) != stripPointer(want) {
		t.Errorf("config is\n%s\nwant\n%s", got, want)
	}
	if i := w.inspect("app:1"); len(i.History) != 1 || i.Comment == "" || i.Created.IsZero() || i.OS != "linux" {
		t.Errorf("inspect: %+v", i)
	}
}

// stripPointer cuts the address out of a printed config.
func stripPointer(s string) string {
	at := strings.Index(s, "Healthcheck:0x")
	if at < 0 {
		return s
	}
	end := strings.IndexByte(s[at:], ' ')
	return s[:at] + s[at+end:]
}

func packed(t *testing.T, data []byte, program string) []byte {
	t.Helper()
	cmd := exec.Command(program, "-c")
	cmd.Stdin = bytes.NewReader(data)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestBadImportLeavesNothing(t *testing.T) {
	w := newWorld(t)
	good := tarOf(t, entry{name: "f", text: strings.Repeat("x", 10000)})
	before := w.files()
	for name, c := range map[string]struct {
		tar     []byte
		ref     string
		changes []string
	}{
		"no tar":          {[]byte(strings.Repeat("no tar ", 200)), "app", nil},
		"cut tar":         {good[:5000], "app", nil},
		"cut gzip":        {gz(good)[:40], "app", nil},
		"name":            {good, "NOT A NAME", nil},
		"name by digest":  {good, "app@sha256:" + strings.Repeat("a", 64), nil},
		"unknown change":  {good, "app", []string{"RUN rm -rf /"}},
		"change from":     {good, "app", []string{"FROM scratch"}},
		"nonsense change": {good, "app", []string{"NONSENSE"}},
		"port":            {good, "app", []string{"EXPOSE 99999"}},
	} {
		if _, err := w.ImportImage(context.Background(), bytes.NewReader(c.tar), c.ref, "", "", c.changes); !errs.Is(err, errs.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	w.same(before)
	if list, err := w.ListImages(context.Background(), false, nil); err != nil || len(list) != 0 {
		t.Errorf("images: %v, %v", list, err)
	}
}

func TestImportOfBusyboxIsReadable(t *testing.T) {
	w := newWorld(t)
	id := w.importTar("busybox", need.BusyboxTar(t), `CMD ["sh"]`)
	if _, there := w.read("busybox", "bin/busybox"); !there {
		t.Error("there is no /bin/busybox in it")
	}
	l, err := w.Layers(context.Background(), id)
	if err != nil || len(l.Dirs) != 1 || l.ImageID != id {
		t.Fatalf("layers %+v, %v", l, err)
	}
	if to, err := os.Readlink(filepath.Join(l.Dirs[0], "bin/sh")); err != nil || to != "busybox" {
		t.Errorf("bin/sh leads to %q, %v", to, err)
	}
}

func TestListAndFilters(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	old := w.importTar("old:1", tarOf(t, entry{name: "f", text: "1"}), "LABEL team=a")
	time.Sleep(2 * time.Millisecond)
	mid := w.importTar("lib/mid:2", tarOf(t, entry{name: "f", text: "2"}), "LABEL team=b")
	time.Sleep(2 * time.Millisecond)
	none := w.importTar("", tarOf(t, entry{name: "f", text: "3"}))
	for _, c := range []struct {
		f    filter.Filters
		want []string
	}{
		{nil, []string{none, mid, old}},
		{filter.Filters{"dangling": {"true"}}, []string{none}},
		{filter.Filters{"dangling": {"false"}}, []string{mid, old}},
		{filter.Filters{"label": {"team"}}, []string{mid, old}},
		{filter.Filters{"label": {"team=a"}}, []string{old}},
		{filter.Filters{"label!": {"team=a"}}, []string{none, mid}},
		{filter.Filters{"before": {"lib/mid:2"}}, []string{old}},
		{filter.Filters{"since": {"old:1"}}, []string{none, mid}},
		{filter.Filters{"reference": {"old"}}, []string{old}},
		{filter.Filters{"reference": {"*:2", "lib/*"}}, []string{mid}},
		{filter.Filters{"reference": {"nothing"}}, nil},
		{filter.Filters{"until": {"1h"}}, nil},
	} {
		list, err := w.ListImages(ctx, false, c.f)
		if err != nil {
			t.Errorf("%v: %v", c.f, err)
		}
		var got []string
		for _, i := range list {
			got = append(got, i.ID)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%v gives %v, want %v", c.f, got, c.want)
		}
	}
	for _, f := range []filter.Filters{{"colour": {"red"}}, {"dangling": {"maybe"}}, {"until": {"soon"}}, {"reference": {"[a"}}} {
		if _, err := w.ListImages(ctx, false, f); !errs.Is(err, errs.Invalid) {
			t.Errorf("%v gives %v", f, err)
		}
	}
	if _, err := w.ListImages(ctx, false, filter.Filters{"before": {"nosuch"}}); !errs.Is(err, errs.NotFound) {
		t.Errorf("before a missing image: %v", err)
	}
}

func TestRemoveFreesTheSpace(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	big := strings.Repeat("0123456789abcdef", 1<<16) // 1 MB
	w.importTar("base:1", tarOf(t, entry{name: "base", text: "b"}))
	empty := w.used()
	id := w.importTar("app:1", tarOf(t, entry{name: "big", text: big}))
	if err := w.TagImage(ctx, "app:1", "other:2"); err != nil {
		t.Fatal(err)
	}
	if w.used() < empty+1<<20 {
		t.Fatal("the import takes no space: the test sees nothing")
	}
	removed, err := w.RemoveImage(ctx, "app:1", false, true)
	if err != nil || !slices.Equal(removed, []model.Removed{{Untagged: "app:1"}}) {
		t.Fatalf("removing one of two names: %v, %v", removed, err)
	}
	if got := w.inspect(id).RepoTags; !slices.Equal(got, []string{"other:2"}) {
		t.Errorf("its names are %v", got)
	}
	removed, err = w.RemoveImage(ctx, "other:2", false, true)
	if err != nil || !slices.Equal(removed, []model.Removed{{Untagged: "other:2"}, {Deleted: id}}) {
		t.Fatalf("removing the last name: %v, %v", removed, err)
	}
	if now := w.used(); now != empty {
		t.Errorf("%d bytes before the image, %d after it", empty, now)
	}
	if _, err := w.RemoveImage(ctx, "other:2", false, true); !errs.Is(err, errs.NotFound) {
		t.Errorf("removing it again: %v", err)
	}
	want := []string{"import base:1", "import app:1", "tag other:2", "untag app:1", "untag other:2", "delete "}
	if !slices.Equal(w.events, want) {
		t.Errorf("events %q, want %q", w.events, want)
	}
}

func TestRemoveByID(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	id := w.importTar("app:1", tarOf(t, entry{name: "f", text: "x"}))
	for _, name := range []string{"app:2", "other:1"} {
		if err := w.TagImage(ctx, id, name); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.RemoveImage(ctx, id, false, true); !errs.Is(err, errs.Conflict) || !strings.Contains(err.Error(), "must be forced") {
		t.Fatalf("several repositories without force: %v", err)
	}
	removed, err := w.RemoveImage(ctx, strings.TrimPrefix(id, "sha256:")[:12], true, true)
	if err != nil || len(removed) != 4 {
		t.Fatalf("by force: %v, %v", removed, err)
	}
	dangling := w.importTar("", tarOf(t, entry{name: "f", text: "y"}))
	removed, err = w.RemoveImage(ctx, dangling, false, true)
	if err != nil || !slices.Equal(removed, []model.Removed{{Deleted: dangling}}) {
		t.Fatalf("a dangling image: %v, %v", removed, err)
	}
}

func TestImageInUseStays(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	id := w.importTar("app:1", tarOf(t, entry{name: "f", text: "x"}))
	layers, err := w.Layers(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	w.users.running = map[string][]string{id: {"web"}}
	refused := func(how, ref string, force bool, want string) {
		t.Helper()
		if _, err := w.RemoveImage(ctx, ref, force, true); !errs.Is(err, errs.Conflict) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", how, err, want)
		}
	}
	refused("running", "app:1", false, "(must force) - container web is using its referenced image")
	refused("running, by id", id, false, "(cannot be forced) - image is being used by running container web")
	refused("running, by id with force", id, true, "(cannot be forced) - image is being used by running container web")
	// By force the name goes, and the image stays for who has it.
	removed, err := w.RemoveImage(ctx, "app:1", true, true)
	if err != nil || !slices.Equal(removed, []model.Removed{{Untagged: "app:1"}}) {
		t.Errorf("running, with force: %v, %v", removed, err)
	}
	if i := w.inspect(id); len(i.RepoTags) > 0 {
		t.Errorf("it is still called %v", i.RepoTags)
	}
	if list, err := w.ListImages(ctx, false, filter.Filters{"dangling": {"true"}}); err != nil || len(list) != 1 || list[0].ID != id {
		t.Errorf("dangling are %+v, %v", list, err)
	}
	if err := w.TagImage(ctx, id, "app:1"); err != nil {
		t.Fatal(err)
	}
	w.users.running, w.users.stopped = nil, map[string][]string{id: {"web"}}
	refused("stopped", "app:1", false, "(must force) - container web is using its referenced image")
	refused("stopped, by id", id, false, "(must be forced) - image is being used by stopped container web")
	if _, err := w.RemoveImage(ctx, "app:1", true, true); err != nil {
		t.Fatal(err)
	}
	w.collect()
	if _, err := os.Stat(filepath.Join(layers.Dirs[0], "f")); err != nil {
		t.Errorf("the container lost its layers with the image's name: %v", err)
	}
	w.reopen()
	if again, err := w.Layers(ctx, id); err != nil || again.Dirs[0] != layers.Dirs[0] {
		t.Errorf("the container cannot be started after a restart: %v", err)
	}
	if err := w.Sweep(ctx, []string{id}); err != nil { // forgets that they were just handed out
		t.Fatal(err)
	}
	if err := w.Sweep(ctx, []string{id}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(layers.Dirs[0]); err != nil {
		t.Errorf("swept while a container uses it: %v", err)
	}
	if err := w.Sweep(ctx, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(layers.Dirs[0]); !os.IsNotExist(err) {
		t.Errorf("the layers outlive their last user: %v", err)
	}
}

func TestSweepSparesWhatWasJustHandedOut(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	id := w.importTar("app:1", tarOf(t, entry{name: "f", text: "x"}))
	l, err := w.Layers(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.RemoveImage(ctx, "app:1", false, true); err != nil {
		t.Fatal(err)
	}
	if err := w.Sweep(ctx, nil); err != nil { // its container is not on record yet
		t.Fatal(err)
	}
	if _, err := os.Stat(l.Dirs[0]); err != nil {
		t.Fatalf("swept in the moment between look-up and record: %v", err)
	}
	if err := w.Sweep(ctx, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(l.Dirs[0]); !os.IsNotExist(err) {
		t.Errorf("never swept: %v", err)
	}
}

// An image whose container came and went gives its space back with its name.
func TestReturnedImageIsGoneWithItsName(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	id := w.importTar("app:1", tarOf(t, entry{name: "f", text: "x"}))
	l, err := w.Layers(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	w.Returned(id)
	if _, err := os.Stat(l.Dirs[0]); err != nil {
		t.Fatalf("the image has its name yet: %v", err)
	}
	if _, err := w.RemoveImage(ctx, "app:1", false, true); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(l.Dirs[0]); !os.IsNotExist(err) {
		t.Errorf("its layers are still there: %v", err)
	}
}

func TestKnownImageIsFoundWithoutWriting(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	w.importTar("app:1", tarOf(t, entry{name: "f", text: "x"}))
	look := func() {
		t.Helper()
		i, err := w.Resolve(ctx, "app:1")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Layers(ctx, i.ID); err != nil {
			t.Fatal(err)
		}
	}
	databases := func() (all []byte) {
		for _, f := range []string{"meta.db", "overlayfs/snapshots.db"} {
			b, err := os.ReadFile(filepath.Join(w.root, f))
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, b...)
		}
		return all
	}
	first := databases()
	look() // takes the lease
	before := databases()
	if bytes.Equal(first, before) {
		t.Fatal("the first look took no lease: this test would see nothing")
	}
	for range 2 {
		for range 100 {
			look()
		}
		if !bytes.Equal(before, databases()) {
			t.Error("looking up a known image wrote to a database, and each such write is an fsync")
		}
		w.reopen() // a restarted daemon knows its leases
		before = databases()
	}
}

func TestImagesOutliveTheDaemon(t *testing.T) {
	w := newWorld(t)
	id := w.importTar("app:1", tarOf(t, entry{name: "f", text: "x"}))
	ref := w.reg.push("pulled:1", imageOf(t, layer(t, entry{name: "g", text: "y"})))
	w.pull(ref)
	w.reopen()
	w.collect()
	if w.inspect("app:1").ID != id {
		t.Error("another image has the name")
	}
	if got, _ := w.read("app:1", "f"); got != "x" {
		t.Errorf("f is %q", got)
	}
	if got, _ := w.read(ref, "g"); got != "y" {
		t.Errorf("g is %q", got)
	}
}

func TestApplyChangesToAnExistingConfig(t *testing.T) {
	c := container.Config{Env: []string{"A=1"}, WorkingDir: "/a", Shell: []string{"/bin/bash", "-c"}}
	if err := image.ApplyChanges(&c, []string{"ENV A=2", "WORKDIR b", "CMD echo hi", ""}); err != nil {
		t.Fatal(err)
	}
	if c.Env[0] != "A=2" || c.WorkingDir != "/a/b" || c.Cmd[0] != "/bin/bash" {
		t.Errorf("config: %+v", c)
	}
}

func BenchmarkResolveKnown(b *testing.B) {
	need.Root(b)
	w := benchWorld(b)
	ctx := context.Background()
	for b.Loop() {
		i, err := w.Resolve(ctx, "app:1")
		if err != nil {
			b.Fatal(err)
		}
		if _, err := w.Layers(ctx, i.ID); err != nil {
			b.Fatal(err)
		}
	}
}
