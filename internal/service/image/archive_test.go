package image_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"lus/internal/base/errs"
	model "lus/internal/model/image"
	"lus/test/need"
)

func (w *world) save(refs ...string) []byte {
	w.t.Helper()
	var b bytes.Buffer
	if err := w.SaveImages(context.Background(), refs, &b); err != nil {
		w.t.Fatal(err)
	}
	return b.Bytes()
}

func TestSavedImagesAreLoadedElsewhere(t *testing.T) {
	w, other := newWorld(t), &world{t: t, root: t.TempDir(), users: &users{}}
	other.open()
	defer other.store.Close()
	id := w.importTar("app:1", tarOf(t, entry{name: "f", text: "imported"}), "LABEL a=b")
	ref := w.reg.push("pulled:1", imageOf(t, layer(t, entry{name: "g", text: "one"}), layer(t, entry{name: ".wh.g"}, entry{name: "h", text: "two"})))
	w.pull(ref)
	saved := w.save("app:1", ref)
	var said strings.Builder
	err := other.LoadImages(context.Background(), bytes.NewReader(gz(saved)), func(p model.Progress) { said.WriteString(p.Stream) })
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(said.String(), "Loaded image: app:1\n") {
		t.Errorf("it says %q", said.String())
	}
	if other.inspect("app:1").ID != id || other.inspect(ref).ID != w.inspect(ref).ID {
		t.Error("ids change on the way")
	}
	if got, _ := other.read("app:1", "f"); got != "imported" {
		t.Errorf("f is %q", got)
	}
	if got, _ := other.read(ref, "h"); got != "two" {
		t.Errorf("h is %q", got)
	}
	if _, there := other.read(ref, "g"); there {
		t.Error("the deleted file came back")
	}
}

func TestANameWithoutATagSavesAllTagsOfItOnce(t *testing.T) {
	w, other := newWorld(t), &world{t: t, root: t.TempDir(), users: &users{}}
	other.open()
	defer other.store.Close()
	id := w.importTar("app:1", tarOf(t, entry{name: "f", text: "one"}))
	w.importTar("app:2", tarOf(t, entry{name: "f", text: "two"}))
	w.importTar("else:1", tarOf(t, entry{name: "f", text: "three"}))
	if err := w.TagImage(context.Background(), "app:1", "app:latest"); err != nil {
		t.Fatal(err)
	}
	if err := other.LoadImages(context.Background(), bytes.NewReader(w.save("app", "app:1", strings.TrimPrefix(id, "sha256:")[:12])), nil); err != nil {
		t.Fatal(err)
	}
	for ref, want := range map[string]string{"app:1": "one", "app:latest": "one", "app:2": "two"} {
		if got, _ := other.read(ref, "f"); got != want {
			t.Errorf("%s holds %q", ref, got)
		}
	}
	if list, err := other.ListImages(context.Background(), true, nil); err != nil || len(list) != 2 {
		t.Errorf("%d images came: %v", len(list), err)
	}
}

