package build_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"lus/internal/model/build"
	service "lus/internal/service/build"
	"lus/internal/service/build/internal/untar"
	store "lus/internal/store/content"
	"lus/test/need"
)

// builder is a builder on a store of its own that has the image busybox.
type builder struct {
	*service.Service
	t      testing.TB
	root   string
	store  *store.Store
	room   *engineRoom
	closed bool
}

func newBuilder(t testing.TB) *builder {
	t.Helper()
	need.Root(t)
	return openBuilder(t, t.TempDir(), nil)
}

// openBuilder opens a builder on root, which may have been used before.
func openBuilder(t testing.TB, root string, network service.Network) *builder {
	t.Helper()
	st, err := store.Open(t.Context(), filepath.Join(root, "images"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	st.Ready()
	b := &builder{t: t, root: root, store: st}
	if _, err := st.ImageStore().Get(t.Context(), "docker.io/library/busybox:latest"); err != nil {
		b.importTar("busybox", need.BusyboxTar(t))
	}
	b.room = newRuntime(t, root)
	b.Service, err = service.New(service.Deps{
		Root: filepath.Join(root, "build"), Store: st, Runtime: b.room, Network: network, Cgroup: b.room.cgroup, Allow: []string{"network.host"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.close)
	return b
}

// importTar makes an image of one layer.
func (b *builder) importTar(name string, tar []byte) {
	b.t.Helper()
	ctx := b.store.Context(b.t.Context())
	sn := b.store.Snapshotter()
	mounts, err := sn.Prepare(ctx, "import-"+name, "")
	must(b.t, err)
	must(b.t, untar.Unpack(ctx, bytes.NewReader(tar), mounts[0].Source))
	must(b.t, os.Chmod(mounts[0].Source, 0o755))
	must(b.t, sn.Commit(ctx, "imported-"+name, "import-"+name, snapshots.WithLabels(map[string]string{"containerd.io/gc.root": "now"})))
	layer, err := b.store.Hash(ctx, "imported-"+name)
	must(b.t, err)
	created := time.Unix(1700000000, 0).UTC()
	img := ocispec.Image{Created: &created, Platform: ocispec.Platform{Architecture: "amd64", OS: "linux"}}
	img.Config.Env = []string{"PATH=/bin"}
	img.RootFS = ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{layer.DiffID}}
	img.History = []ocispec.History{{Created: &created, CreatedBy: "import"}}
	config, err := json.Marshal(img)
	must(b.t, err)
	_, _, err = b.store.Commit(ctx, store.NewImage{Names: []string{"docker.io/library/" + name + ":latest"}, Config: config, Layers: []store.Layer{layer}})
	must(b.t, err)
}

// readBlob reads a blob to its end.
func (b *builder) readBlob(d digest.Digest) error {
	r, err := b.store.ContentStore().ReaderAt(b.t.Context(), ocispec.Descriptor{Digest: d})
	if err != nil {
		return err
	}
	defer r.Close()
	v := d.Verifier()
	if _, err := io.Copy(v, io.NewSectionReader(r, 0, r.Size())); err != nil {
		return err
	}
	if !v.Verified() {
		return fmt.Errorf("its bytes do not have this digest")
	}
	return nil
}

// close closes the builder and its store; another may then open the root.
func (b *builder) close() {
	b.t.Helper()
	if b.closed {
		return
	}
	b.closed = true
	if err := b.Close(); err != nil {
		b.t.Error(err)
	}
	if err := b.store.Close(); err != nil {
		b.t.Error(err)
	}
	b.room.close(b.t)
	noMountsBelow(b.t, b.root)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// folder writes files into a new folder: path -> text.
func folder(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		must(t, os.WriteFile(path, []byte(text), 0o644))
	}
	return dir
}

// built is what a build gave.
type built struct {
	id     string
	output string
	err    error
}

// build builds a folder; change may alter the request.
func (b *builder) build(dir string, change ...func(*build.Request)) built {
	b.t.Helper()
	req := &build.Request{ContextDir: dir, Tags: []string{"app"}}
	for _, f := range change {
		f(req)
	}
	var out syncBuffer
	id, err := b.Build(b.t.Context(), req, &out)
	return built{id: id, output: out.String(), err: err}
}

// ok fails the test where the build failed.
func (r built) ok(t testing.TB) built {
	t.Helper()
	if r.err != nil {
		t.Fatalf("the build failed: %v\n%s", r.err, r.output)
	}
	return r
}

// file builds a Dockerfile with files beside it.
func (b *builder) file(dockerfile string, files map[string]string, change ...func(*build.Request)) built {
	b.t.Helper()
	all := map[string]string{"Dockerfile": dockerfile}
	for k, v := range files {
		all[k] = v
	}
	return b.build(folder(b.t, all), change...)
}

// config is a built image's config.
func (b *builder) config(id string) ocispec.Image {
	b.t.Helper()
	var img ocispec.Image
	must(b.t, json.Unmarshal(b.rawConfig(id), &img))
	return img
}

func (b *builder) rawConfig(id string) []byte {
	b.t.Helper()
	text, err := content.ReadBlob(b.t.Context(), b.store.ContentStore(), ocispec.Descriptor{Digest: digest.Digest(id)})
	must(b.t, err)
	return text
}

// read gives a file of a built image, found as the engine finds it: in the
// folders of the chain, topmost first.
func (b *builder) read(id, path string) (string, error) {
	b.t.Helper()
	dirs, err := b.store.Dirs(b.t.Context(), chainID(b.config(id)))
	must(b.t, err)
	for _, dir := range dirs {
		st, err := os.Lstat(filepath.Join(dir, path))
		if err != nil {
			continue
		}
		if st.Mode()&os.ModeCharDevice != 0 {
			return "", os.ErrNotExist // a whiteout
		}
		text, err := os.ReadFile(filepath.Join(dir, path))
		return string(text), err
	}
	return "", os.ErrNotExist
}

func (b *builder) wantFile(id, path, want string) {
	b.t.Helper()
	got, err := b.read(id, path)
	if err != nil || strings.TrimSpace(got) != want {
		b.t.Errorf("%s holds %q (%v), want %q", path, got, err, want)
	}
}

func (b *builder) hasImage(name string) bool {
	_, err := b.store.ImageStore().Get(b.t.Context(), "docker.io/library/"+name)
	return err == nil
}

// chainID is the name of the snapshot that shows an image's file system.
func chainID(img ocispec.Image) string {
	chain := img.RootFS.DiffIDs[0]
	for _, d := range img.RootFS.DiffIDs[1:] {
		chain = digest.FromString(chain.String() + " " + d.String())
	}
	return chain.String()
}

// noMountsBelow fails where something is left mounted.
func noMountsBelow(t testing.TB, root string) {
	t.Helper()
	text, err := os.ReadFile("/proc/self/mountinfo")
	must(t, err)
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, root) {
			t.Errorf("left mounted: %s", line)
		}
	}
}

// syncBuffer may be written and read at once.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// waitFor waits until the buffer holds text.
func (s *syncBuffer) waitFor(t testing.TB, text string) {
	t.Helper()
	for end := time.Now().Add(5 * time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if strings.Contains(s.String(), text) {
			return
		}
	}
	t.Fatalf("%q did not come; got:\n%s", text, s.String())
}
