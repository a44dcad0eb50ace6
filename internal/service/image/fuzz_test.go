package image_test

import (
	"bytes"
	"errors"
	"testing"

	"lus/internal/base/errs"
	model "lus/internal/model/image"
	"lus/internal/service/image"
	"lus/internal/store/content"
	"lus/test/need"
)

// An archive comes from anywhere: its manifest.json, its index and its configs
// are whatever somebody wrote. It is loaded, or refused as a whole with a kind.
func FuzzArchive(f *testing.F) {
	need.Root(f)
	const config = `{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":["sha256:DIFF"]}}`
	f.Add([]byte(`[{"Config":"c.json","RepoTags":["a:1"],"Layers":["l.tar"]}]`), []byte(config), []byte(`{"imageLayoutVersion":"1.0.0"}`), []byte{})
	f.Add([]byte(`[{"Config":"../c.json","RepoTags":["A B"],"Layers":[]}]`), []byte(`{"rootfs":{"type":"layers","diff_ids":null}}`), []byte{}, []byte{})
	f.Add([]byte{}, []byte(config), []byte(`{"imageLayoutVersion":"1.0.0"}`), []byte(`{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:0000000000000000000000000000000000000000000000000000000000000000","size":3}]}`))
	f.Add([]byte(`null`), []byte(`{}`), []byte(`{}`), []byte(`{"manifests":[{}]}`))
	st, err := content.Open(f.Context(), f.TempDir(), content.Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = st.Close() })
	s, err := image.New(image.Deps{Store: st})
	if err != nil {
		f.Fatal(err)
	}
	st.Ready()
	layer := tarOf(f, entry{name: "f", text: "text"})
	diff := []byte(hashOf(f, layer).Hex)
	f.Fuzz(func(t *testing.T, manifest, config, layout, index []byte) {
		archive := []entry{{name: "c.json", text: string(bytes.ReplaceAll(config, []byte("DIFF"), diff))}, {name: "l.tar", text: string(layer)}}
		for name, text := range map[string][]byte{"manifest.json": manifest, "oci-layout": layout, "index.json": index} {
			if len(text) > 0 {
				archive = append(archive, entry{name: name, text: string(text)})
			}
		}
		err := s.LoadImages(t.Context(), bytes.NewReader(tarOf(t, archive...)), func(model.Progress) {})
		var kind *errs.Error
		if err != nil && (!errors.As(err, &kind) || kind.Kind == errs.Internal) {
			t.Fatalf("an error without a kind: %v", err)
		}
		list, err := s.ListImages(t.Context(), true, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range list {
			if _, err := s.InspectImage(t.Context(), i.ID); err != nil {
				t.Fatalf("%s was loaded and cannot be inspected: %v", i.ID, err)
			}
			if _, err := s.RemoveImage(t.Context(), i.ID, true, true); err != nil {
				t.Fatalf("%s was loaded and cannot be removed: %v", i.ID, err)
			}
		}
	})
}
