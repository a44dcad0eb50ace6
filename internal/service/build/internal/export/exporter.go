// Package export turns what was built into an image of the one store. A layer
// is hashed once where it lies, its snapshot gets the chain's name as a second
// one, and names, layers and image come to be in one transaction. No blob of a
// layer is written until somebody asks for it.
package export

import (
	"context"
	"strings"

	"github.com/moby/buildkit/exporter"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	snapshot "github.com/moby/buildkit/snapshot/containerd"

	"lus/internal/store/content"
)

// AttrNames is the attribute with the image's full names, separated by commas.
const AttrNames = "names"

// Options are what an Exporter needs.
type Options struct {
	Store   *content.Store
	Content *snapshot.Store // the store's blobs, as BuildKit wants them
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
	for name := range strings.SplitSeq(attrs[AttrNames], ",") {
		if name != "" {
			i.names = append(i.names, name)
		}
	}
	return i, nil
}

// instance is one export.
type instance struct {
	*Exporter
	id    int
	attrs map[string]string
	names []string
}

// ID implements exporter.ExporterInstance.
func (i *instance) ID() int { return i.id }

// Name implements exporter.ExporterInstance; progress shows it.
func (i *instance) Name() string { return "exporting to image" }

// Config implements exporter.ExporterInstance.
func (i *instance) Config() *exporter.Config { return exporter.NewConfig() }

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
	return map[string]string{exptypes.ExporterImageConfigDigestKey: id}, nil, nil, nil
}
