package image

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"lus/internal/model/container"
	store "lus/internal/store/content"
)

// maxImport bounds what one imported tar may unpack to.
const maxImport = 1 << 40

// ImportImage makes an image of one layer of a tar, compressed or not. Ref may
// be empty, and so may platform for this host's; changes are Dockerfile
// instructions. The files are written once:
// the layer has no blob until somebody wants to read one.
func (s *Service) ImportImage(ctx context.Context, tar io.Reader, ref, platform, message string, changes []string) (id string, err error) {
	is, err := s.platformOf(platform)
	if err != nil {
		return "", err
	}
	var names []string
	if ref != "" {
		to, err := parseTarget(ref)
		if err != nil {
			return "", err
		}
		names = []string{to.String()}
	}
	var c container.Config
	if err := ApplyChanges(&c, changes); err != nil {
		return "", err
	}
	if message == "" {
		message = "Imported from -"
	}
	ctx, release, err := s.lease(ctx)
	if err != nil {
		return "", err
	}
	defer func() {
		err = errors.Join(err, release())
		if err != nil {
			s.collect(ctx)
		}
	}()
	layer, err := s.importLayer(ctx, tar)
	if err != nil {
		return "", importError(err)
	}
	raw, err := json.Marshal(newConfig(&c, is, layer.DiffID, message))
	if err != nil {
		return "", err
	}
	_, d, err := s.store.Commit(ctx, store.NewImage{Names: names, Config: raw, Layers: []store.Layer{layer}})
	if err != nil {
		return "", importError(err)
	}
	s.tell("import", d.String(), familiar(ref), c.Labels)
	return d.String(), nil
}

func importError(err error) error {
	switch {
	case full(err):
		return noSpace(err)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("the import was cancelled: %w", err)
	}
	return err
}

// importLayer makes a layer of a tar.
func (s *Service) importLayer(ctx context.Context, tar io.Reader) (store.Layer, error) {
	return s.newLayer(ctx, "import", "", func(dir string) error {
		_, err := s.applyTar(ctx, tar, maxImport, dir)
		return err
	})
}

// newConfig is the config of an imported image.
func newConfig(c *container.Config, is ocispec.Platform, diff digest.Digest, message string) any {
	now := time.Now().UTC()
	i := dockerspec.DockerOCIImage{Image: ocispec.Image{
		Created:  &now,
		Platform: is,
		RootFS:   ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{diff}},
		History:  []ocispec.History{{Created: &now, Comment: message}},
	}}
	i.Config = imageConfig(c)
	return struct {
		dockerspec.DockerOCIImage
		Comment string `json:"comment,omitempty"`
	}{i, message}
}

// imageConfig is what an image keeps of a container's configuration.
func imageConfig(c *container.Config) dockerspec.DockerOCIImageConfig {
	var out dockerspec.DockerOCIImageConfig
	out.ImageConfig = ocispec.ImageConfig{
		User: c.User, ExposedPorts: c.ExposedPorts, Env: c.Env, Entrypoint: c.Entrypoint, Cmd: c.Cmd,
		Volumes: c.Volumes, WorkingDir: c.WorkingDir, Labels: c.Labels, StopSignal: c.StopSignal,
	}
	out.OnBuild, out.Shell = c.OnBuild, c.Shell
	if h := c.Healthcheck; h != nil {
		out.Healthcheck = &dockerspec.HealthcheckConfig{
			Test: h.Test, Interval: h.Interval, Timeout: h.Timeout,
			StartPeriod: h.StartPeriod, StartInterval: h.StartInterval, Retries: h.Retries,
		}
	}
	return out
}
