package export

import (
	"maps"

	"github.com/moby/buildkit/exporter"
	"github.com/moby/buildkit/exporter/containerimage"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"

	"lus/internal/base/errs"
)

// annotations are those among an exporter's attributes.
func annotations(attrs map[string]string) (containerimage.AnnotationsGroup, error) {
	raw := map[string][]byte{}
	for k, v := range attrs {
		raw[k] = []byte(v)
	}
	notes, _, err := containerimage.ParseAnnotations(raw)
	if err != nil {
		return nil, errs.New(errs.Invalid, "an annotation: %w", err)
	}
	for _, a := range notes {
		if len(a.Index)+len(a.IndexDescriptor)+len(a.ManifestDescriptor) > 0 {
			return nil, errs.New(errs.Unsupported, "an image in the store has a manifest and no index: annotate the manifest, or send it elsewhere, as with --output type=oci,dest=FILE")
		}
	}
	return notes, nil
}

// ManifestOnly leaves out the annotations that an image in the store has no place for.
func ManifestOnly(attrs map[string]string) map[string]string {
	out := maps.Clone(attrs)
	maps.DeleteFunc(out, func(key, _ string) bool {
		a, ok, err := exptypes.ParseAnnotationKey(key)
		return ok && err == nil && a.Type != exptypes.AnnotationManifest
	})
	return out
}

// annotations are those of the manifest of what was built: the frontend's, and over
// them those that the client asked for.
func (i *instance) annotations(src *exporter.Source) (map[string]string, error) {
	own, _, err := containerimage.ParseAnnotations(src.Metadata)
	if err != nil {
		return nil, errs.New(errs.Invalid, "an annotation of the frontend: %w", err)
	}
	ps, err := exptypes.ParsePlatforms(src.Metadata)
	if err != nil {
		return nil, err
	}
	return own.Merge(i.notes).Platform(&ps.Platforms[0].Platform).Manifest, nil
}
