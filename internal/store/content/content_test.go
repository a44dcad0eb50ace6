package content_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"lus/internal/base/errs"
	store "lus/internal/store/content"
	"lus/test/need"
)

func open(t *testing.T, root string) *store.Store {
	t.Helper()
	s, err := store.Open(context.Background(), root, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// layer makes a committed snapshot called name whose folder fill fills.
func layer(ctx context.Context, t *testing.T, s *store.Store, name, parent string, fill func(dir string)) store.Layer {
	t.Helper()
	sn := s.Snapshotter()
	mounts, err := sn.Prepare(ctx, name+"-active", parent)
	if err != nil {
		t.Fatal(err)
	}
	info, err := sn.Stat(ctx, name+"-active")
	if err != nil {
		t.Fatal(err)
	}
	_ = mounts
	fill(info.Labels["containerd.io/snapshot/overlay.upperdir"])
	if err := sn.Commit(ctx, name, name+"-active"); err != nil {
		t.Fatal(err)
	}
	l, err := s.Hash(ctx, name)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func file(t *testing.T, name, text string) func(string) {
	return func(dir string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func config(t *testing.T, layers ...store.Layer) (raw []byte, chain string) {
	t.Helper()
	c := ocispec.Image{Platform: ocispec.Platform{OS: "linux", Architecture: "amd64"}}
	c.RootFS.Type = "layers"
	for _, l := range layers {
		c.RootFS.DiffIDs = append(c.RootFS.DiffIDs, l.DiffID)
	}
	raw, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	return raw, identity.ChainID(c.RootFS.DiffIDs).String()
}

// build makes an image of two layers the way a build does: under a lease, with
// snapshots of random names, which go with the lease.
func build(t *testing.T, s *store.Store, name string) (target ocispec.Descriptor, chain string, top store.Layer) {
	t.Helper()
	ctx, release, err := s.Lease(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	one := layer(ctx, t, s, name+"-x1", "", file(t, "one", "1"))
	two := layer(ctx, t, s, name+"-x2", name+"-x1", file(t, "two", "22"))
	raw, chain := config(t, one, two)
	target, id, err := s.Commit(ctx, store.NewImage{Names: []string{name}, Config: raw, Layers: []store.Layer{one, two}})
	if err != nil {
		t.Fatal(err)
	}
	if id != digest.FromBytes(raw) {
		t.Errorf("id is %s, not the config's digest", id)
	}
	if err := release(); err != nil {
		t.Fatal(err)
	}
	return target, chain, two
}

func TestOneStoreHasOneOwner(t *testing.T) {
	need.Root(t)
	root := t.TempDir()
	open(t, root)
	_, err := store.Open(context.Background(), root, store.Options{LockTimeout: 50 * time.Millisecond})
	if !errs.Is(err, errs.Conflict) {
		t.Fatalf("a second open gives %v, want a conflict", err)
	}
}

func TestBuiltImageIsNamedNotCopied(t *testing.T) {
	need.Root(t)
	ctx := context.Background()
	s := open(t, t.TempDir())
	s.Ready()
	_, chain, two := build(t, s, "docker.io/library/a:latest")

	if k1, k2 := key(t, s, two.Snapshot), key(t, s, chain); k1 != k2 {
		t.Errorf("the chain is snapshot %s, the build's is %s: want one", k2, k1)
	}
	collect(t, s)
	if _, err := s.Snapshotter().Stat(ctx, two.Snapshot); !errdefs.IsNotFound(err) {
		t.Errorf("the build's own name outlives its lease: %v", err)
	}
	dirs, err := s.Dirs(ctx, chain)
	if err != nil || len(dirs) != 2 {
		t.Fatalf("folders of the image: %v, %v", dirs, err)
	}
	for i, want := range []string{"two", "one"} {
		if _, err := os.Stat(filepath.Join(dirs[i], want)); err != nil {
			t.Error(err)
		}
	}
}

func TestVirtualBlobIsMadeAtFirstRead(t *testing.T) {
	need.Root(t)
	ctx := context.Background()
	root := t.TempDir()
	s := open(t, root)
	s.Ready()
	target, _, two := build(t, s, "docker.io/library/a:latest")
	collect(t, s)

	blob := filepath.Join(root, "content/blobs/sha256", two.DiffID.Encoded())
	if _, err := os.Stat(blob); !os.IsNotExist(err) {
		t.Fatalf("a blob nobody asked for is there: %v", err)
	}
	info, err := s.ContentStore().Info(ctx, two.DiffID)
	if err != nil || info.Size != two.Size {
		t.Fatalf("info of the virtual blob: %+v, %v", info, err)
	}
	raw, err := content.ReadBlob(ctx, s.ContentStore(), ocispec.Descriptor{Digest: two.DiffID, Size: two.Size})
	if err != nil {
		t.Fatal(err)
	}
	if digest.FromBytes(raw) != two.DiffID {
		t.Error("the blob is not what its digest says")
	}
	if _, err := content.ReadBlob(ctx, s.ContentStore(), target); err != nil {
		t.Error(err)
	}
	if _, err := s.ContentStore().ReaderAt(ctx, ocispec.Descriptor{Digest: digest.FromString("none")}); !errdefs.IsNotFound(err) {
		t.Errorf("an unknown blob gives %v", err)
	}
}

// A blob that was made for a reader is there for a while, whoever collects.
func TestAMadeBlobIsNotTakenFromItsReader(t *testing.T) {
	t.Parallel()
	need.Root(t)
	ctx, root := context.Background(), t.TempDir()
	s := open(t, root)
	s.Ready()
	_, _, two := build(t, s, "docker.io/library/a:latest")
	r, err := s.ContentStore().ReaderAt(ctx, ocispec.Descriptor{Digest: two.DiffID, Size: two.Size})
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	collect(t, s)
	if _, err := os.Stat(filepath.Join(root, "content/blobs/sha256", two.DiffID.Encoded())); err != nil {
		t.Errorf("while it is kept: %v", err)
	}
	// Not for the next process: nobody of this one reads it then.
	s.Close()
	s = open(t, root)
	s.Ready()
	collect(t, s)
	if _, err := os.Stat(filepath.Join(root, "content/blobs/sha256", two.DiffID.Encoded())); !os.IsNotExist(err) {
		t.Errorf("it stays: %v", err)
	}
}

func TestChangedLayerIsNotHandedOut(t *testing.T) {
	need.Root(t)
	ctx := context.Background()
	s := open(t, t.TempDir())
	_, chain, two := build(t, s, "docker.io/library/a:latest")
	dirs, err := s.Dirs(ctx, chain)
	if err != nil {
		t.Fatal(err)
	}
	file(t, "two", "33")(dirs[0])
	if _, err := s.ContentStore().ReaderAt(ctx, ocispec.Descriptor{Digest: two.DiffID, Size: two.Size}); err == nil {
		t.Error("a layer whose files changed was handed out under its old digest")
	}
	if left, err := s.ContentStore().ListStatuses(ctx); err != nil || len(left) > 0 {
		t.Errorf("of what was written of it there is left %+v, %v", left, err)
	}
}

func TestWhiteoutsComeBackTheSame(t *testing.T) {
	need.Root(t)
	ctx := context.Background()
	s := open(t, t.TempDir())
	layer(ctx, t, s, "base", "", func(dir string) {
		file(t, "gone", "x")(dir)
		os.MkdirAll(filepath.Join(dir, "d/e"), 0o755)
		os.Symlink("gone", filepath.Join(dir, "link"))
	})
	key := "top-active"
	if _, err := s.Snapshotter().Prepare(ctx, key, "base"); err != nil {
		t.Fatal(err)
	}
	up, err := s.Folder(ctx, key)
	if err != nil {
		t.Fatal(err)
	}
	if err := mknodWhiteout(filepath.Join(up, "gone")); err != nil {
		t.Fatal(err)
	}
	os.WriteFile(filepath.Join(up, "h1"), []byte("hard"), 0o600)
	os.Link(filepath.Join(up, "h1"), filepath.Join(up, "h2"))
	if err := s.Snapshotter().Commit(ctx, "top", key); err != nil {
		t.Fatal(err)
	}
	var a, b bytes.Buffer
	for _, w := range []io.Writer{&a, &b} {
		if err := s.WriteLayer(ctx, "top", w); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(a.Bytes(), b.Bytes()) {
		t.Error("the same layer gave two different tars")
	}
	if !bytes.Contains(a.Bytes(), []byte(".wh.gone")) {
		t.Error("the layer's tar does not delete the file")
	}
}

func TestGarbageWaitsForReady(t *testing.T) {
	need.Root(t)
	ctx := context.Background()
	s := open(t, t.TempDir())
	layer(ctx, t, s, "loose", "", file(t, "f", "x"))
	collect(t, s)
	if _, err := s.Snapshotter().Stat(ctx, "loose"); err != nil {
		t.Fatalf("collected before Ready: %v", err)
	}
	s.Ready()
	collect(t, s)
	if _, err := s.Snapshotter().Stat(ctx, "loose"); !errdefs.IsNotFound(err) {
		t.Fatalf("not collected after Ready: %v", err)
	}
}

func TestHeldImageOutlivesItsName(t *testing.T) {
	need.Root(t)
	ctx := context.Background()
	s := open(t, t.TempDir())
	s.Ready()
	_, chain, _ := build(t, s, "docker.io/library/a:latest")
	img, err := s.ImageStore().Get(ctx, "docker.io/library/a:latest")
	if err != nil {
		t.Fatal(err)
	}
	id := img.Labels[store.LabelConfig]
	for range 2 { // holding twice is holding
		if err := s.HoldImage(ctx, id, chain); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.ImageStore().Delete(ctx, "docker.io/library/a:latest"); err != nil {
		t.Fatal(err)
	}
	collect(t, s)
	if _, err := s.Dirs(ctx, chain); err != nil {
		t.Fatalf("the held chain is gone: %v", err)
	}
	if _, err := s.ContentStore().Info(ctx, digest.Digest(id)); err != nil {
		t.Fatalf("the held config is gone: %v", err)
	}
	held, err := s.HeldImages(ctx)
	if err != nil || len(held) != 1 || held[0] != id {
		t.Fatalf("held images %v, %v", held, err)
	}
	if err := s.ReleaseImages(ctx, id, "sha256:unknown"); err != nil {
		t.Fatal(err)
	}
	collect(t, s)
	if _, err := s.Dirs(ctx, chain); !errdefs.IsNotFound(err) {
		t.Fatalf("the chain outlives everything: %v", err)
	}
	n := 0
	s.Snapshotter().Walk(ctx, func(context.Context, snapshots.Info) error { n++; return nil })
	if n != 0 {
		t.Errorf("%d snapshots are left", n)
	}
}

func TestSameContentTwiceStaysOneImage(t *testing.T) {
	need.Root(t)
	s := open(t, t.TempDir())
	s.Ready()
	ctx := context.Background()
	_, c1, _ := build(t, s, "docker.io/library/a:latest")
	before := key(t, s, c1)
	// The second build has snapshots of its own; its top cannot lie on the
	// first one's chain, and it must not replace what has a name.
	ctx2, release, err := s.Lease(ctx)
	if err != nil {
		t.Fatal(err)
	}
	one := layer(ctx2, t, s, "y1", "", file(t, "one", "1"))
	three := layer(ctx2, t, s, "y3", "y1", file(t, "three", "333"))
	raw, c2 := config(t, one, three)
	if sameTimes := one.DiffID; sameTimes == "" {
		t.Fatal("no diff id")
	}
	if _, _, err := s.Commit(ctx2, store.NewImage{Names: []string{"docker.io/library/b:latest"}, Config: raw, Layers: []store.Layer{one, three}}); err != nil {
		t.Fatal(err)
	}
	release()
	collect(t, s)
	if key(t, s, c1) != before {
		t.Error("the first image's chain changed")
	}
	if _, err := s.Dirs(ctx, c2); err != nil {
		t.Error(err)
	}
}

func TestInterruptedWorkIsGoneAfterReopening(t *testing.T) {
	need.Root(t)
	ctx := context.Background()
	root := t.TempDir()
	s := open(t, root)
	leased, _, err := s.Lease(ctx)
	if err != nil {
		t.Fatal(err)
	}
	layer(leased, t, s, "half", "", file(t, "f", "x"))
	w, err := s.ContentStore().Writer(leased, content.WithRef("half"))
	if err != nil {
		t.Fatal(err)
	}
	w.Write([]byte("some bytes"))
	w.Close()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	s = open(t, root)
	s.Ready()
	collect(t, s)
	if st, err := s.ContentStore().ListStatuses(ctx); err != nil || len(st) != 0 {
		t.Errorf("ingests are left: %v, %v", st, err)
	}
	left, _ := filepath.Glob(filepath.Join(root, "overlayfs/snapshots/*"))
	ingests, _ := filepath.Glob(filepath.Join(root, "content/ingest/*"))
	if len(left)+len(ingests) != 0 {
		t.Errorf("left on disk: %v %v", left, ingests)
	}
}

// A kill between the making of a snapshot's folder and its row leaves the
// folder, under the number that the next snapshot gets.
func TestFolderWithoutARowIsNotInTheWay(t *testing.T) {
	need.Root(t)
	ctx := context.Background()
	for _, snapshotsBefore := range []int{0, 1} {
		root := t.TempDir()
		s := open(t, root)
		for i := range snapshotsBefore {
			layer(ctx, t, s, fmt.Sprint("before", i), "", file(t, "f", "x"))
		}
		s.Close()
		for number := range 5 {
			left := filepath.Join(root, "overlayfs/snapshots", fmt.Sprint(snapshotsBefore+number+1), "fs")
			os.MkdirAll(left, 0o755)
			file(t, "left", "x")(left)
		}
		s = open(t, root)
		l := layer(ctx, t, s, "new", "", file(t, "f", "y"))
		dirs, err := s.Dirs(ctx, l.Snapshot)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(dirs[0], "left")); err == nil {
			t.Error("the new snapshot has the old one's files")
		}
	}
}

func TestLostNameLeavesADanglingImage(t *testing.T) {
	need.Root(t)
	ctx := context.Background()
	s := open(t, t.TempDir())
	build(t, s, "docker.io/library/a:latest")
	img, err := s.ImageStore().Get(ctx, "docker.io/library/a:latest")
	if err != nil {
		t.Fatal(err)
	}
	gen := s.Generation()
	raw, _ := config(t)
	if _, _, err := s.Commit(ctx, store.NewImage{Names: []string{img.Name}, Config: raw}); err != nil {
		t.Fatal(err)
	}
	if s.Generation() == gen {
		t.Error("the change of a name was not counted")
	}
	old, err := s.ImageStore().Get(ctx, store.DanglingPrefix+img.Labels[store.LabelConfig])
	if err != nil || old.Target.Digest != img.Target.Digest {
		t.Fatalf("the former image: %+v, %v", old, err)
	}
	old.Name = "docker.io/library/back:latest"
	if err := s.SetName(ctx, old); err != nil {
		t.Fatal(err)
	}
	if _, err := s.ImageStore().Get(ctx, store.DanglingPrefix+img.Labels[store.LabelConfig]); !errdefs.IsNotFound(err) {
		t.Errorf("still dangling beside its new name: %v", err)
	}
}

// Whoever names an image may be late: it is gone by then.
func TestANameIsForWhatIsThere(t *testing.T) {
	t.Parallel()
	need.Root(t)
	ctx := context.Background()
	s := open(t, t.TempDir())
	s.Ready()
	build(t, s, "docker.io/library/a:latest")
	img, err := s.ImageStore().Get(ctx, "docker.io/library/a:latest")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.ImageStore().Delete(ctx, img.Name); err != nil {
		t.Fatal(err)
	}
	collect(t, s)
	if err := s.SetName(ctx, img); !errdefs.IsNotFound(err) {
		t.Errorf("it is named: %v", err)
	}
	if all, err := s.ImageStore().List(ctx); err != nil || len(all) > 0 {
		t.Errorf("there are names %v, %v", all, err)
	}
}

func collect(t *testing.T, s *store.Store) {
	t.Helper()
	if _, err := s.GarbageCollect(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func key(t *testing.T, s *store.Store, name string) string {
	t.Helper()
	k, err := s.BackendKey(context.Background(), name)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// Whoever reads a blob labels it with where it came from, each time anew: what
// changes nothing is not written.
func TestALabelThatIsThereIsNotWritten(t *testing.T) {
	t.Parallel()
	need.Root(t)
	ctx := context.Background()
	s := open(t, t.TempDir())
	desc := ocispec.Descriptor{Digest: digest.FromString("blob"), Size: 4}
	if err := content.WriteBlob(ctx, s.ContentStore(), "ref", bytes.NewReader([]byte("blob")), desc); err != nil {
		t.Fatal(err)
	}
	label := func(key, value string, fields ...string) content.Info {
		info, err := s.ContentStore().Update(ctx, content.Info{Digest: desc.Digest, Labels: map[string]string{key: value}}, fields...)
		if err != nil {
			t.Fatal(err)
		}
		return info
	}
	first := label("a", "1", "labels.a")
	if again := label("a", "1", "labels.a"); !again.UpdatedAt.Equal(first.UpdatedAt) || again.Labels["a"] != "1" {
		t.Errorf("the same label again gave %v, before %v", again, first)
	}
	if other := label("a", "2", "labels.a"); other.Labels["a"] != "2" {
		t.Errorf("another value gave %v", other.Labels)
	}
	if both := label("b", "3", "labels.a", "labels.b"); both.Labels["a"] != "" || both.Labels["b"] != "3" {
		t.Errorf("one gone and one new gave %v", both.Labels)
	}
	if all := label("c", "4", "labels"); len(all.Labels) != 1 || all.Labels["c"] != "4" {
		t.Errorf("all labels anew gave %v", all.Labels)
	}
}
