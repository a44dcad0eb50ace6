package image_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"lus/internal/base/errs"
	model "lus/internal/model/image"
)

// platform is an image of an index, whose file "arch" says for which it is.
func platform(t *testing.T, os, arch string) mutate.IndexAddendum {
	t.Helper()
	img := configured(t, imageOf(t, layer(t, entry{name: "arch", text: arch})), os, arch)
	return mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: os, Architecture: arch}}}
}

// layoutOf is an OCI layout as a tar: one index with a name, as Docker and
// buildx write it. Of the images in missing it has no blob.
func layoutOf(t *testing.T, name string, images []mutate.IndexAddendum, missing ...mutate.IndexAddendum) []byte {
	t.Helper()
	index := mutate.AppendManifests(empty.Index, append(missing, images...)...)
	dir := t.TempDir()
	at, err := layout.Write(dir, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	if err := at.AppendIndex(index, layout.WithAnnotations(map[string]string{"io.containerd.image.name": name})); err != nil {
		t.Fatal(err)
	}
	for _, m := range missing {
		removeBlobs(t, dir, m.Add.(v1.Image))
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.AddFS(os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func removeBlobs(t *testing.T, dir string, img v1.Image) {
	t.Helper()
	config, top := partsOf(t, img)
	manifest, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{config, top, manifest.String()} {
		if err := os.Remove(filepath.Join(dir, "blobs", filepath.FromSlash(d[:6]), d[7:])); err != nil {
			t.Fatal(err)
		}
	}
}

// An archive for several platforms gives the image for this host, whichever
// comes first, and those of which nothing is in it do not matter. What came is
// whole: it can be saved and pushed.
func TestAnIndexIsLoadedForThisHost(t *testing.T) {
	arm, here, s390 := platform(t, "linux", "arm64"), platform(t, "linux", "amd64"), platform(t, "linux", "s390x")
	notes := platform(t, "unknown", "unknown")
	notes.Annotations = map[string]string{"vnd.docker.reference.type": "attestation-manifest"}
	for name, c := range map[string]struct {
		has, lacks []mutate.IndexAddendum
		want       string // nothing: it is refused
	}{
		"this host's comes last":  {[]mutate.IndexAddendum{arm, s390, here}, nil, "amd64"},
		"only this host's is in":  {[]mutate.IndexAddendum{here}, []mutate.IndexAddendum{arm, s390}, "amd64"},
		"attestations come first": {[]mutate.IndexAddendum{notes, here}, nil, "amd64"},
		"none is for this host":   {[]mutate.IndexAddendum{s390}, []mutate.IndexAddendum{here, arm}, "s390x"},
		"none is in":              {nil, []mutate.IndexAddendum{arm, here}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			ref := w.reg.host + "/loaded:1"
			err := w.LoadImages(context.Background(), bytes.NewReader(layoutOf(t, ref, c.has, c.lacks...)), nil)
			if c.want == "" && errs.Is(err, errs.Invalid) {
				return
			}
			if err != nil || c.want == "" {
				t.Fatal(err)
			}
			w.collect()
			if got, _ := w.read(ref, "arch"); got != c.want {
				t.Errorf("it is for %q", got)
			}
			again := bytes.NewReader(w.save(ref))
			if err := w.PushImage(context.Background(), ref, "", nil, nil); err != nil {
				t.Errorf("pushed: %v", err)
			}
			other := &world{t: t, root: t.TempDir(), users: &users{}}
			other.open()
			defer other.store.Close()
			if err := other.LoadImages(context.Background(), again, nil); err != nil {
				t.Errorf("saved again: %v", err)
			} else if got, _ := other.read(ref, "arch"); got != c.want {
				t.Errorf("saved again, it is for %q", got)
			}
		})
	}
}

// Whoever stops in the middle of an archive keeps nobody else from loading.
func TestALoadThatStandsStillHoldsUpNobody(t *testing.T) {
	w := newWorld(t)
	w.importTar("app:1", tarOf(t, entry{name: "f", text: "x"}))
	saved := w.save("app:1")
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	more, sends := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		ended <- w.LoadImages(ctx, more, nil)
	}()
	if _, err := sends.Write(saved[:len(saved)/2]); err != nil {
		t.Fatal(err)
	}
	var said []string
	err := w.LoadImages(context.Background(), bytes.NewReader(saved), func(p model.Progress) { said = append(said, p.Stream) })
	if err != nil || len(said) == 0 {
		t.Errorf("beside it: %v, %q", err, said)
	}
	if _, err := sends.Write(saved[len(saved)/2:]); err != nil {
		t.Fatal(err)
	}
	sends.Close()
	if err := <-ended; err != nil {
		t.Errorf("in the end: %v", err)
	}
}

// An archive without one of its layers is refused, also where that layer's files are
// here: what came could be saved and pushed no more.
func TestAnArchiveWithoutALayerIsRefused(t *testing.T) {
	w := newWorld(t)
	ref := w.reg.host + "/loaded:1"
	here := platform(t, "linux", "amd64")
	whole := layoutOf(t, ref, []mutate.IndexAddendum{here})
	_, top := partsOf(t, here.Add.(v1.Image))
	var b bytes.Buffer
	out, in := tar.NewWriter(&b), tar.NewReader(bytes.NewReader(whole))
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if filepath.Base(h.Name) == top[7:] {
			continue
		}
		if err := out.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(out, in); err != nil {
			t.Fatal(err)
		}
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	if err := w.LoadImages(context.Background(), bytes.NewReader(b.Bytes()), nil); !errs.Is(err, errs.Invalid) {
		t.Errorf("where nothing of it is here: %v", err)
	}
	if err := w.LoadImages(context.Background(), bytes.NewReader(whole), nil); err != nil {
		t.Fatal(err)
	}
	// A container holds the layer's files.
	if _, err := w.Layers(context.Background(), w.inspect(ref).ID); err != nil {
		t.Fatal(err)
	}
	if _, err := w.RemoveImage(context.Background(), ref, true, true); err != nil {
		t.Fatal(err)
	}
	w.collect()
	if err := w.LoadImages(context.Background(), bytes.NewReader(b.Bytes()), nil); !errs.Is(err, errs.Invalid) || !strings.Contains(err.Error(), "is not in it") {
		t.Errorf("where its files are here: %v", err)
	}
	if i, err := w.InspectImage(context.Background(), ref); !errs.Is(err, errs.NotFound) {
		t.Errorf("there is %+v, %v", i, err)
	}
}
