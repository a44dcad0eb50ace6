package registry

import (
	"encoding/json"
	"mime"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"lus/internal/base/errs"
	"lus/internal/model/registry"
)

// MaxManifest bounds a manifest, as the specification recommends.
const MaxManifest = 4 << 20

// The types of manifests besides those of OCI.
const (
	dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	dockerList     = "application/vnd.docker.distribution.manifest.list.v2+json"
	dockerForeign  = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
)

// document is a manifest or an index as far as a registry reads one.
type document struct {
	SchemaVersion int                  `json:"schemaVersion"`
	MediaType     string               `json:"mediaType"`
	ArtifactType  string               `json:"artifactType"`
	Config        *ocispec.Descriptor  `json:"config"`
	Layers        []ocispec.Descriptor `json:"layers"`
	Manifests     []ocispec.Descriptor `json:"manifests"`
	FSLayers      json.RawMessage      `json:"fsLayers"`
	Subject       *ocispec.Descriptor  `json:"subject"`
	Annotations   map[string]string    `json:"annotations"`
}

func invalidManifest(format string, args ...any) error {
	return registry.Fail(errs.Invalid, registry.ManifestInvalid, format, args...)
}

// readManifest reads what was pushed as mediaType; empty leaves the type to the
// manifest itself. What could be read as two things is refused.
func readManifest(mediaType string, raw []byte) (*document, error) {
	if len(raw) > MaxManifest {
		return nil, registry.Fail(errs.Invalid, registry.SizeInvalid, "the manifest is larger than %d bytes", MaxManifest)
	}
	var d document
	if err := json.Unmarshal(raw, &d); err != nil {
		return nil, invalidManifest("the manifest is not valid JSON: %s", err)
	}
	if mediaType != "" {
		t, _, err := mime.ParseMediaType(mediaType)
		if err != nil {
			return nil, invalidManifest("the manifest's content type %.80q is none: %s", mediaType, err)
		}
		if d.MediaType != "" && d.MediaType != t {
			return nil, invalidManifest("the manifest calls itself %.80q and was sent as %.80q", d.MediaType, t)
		}
		d.MediaType = t
	}
	if d.SchemaVersion != 2 {
		return nil, invalidManifest("manifests of schema version %d are not taken: push with a client of this decade", d.SchemaVersion)
	}
	return &d, d.check()
}

func (d *document) check() error {
	switch {
	case d.FSLayers != nil:
		return invalidManifest("a manifest of schema version 2 has no fsLayers")
	case d.isIndex() && (d.Config != nil || d.Layers != nil):
		return invalidManifest("an index has no config and no layers")
	case !d.isIndex() && d.Manifests != nil:
		return invalidManifest("a manifest has no list of manifests")
	}
	switch d.MediaType {
	case ocispec.MediaTypeImageManifest, dockerManifest:
		if d.Config == nil {
			return invalidManifest("the manifest has no config")
		}
	case ocispec.MediaTypeImageIndex, dockerList:
	case "":
		return invalidManifest("the manifest does not say of which type it is")
	default:
		return invalidManifest("manifests of type %.80q are not taken", d.MediaType)
	}
	all := append(d.blobs(), d.Manifests...)
	if d.Subject != nil {
		all = append(all, *d.Subject)
	}
	for _, desc := range all {
		if _, err := parseDigest(desc.Digest.String()); err != nil {
			return invalidManifest("the manifest names %.80q: %s", desc.Digest.String(), err)
		}
		if desc.Size < 0 {
			return invalidManifest("the manifest says that %s has %d bytes", desc.Digest, desc.Size)
		}
	}
	return nil
}

func (d *document) isIndex() bool {
	return d.MediaType == ocispec.MediaTypeImageIndex || d.MediaType == dockerList
}

// blobs are config and layers, less the layers that lie elsewhere by right.
func (d *document) blobs() []ocispec.Descriptor {
	var out []ocispec.Descriptor
	if d.Config != nil {
		out = append(out, *d.Config)
	}
	for _, l := range d.Layers {
		switch l.MediaType {
		case ocispec.MediaTypeImageLayerNonDistributable, ocispec.MediaTypeImageLayerNonDistributableGzip, ocispec.MediaTypeImageLayerNonDistributableZstd, dockerForeign: //nolint:staticcheck // they are still pushed
			if len(l.URLs) > 0 {
				continue
			}
		}
		out = append(out, l)
	}
	return out
}

// kind is the artifact type by which referrers are filtered.
func (d *document) kind() string {
	if d.ArtifactType == "" && d.Config != nil {
		return d.Config.MediaType
	}
	return d.ArtifactType
}
