package image

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"lus/internal/base/errs"
	"lus/test/need"
	"lus/test/tars"
)

// A layer is whatever somebody pushed: whatever its entries are called and link
// to, whiteouts too, nothing outside its folder changes.
func FuzzLayer(f *testing.F) {
	need.Root(f)
	f.Add("5d\n0d/f\n2d/l->/\n0d/l/new\n0d/.wh.f")
	f.Add("0../out/kept\n1h->../out/kept\n0.wh..\n0.wh..wh..opq\n2.->/")
	f.Add("2a->../out\n0a/kept\n0a/.wh.kept\n1x->a/kept\n5a\n0a/.wh..wh..opq")
	f.Fuzz(func(t *testing.T, script string) {
		top := t.TempDir()
		out, dir := filepath.Join(top, "out"), filepath.Join(top, "layer")
		for _, d := range []string{out, dir} {
			if err := os.Mkdir(d, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		kept := filepath.Join(out, "kept")
		if err := os.WriteFile(kept, []byte("kept"), 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := (&Service{}).applyTar(t.Context(), tars.Scripted(script), 1<<20, dir)
		var kind *errs.Error
		if err != nil && !errors.As(err, &kind) {
			t.Fatalf("an error without a kind: %v", err)
		}
		var st unix.Stat_t
		text, err := os.ReadFile(kept)
		if err != nil || string(text) != "kept" || unix.Lstat(kept, &st) != nil || st.Nlink != 1 || st.Mode != unix.S_IFREG|0o644 {
			t.Fatalf("the file outside is %q (%v), %+v", text, err, st)
		}
		for place, want := range map[string]int{out: 1, top: 2} {
			if entries, err := os.ReadDir(place); err != nil || len(entries) != want {
				t.Fatalf("%s has %v, %v", filepath.Base(place), entries, err)
			}
		}
	})
}

// A config comes from whoever pushed the image.
func FuzzConfig(f *testing.F) {
	f.Add([]byte(`{"architecture":"amd64","os":"linux","config":{"Env":["A=b"],"Cmd":["x"],"ExposedPorts":{"80/tcp":{}}},"rootfs":{"type":"layers","diff_ids":["sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"]},"history":[{"created":"2020-01-01T00:00:00Z","empty_layer":true}]}`))
	f.Add([]byte(`{"created":null,"history":null,"rootfs":{"diff_ids":[""]}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		id := digest.FromBytes(raw).String()
		i, err := readConfig(id, raw)
		if err != nil {
			if i != nil {
				t.Fatalf("%q: an image and an error", raw)
			}
			return
		}
		for _, l := range i.Layers {
			if digest.Digest(l).Validate() != nil {
				t.Fatalf("%q: the layer %q was taken", raw, l)
			}
		}
		if len(i.Layers) > 0 {
			chainIDs(i.Layers)
		}
		if _, err := json.Marshal(i.Config); err != nil {
			t.Fatalf("%q was taken and cannot be shown: %v", raw, err)
		}
	})
}

// An index comes from a registry; the choice in it names no manifest that it
// does not have.
func FuzzChoose(f *testing.F) {
	f.Add([]byte(`[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":7,"platform":{"os":"linux","architecture":"arm64","variant":"v8"}}]`))
	f.Add([]byte(`[{"mediaType":"application/vnd.oci.image.index.v1+json","platform":{"os":"linux","architecture":"amd64","variant":"v9"}},{}]`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var list []ocispec.Descriptor
		if json.Unmarshal(raw, &list) != nil {
			t.Skip()
		}
		p := chooser(t)
		got, err := p.choose(list)
		if err != nil {
			return
		}
		for _, d := range list {
			if d.Digest == got.Digest && d.MediaType == got.MediaType {
				return
			}
		}
		t.Fatalf("%q: %+v is not in the list", raw, got)
	})
}

// chooser is a pull for one platform.
func chooser(t *testing.T) *pull {
	t.Helper()
	named, err := parse("x")
	if err != nil {
		t.Fatal(err)
	}
	return &pull{named: named, match: platforms.Only(ocispec.Platform{OS: "linux", Architecture: "amd64"})}
}

// FuzzReference: names come from people, files and other machines.
func FuzzReference(f *testing.F) {
	for _, s := range []string{"busybox", "a/b:1", "x@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "127.0.0.1:5000/a", "A", "..", "a//b", "sha256:abc"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		named, err := parse(s)
		if err != nil {
			return
		}
		again, err := parse(named.String())
		if err != nil || again.String() != named.String() {
			t.Fatalf("%q is %q, and that is %v (%v)", s, named, again, err)
		}
	})
}
