package image

import (
	"context"
	"fmt"
	"sync"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"

	"lus/internal/base/errs"
	"lus/internal/model/image"
	"lus/internal/store/content"
)

// chains knows which chains of snapshots are held for containers.
type chains struct {
	mu sync.Mutex
	// held is a chain's lease; fresh says that it was handed out since the last
	// sweep, so that the container it is for may not be on record yet.
	held map[string]*heldChain
}

type heldChain struct {
	fresh  bool
	layers *image.Layers // nil until asked for
}

func (c *chains) load(ctx context.Context, s *content.Store) error {
	list, err := s.HeldChains(ctx)
	if err != nil {
		return fmt.Errorf("list the layers in use: %w", err)
	}
	c.held = map[string]*heldChain{}
	for _, chain := range list {
		c.held[chain] = &heldChain{}
	}
	return nil
}

// Layers returns the folders of an image, topmost first, ready to be mounted
// below a container's own. They stay until a Sweep finds that no container
// uses them. The first call takes one lease on the chain; a repeated one
// touches memory only.
func (s *Service) Layers(ctx context.Context, imageID string) (*image.Layers, error) {
	i, err := s.byID(ctx, imageID)
	if errdefs.IsNotFound(err) {
		return nil, noSuchImage(imageID)
	}
	if err != nil {
		return nil, err
	}
	if len(i.Layers) == 0 {
		return nil, errs.New(errs.Invalid, "image %s has no layers: there is nothing in it to run", short(imageID))
	}
	chain := s.top(i)
	if l := s.chains.handOut(chain); l != nil {
		return forImage(l, imageID), nil
	}
	unlock, err := s.busy.lock(ctx, "chain "+chain)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if l := s.chains.handOut(chain); l != nil {
		return forImage(l, imageID), nil
	}
	return s.holdChain(ctx, i, chain)
}

// forImage is l under the id of an image that shares its chain with another.
func forImage(l *image.Layers, id string) *image.Layers {
	if l.ImageID == id {
		return l
	}
	own := *l
	own.ImageID = id
	return &own
}

// top is the chain id of the whole image, computed once.
func (s *Service) top(i *image.Image) string {
	if c, ok := s.tops.get(i.ID); ok {
		return c
	}
	ids := chainIDs(i.Layers)
	c := ids[len(ids)-1]
	s.tops.put(i.ID, c)
	return c
}

func (c *chains) handOut(chain string) *image.Layers {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.held[chain]
	if h == nil || h.layers == nil {
		return nil
	}
	h.fresh = true
	return h.layers
}

// holdChain takes the lease, unpacks what is not, and remembers the folders.
func (s *Service) holdChain(ctx context.Context, i *image.Image, chain string) (*image.Layers, error) {
	s.chains.mu.Lock()
	h := s.chains.held[chain]
	if h != nil {
		h.fresh = true // from here on no sweep drops it
	}
	s.chains.mu.Unlock()
	dirs, err := s.store.Dirs(ctx, chain)
	if errdefs.IsNotFound(err) {
		if err := s.unpackAll(ctx, i); err != nil {
			return nil, err
		}
		dirs, err = s.store.Dirs(ctx, chain)
	}
	if err != nil {
		return nil, fmt.Errorf("layers of image %s: %w", short(i.ID), err)
	}
	if h == nil {
		if err := s.store.HoldChain(ctx, chain); err != nil {
			return nil, fmt.Errorf("hold the layers of image %s: %w", short(i.ID), err)
		}
	}
	l := &image.Layers{ImageID: i.ID, ChainID: chain, Dirs: dirs}
	s.chains.mu.Lock()
	s.chains.held[chain] = &heldChain{fresh: true, layers: l}
	s.chains.mu.Unlock()
	return l, nil
}

// unpackAll unpacks an image whose blobs came without: one that BuildKit's own
// exporter or a load left packed.
func (s *Service) unpackAll(ctx context.Context, i *image.Image) (err error) {
	n, err := s.current(ctx)
	if err != nil {
		return err
	}
	own := n.byID[i.ID]
	if len(own) == 0 {
		return noSuchImage(i.ID)
	}
	row := n.byName[own[0]]
	p := platforms.Only(s.host)
	if i.Architecture != "" {
		spec := s.host
		spec.OS, spec.Architecture, spec.Variant = i.OS, i.Architecture, i.Variant
		p = platforms.OnlyStrict(spec)
	}
	m, err := images.Manifest(ctx, s.store.ContentStore(), row.Target, p)
	if err != nil {
		return fmt.Errorf("read the manifest of image %s: %w", short(i.ID), err)
	}
	if len(m.Layers) != len(i.Layers) {
		return errs.New(errs.Invalid, "the manifest of image %s has %d layers, its config %d: pull or build it again", short(i.ID), len(m.Layers), len(i.Layers))
	}
	ctx, release, err := s.store.Lease(ctx)
	if err != nil {
		return err
	}
	defer func() {
		if rerr := release(); err == nil {
			err = rerr
		}
	}()
	got := &pulled{config: m.Config, layers: m.Layers, diffs: i.Layers}
	chain, parent := chainIDs(i.Layers), ""
	for k, l := range m.Layers {
		if _, err := s.unpack(ctx, l, i.Layers[k], chain[k], parent, nil); err != nil {
			return err
		}
		parent = chain[k]
	}
	if got.manifest.Digest = digest.Digest(row.Labels[content.LabelManifest]); got.manifest.Digest == "" {
		got.manifest = row.Target
	}
	return s.hold(ctx, got)
}

// Sweep drops the leases of chains that no container uses; used holds the
// chain ids of all containers on record. A chain handed out since the sweep
// before this one is spared: its container may not be on record yet.
func (s *Service) Sweep(ctx context.Context, used map[string]bool) error {
	s.chains.mu.Lock()
	var drop []string
	for chain, h := range s.chains.held {
		if used[chain] || h.fresh {
			h.fresh = false
			continue
		}
		drop = append(drop, chain)
		delete(s.chains.held, chain)
	}
	s.chains.mu.Unlock()
	if len(drop) == 0 {
		return nil
	}
	// One by one under the chain's own lock, so that a caller of Layers who comes
	// now takes the lease anew, after it is gone.
	for _, chain := range drop {
		if err := s.letGo(ctx, chain); err != nil {
			return err
		}
	}
	s.collect(ctx)
	return nil
}

func (s *Service) letGo(ctx context.Context, chain string) error {
	unlock, err := s.busy.lock(ctx, "chain "+chain)
	if err != nil {
		return err
	}
	defer unlock()
	s.chains.mu.Lock()
	taken := s.chains.held[chain] != nil
	s.chains.mu.Unlock()
	if taken {
		return nil
	}
	if err := s.store.ReleaseChains(ctx, chain); err != nil {
		return fmt.Errorf("let go of layers %s: %w", short(chain), err)
	}
	return nil
}
