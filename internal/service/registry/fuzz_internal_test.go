package registry

import (
	"errors"
	"strings"
	"testing"

	"lus/internal/base/errs"
	"lus/internal/model/registry"
)

// A manifest is whatever somebody pushed. It is refused with a code of the
// specification, or what it names can be looked up.
func FuzzManifest(f *testing.F) {
	const digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	const config = `"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"` + digest + `","size":2}`
	f.Add("application/vnd.oci.image.manifest.v1+json", []byte(`{"schemaVersion":2,`+config+`,"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"`+digest+`","size":1}]}`))
	f.Add("", []byte(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"digest":"`+digest+`"}],"subject":{"digest":"`+digest+`"}}`))
	f.Add("application/vnd.docker.distribution.manifest.v2+json; charset=utf-8", []byte(`{"schemaVersion":2,`+config+`,"fsLayers":null}`))
	f.Fuzz(func(t *testing.T, mediaType string, raw []byte) {
		d, err := readManifest(mediaType, raw)
		if err != nil {
			var code registry.Code
			if !errors.As(err, &code) || !errs.Is(err, errs.Invalid) {
				t.Fatalf("refused without a code: %v", err)
			}
			return
		}
		if d.isIndex() && len(d.blobs()) > 0 {
			t.Fatalf("%q was taken for an index with blobs", raw)
		}
		for _, desc := range append(d.blobs(), d.Manifests...) {
			if desc.Digest.Validate() != nil || desc.Size < 0 || strings.ContainsAny(desc.Digest.String(), "/.") {
				t.Fatalf("%q was taken, with the digest %q of %d bytes", raw, desc.Digest, desc.Size)
			}
		}
		_ = d.kind()
	})
}