func TestBadArchiveLeavesNothing(t *testing.T) {
	w := newWorld(t)
	w.importTar("app:1", tarOf(t, entry{name: "f", text: "x"}))
	saved := w.save("app:1")
	w.collect()
	before := w.files()
	for name, tar := range map[string][]byte{
		"empty":          nil,
		"no tar":         []byte(strings.Repeat("nothing ", 300)),
		"cut":            saved[:len(saved)/2],
		"another tar":    tarOf(t, entry{name: "f", text: "x"}),
		"missing config": tarOf(t, entry{name: "manifest.json", text: `[{"Config":"nowhere.json","RepoTags":["a:1"],"Layers":[]}]`}),
		"not an index":   tarOf(t, entry{name: "oci-layout", text: `{"imageLayoutVersion":"1.0.0"}`}, entry{name: "index.json", text: `[]`}),
	} {
		if err := w.LoadImages(context.Background(), bytes.NewReader(tar), nil); !errs.Is(err, errs.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	w.same(before)
	if err := w.SaveImages(context.Background(), []string{"nosuch"}, &bytes.Buffer{}); !errs.Is(err, errs.NotFound) {
		t.Errorf("saving a missing image: %v", err)
	}
}

// Skopeo is somebody else's idea of a registry's client and of an archive.
func TestSkopeoUnderstandsUsAndWeIt(t *testing.T) {
	skopeo := need.Program(t, "skopeo", "skopeo")
	w := newWorld(t)
	run := func(args ...string) {
		t.Helper()
		if out, err := exec.Command(skopeo, append([]string{"--insecure-policy"}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("skopeo %v: %v\n%s", args, err, out)
		}
	}
	id := w.importTar("app:1", need.BusyboxTar(t), `CMD ["sh"]`)
	file := filepath.Join(t.TempDir(), "app.tar")
	if err := os.WriteFile(file, w.save("app:1"), 0o600); err != nil {
		t.Fatal(err)
	}
	ref := w.reg.host + "/app:1"
	for _, from := range []string{"docker-archive:" + file, "oci-archive:" + file} {
		for _, how := range [][]string{{"--format", "oci"}, {"--format", "v2s2"}} {
			run(append(append([]string{"copy", "--quiet", "--dest-tls-verify=false"}, how...), from, "docker://"+ref)...)
			w.pull(ref)
			if how[1] == "oci" && w.inspect(ref).ID == "" {
				t.Error("no id")
			}
			if _, there := w.read(ref, "bin/busybox"); !there {
				t.Errorf("%s as %v: no busybox in it", from, how)
			}
			if got := w.inspect(ref).Layers[0]; got != w.inspect(id).Layers[0] {
				t.Errorf("%s as %v: the layer is %s, saved was %s", from, how, got, w.inspect(id).Layers[0])
			}
		}
	}
	archive := filepath.Join(t.TempDir(), "back.tar")
	run("copy", "--quiet", "--src-tls-verify=false", "docker://"+ref, "docker-archive:"+archive+":back:1")
	data, err := os.ReadFile(archive)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.LoadImages(context.Background(), bytes.NewReader(data), nil); err != nil {
		t.Fatal(err)
	}
	if _, there := w.read("back:1", "bin/busybox"); !there {
		t.Error("what skopeo saved has no busybox in it")
	}
}

func TestFullDisk(t *testing.T) {
	w := newWorld(t)
	w.store.Close()
	w.root = t.TempDir()
	if err := syscall.Mount("tmpfs", w.root, "tmpfs", 0, "size=4m"); err != nil {
		need.Unmet(t, "to mount a tmpfs: %v", err)
	}
	defer syscall.Unmount(w.root, syscall.MNT_DETACH)
	w.open()
	defer w.store.Close()
	w.importTar("small:1", tarOf(t, entry{name: "f", text: "x"}))
	before := w.files()

	big := tarOf(t, entry{name: "big", text: noise(6 << 20)})
	_, err := w.ImportImage(context.Background(), bytes.NewReader(big), "big:1", "", "", nil)
	if !errs.Is(err, errs.Unavailable) || !strings.Contains(err.Error(), "full") {
		t.Errorf("an import on a full disk: %v", err)
	}
	w.same(before)
	ref := w.reg.push("big:1", imageOf(t, layer(t, entry{name: "big", text: noise(6 << 20)})))
	w.refuse(ref, errs.Unavailable, "the disk of the image store is full")
	if got, _ := w.read("small:1", "f"); got != "x" {
		t.Errorf("the small image says %q afterwards", got)
	}
}

// What is saved is held until its end, and what was never packed is not written
// to the store on the way.
func TestASaveHoldsWhatItSaves(t *testing.T) {
	w, other := newWorld(t), &world{t: t, root: t.TempDir(), users: &users{}}
	other.open()
	defer other.store.Close()
	w.importTar("app:1", tarOf(t, entry{name: "f", text: noise(3 << 20)}, entry{name: "g", text: "whole"}))
	w.collect()
	before, most := w.used(), int64(0)
	var saved bytes.Buffer
	removed := false
	err := w.SaveImages(context.Background(), []string{"app:1"}, writerFunc(func(p []byte) (int, error) {
		if !removed {
			removed = true
			if _, err := w.RemoveImage(context.Background(), "app:1", true, true); err != nil {
				t.Error(err)
			}
		}
		most = max(most, w.used())
		return saved.Write(p)
	}))
	if err != nil {
		t.Fatal(err)
	}
	if most > before+1<<20 {
		t.Errorf("the store grew from %d to %d bytes meanwhile", before, most)
	}
	if after := w.used(); after > 100_000 {
		t.Errorf("%d bytes of what was removed are left", after)
	}
	if err := other.LoadImages(context.Background(), &saved, nil); err != nil {
		t.Fatal(err)
	}
	if got, _ := other.read("app:1", "g"); got != "whole" {
		t.Errorf("g is %q", got)
	}
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
