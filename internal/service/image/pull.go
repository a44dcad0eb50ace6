package image

import (
	"context"
	"errors"
	"fmt"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"lus/internal/base/errs"
	"lus/internal/model/image"
	store "lus/internal/store/content"
)

const (
	// maxLayers is what the kernel's overlay takes as lower folders.
	maxLayers = 500
	// downloads at the same time, as in Docker.
	downloads = 3
)

// pull is one pull under way.
type pull struct {
	s       *Service
	named   reference.Named
	asked   bool // for a platform; else it is this host's
	match   platforms.MatchComparer
	want    ocispec.Platform
	fetcher remotes.Fetcher
	to      *reporter
}

// pulled is what a pull brought.
type pulled struct {
	target   ocispec.Descriptor // what the name stands for at the registry
	manifest ocispec.Descriptor
	config   ocispec.Descriptor
	layers   []ocispec.Descriptor
	diffs    []string
}

// PullImage brings an image from its registry: manifest, config and layers,
// each checked against its digest, unpacked, and named only when all of it is
// there. An aborted pull leaves nothing.
func (s *Service) PullImage(ctx context.Context, ref, platform string, auth *image.Auth, progress func(image.Progress)) error {
	named, err := parse(ref)
	if err != nil {
		return err
	}
	want, err := s.platformOf(platform)
	if err != nil {
		return err
	}
	p := &pull{s: s, named: named, asked: platform != "", want: want, match: platforms.Only(want), to: newReporter(progress)}
	return pullError(named, auth, p.run(ctx, auth))
}

// platformOf reads a platform; without one it is the host's.
func (s *Service) platformOf(text string) (ocispec.Platform, error) {
	if text == "" {
		return s.host, nil
	}
	p, err := platforms.Parse(text)
	if err != nil {
		return p, errs.New(errs.Invalid, "invalid platform %q: write OS/ARCH, as in linux/arm64 (%w)", text, err)
	}
	return p, nil
}

func (p *pull) run(ctx context.Context, auth *image.Auth) (err error) {
	ctx, release, err := p.s.lease(ctx)
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, release())
		if err != nil {
			p.s.collect(ctx)
		}
	}()
	object := "latest"
	if t, ok := p.named.(reference.Tagged); ok {
		object = t.Tag()
	}
	if d, ok := p.named.(reference.Digested); ok {
		object = d.Digest().String()
	}
	p.to.say(object, "Pulling from "+reference.Path(p.named))
	resolver := docker.NewResolver(p.s.registries.resolver(reference.Domain(p.named), auth))
	name, target, err := p.resolve(ctx, resolver)
	if err != nil {
		return err
	}
	if p.fetcher, err = resolver.Fetcher(ctx, name); err != nil {
		return err
	}
	got, err := p.fetch(ctx, target)
	if err != nil {
		return err
	}
	return p.finish(ctx, got)
}

// resolve asks the registry what the name stands for, again where it fails in
// a way that may pass.
func (p *pull) resolve(ctx context.Context, r remotes.Resolver) (string, ocispec.Descriptor, error) {
	for try := 1; ; try++ {
		name, desc, err := r.Resolve(ctx, p.named.String())
		if err == nil || try == attempts || unreachable(err) || !transient(err) {
			return name, desc, err
		}
		if err := pause(ctx, p.s.limits.backoff(try)); err != nil {
			return "", desc, err
		}
	}
}

// fetch brings manifest, config and layers, and unpacks them.
func (p *pull) fetch(ctx context.Context, target ocispec.Descriptor) (*pulled, error) {
	got := &pulled{target: target}
	m, err := p.manifest(ctx, got)
	if err != nil {
		return nil, err
	}
	if err := p.config(ctx, got, m); err != nil {
		return nil, err
	}
	if err := p.layers(ctx, got); err != nil {
		return nil, err
	}
	return got, nil
}

// finish makes the image exist: labels that hold its parts, then its name.
func (p *pull) finish(ctx context.Context, got *pulled) error {
	if err := p.s.hold(ctx, got); err != nil {
		return err
	}
	n, err := p.s.current(ctx)
	if err != nil {
		return err
	}
	old, had := n.byName[p.named.String()]
	same := had && old.Target.Digest == got.target.Digest && old.Labels[store.LabelConfig] == got.config.Digest.String()
	canonical, err := reference.WithDigest(reference.TrimNamed(p.named), got.target.Digest)
	if err != nil {
		return err
	}
	if !same {
		labels := map[string]string{
			store.LabelConfig:     got.config.Digest.String(),
			store.LabelManifest:   got.manifest.Digest.String(),
			store.LabelRepoDigest: canonical.String(),
		}
		got.target.Annotations, got.target.URLs, got.target.Platform = nil, nil, nil
		if err := p.s.store.SetName(ctx, images.Image{Name: p.named.String(), Target: got.target, Labels: labels}); err != nil {
			return fmt.Errorf("name the image %s: %w", p.named, err)
		}
	} else if err := p.s.noteDigest(ctx, old, canonical.String()); err != nil { // it may have been loaded
		return fmt.Errorf("note where the image %s is from: %w", p.named, err)
	}
	shown := reference.FamiliarString(p.named)
	p.to.message(image.Progress{Status: "Digest: " + got.target.Digest.String()})
	if same {
		p.to.message(image.Progress{Status: "Status: Image is up to date for " + shown})
	} else {
		p.to.message(image.Progress{Status: "Status: Downloaded newer image for " + shown})
	}
	i, err := p.s.byID(ctx, got.config.Digest.String())
	if err != nil {
		return err
	}
	p.s.tell("pull", shown, reference.FamiliarName(p.named), i.Config.Labels)
	return nil
}

// hold writes the references by which a manifest keeps its config and layers,
// and the config the unpacked chain, in one transaction; and before that what
// was unpacked itself to the disk.
func (s *Service) hold(ctx context.Context, got *pulled) error {
	manifest := map[string]string{"containerd.io/gc.ref.content.config": got.config.Digest.String()}
	for i, l := range got.layers {
		manifest[fmt.Sprintf("containerd.io/gc.ref.content.l.%d", i)] = l.Digest.String()
	}
	config := map[string]string{}
	if chains := chainIDs(got.diffs); len(chains) > 0 {
		top := chains[len(chains)-1]
		config["containerd.io/gc.ref.snapshot."+store.SnapshotterName] = top
		dir, err := s.store.Folder(ctx, top)
		if err != nil {
			return err
		}
		if err := s.settle(dir); err != nil {
			return err
		}
	}
	return s.store.Update(ctx, func(ctx context.Context) error {
		if err := s.addLabels(ctx, got.manifest, []content.Opt{content.WithLabels(manifest)}); err != nil {
			return err
		}
		return s.addLabels(ctx, got.config, []content.Opt{content.WithLabels(config)})
	})
}

// Collect removes what nothing holds any more.
func (s *Service) Collect(ctx context.Context) { s.collect(ctx) }

// collect does so also after ctx ended.
func (s *Service) collect(ctx context.Context) {
	if _, err := s.store.GarbageCollect(context.WithoutCancel(ctx)); err != nil {
		s.log.Warn("collecting what images left", "error", err)
	}
}
