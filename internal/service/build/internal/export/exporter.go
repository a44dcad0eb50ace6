// Package export turns what was built into an image of the one store. A layer
// is hashed once where it lies, its snapshot gets the chain's name as a second
// one, and names, layers and image come to be in one transaction. No blob of a
// layer is written until somebody asks for it.
package export

import (
	"context"
	"slices"
	"strings"

	"github.com/distribution/reference"
	"github.com/moby/buildkit/exporter"
	"github.com/moby/buildkit/exporter/containerimage"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	snapshot "github.com/moby/buildkit/snapshot/containerd"
	"github.com/moby/buildkit/util/compression"

	"lus/internal/base/errs"
	"lus/internal/store/content"
)

// AttrNames is the attribute with the image's names, separated by commas.
const AttrNames = "name"

// Options are what an Exporter needs.
type Options struct {
	Store   *content.Store
	Content *snapshot.Store // the store's blobs, as BuildKit wants them
	// Built is told of each image, while its build still runs; nil tells nobody.
	Built func(ctx context.Context, id string)
}

// Exporter exports to the store.
type Exporter struct {
	o Options
}

// New returns an Exporter.
func New(o Options) *Exporter { return &Exporter{o: o} }

// Resolve implements exporter.Exporter.
func (e *Exporter) Resolve(_ context.Context, id int, attrs map[string]string) (exporter.ExporterInstance, error) {
	i := &instance{Exporter: e, id: id, attrs: attrs}
	var err error
	if i.notes, err = annotations(attrs); err != nil {
		return nil, err
	}
	for name := range strings.SplitSeq(attrs[AttrNames], ",") {
		if name == "" {
			continue
		}
		full, err := fullName(name)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(i.names, full) {
			i.names = append(i.names, full)
		}
	}
	return i, nil
}

// fullName is a name as the store keeps it.
func fullName(name string) (string, error) {
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return "", errs.New(errs.Invalid, "invalid tag %q: %w", name, err)
	}
	if _, ok := named.(reference.Digested); ok {
		return "", errs.New(errs.Invalid, "invalid tag %q: an image cannot be built under a digest, give it a name like app:latest", name)
	}
	return reference.TagNameOnly(named).String(), nil
}

// instance is one export.
type instance struct {
	*Exporter
	id    int
	attrs map[string]string
	names []string
	notes containerimage.AnnotationsGroup
}

// ID implements exporter.ExporterInstance.
func (i *instance) ID() int { return i.id }

// Name implements exporter.ExporterInstance; progress shows it.
func (i *instance) Name() string { return "exporting to image" }

// Config implements exporter.ExporterInstance. A cache that goes with the image
// tells of its layers by their places: how they are packed is all the same to it.
func (i *instance) Config() *exporter.Config {
	return exporter.NewConfigWithCompression(compression.New(compression.Uncompressed))
}

// Type implements exporter.ExporterInstance.
func (i *instance) Type() string { return "image" }

// Attrs implements exporter.ExporterInstance.
func (i *instance) Attrs() map[string]string { return i.attrs }

// Export implements exporter.ExporterInstance.
func (i *instance) Export(ctx context.Context, src *exporter.Source, info exporter.ExportBuildInfo) (map[string]string, exporter.FinalizeFunc, exporter.DescriptorReference, error) {
	id, err := i.export(ctx, src, info)
	if err != nil {
		return nil, nil, nil, err
	}
	if i.o.Built != nil {
		i.o.Built(ctx, id)
	}
	// An image is known by its config here, as in Docker's own store.
	told := map[string]string{exptypes.ExporterImageConfigDigestKey: id, exptypes.ExporterImageDigestKey: id}
	if len(i.names) > 0 {
		told["image.name"] = strings.Join(i.names, ",")
	}
	return told, nil, nil, nil
}
