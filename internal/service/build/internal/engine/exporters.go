package engine

import (
	"context"
	"maps"
	"strconv"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/exporter"
	"github.com/moby/buildkit/exporter/containerimage"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	"github.com/moby/buildkit/exporter/oci"
	"github.com/moby/buildkit/session"

	"lus/internal/base/errs"
	"lus/internal/service/build/internal/export"
)

// mobyExporter is what Docker's clients call the image store of the engine
// that they build in.
const mobyExporter = "moby"

// Exporter implements worker.Worker. Images are ours; BuildKit's own exporters
// make the other outputs from the same store.
func (w *buildWorker) Exporter(name string, sm *session.Manager) (exporter.Exporter, error) {
	variant := oci.ExporterVariant(oci.VariantOCI)
	switch name {
	case client.ExporterImage, mobyExporter:
		pushes, err := containerimage.New(containerimage.Opt{
			SessionManager: sm, ImageWriter: w.writer, RegistryHosts: w.RegistryHosts, LeaseManager: w.LeaseManager(),
		})
		return &imageExporter{images: w.images, pushes: pushes}, err
	case client.ExporterDocker:
		variant = oci.VariantDocker
	case client.ExporterOCI:
	default:
		return w.Worker.Exporter(name, sm)
	}
	return oci.New(oci.Opt{SessionManager: sm, ImageWriter: w.writer, Variant: variant, LeaseManager: w.LeaseManager()})
}

// imageExporter puts an image into the store, and where the client asks for
// it, pushes it too.
type imageExporter struct {
	images *export.Exporter
	pushes exporter.Exporter
}

// Resolve implements exporter.Exporter.
func (e *imageExporter) Resolve(ctx context.Context, id int, attrs map[string]string) (exporter.ExporterInstance, error) {
	if !asked(attrs, exptypes.OptKeyPush) {
		if asked(attrs, exptypes.OptKeyRewriteTimestamp) {
			return nil, errs.New(errs.Unsupported, "an image in the store keeps the times of its files (rewrite-timestamp): send it elsewhere, as with --output type=oci,dest=FILE")
		}
		return e.images.Resolve(ctx, id, attrs)
	}
	here, err := e.images.Resolve(ctx, id, export.ManifestOnly(attrs))
	if err != nil {
		return nil, err
	}
	push := maps.Clone(attrs)
	push[string(exptypes.OptKeyStore)] = "false"
	there, err := e.pushes.Resolve(ctx, id, push)
	if err != nil {
		return nil, err
	}
	return pushed{ExporterInstance: there, here: here}, nil
}

// asked reads a boolean attribute; one without a value is true.
func asked(attrs map[string]string, key exptypes.ImageExporterOptKey) bool {
	v, ok := attrs[string(key)]
	on, err := strconv.ParseBool(v)
	return ok && (v == "" || err == nil && on)
}

// pushed is one export to a registry and to the store.
type pushed struct {
	exporter.ExporterInstance
	here exporter.ExporterInstance
}

// Export implements exporter.ExporterInstance.
func (p pushed) Export(ctx context.Context, src *exporter.Source, info exporter.ExportBuildInfo) (map[string]string, exporter.FinalizeFunc, exporter.DescriptorReference, error) {
	if here, ok := export.Here(src); ok {
		here.Attestations = nil // the registry gets them
		if _, _, _, err := p.here.Export(ctx, here, info); err != nil {
			return nil, nil, nil, err
		}
	}
	return p.ExporterInstance.Export(ctx, src, info)
}
