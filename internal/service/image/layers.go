package image

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"

	"lus/internal/base/errs"
	"lus/internal/model/image"
	"lus/internal/store/content"
)

// inUse knows which images are held for containers, by id.
type inUse struct {
	mu   sync.Mutex
	held map[string]*heldImage
}

// heldImage is an image that has a lease.
type heldImage struct {
	// fresh: handed out since the last sweep, so that the container it is for
	// may not be on record yet.
	fresh bool
	// leaving: nobody needed it when it was looked at; who asks for it keeps it.
	leaving bool
	layers  *image.Layers // nil until asked for
}

func (u *inUse) load(ctx context.Context, s *content.Store) error {
	list, err := s.HeldImages(ctx)
	if err != nil {
		return fmt.Errorf("list the images in use: %w", err)
	}
	u.held = map[string]*heldImage{}
	for _, id := range list {
		u.held[id] = &heldImage{}
	}
	return nil
}

// Layers returns the folders of an image, topmost first, ready to be mounted
// below a container's own. They stay, also when the image loses its names,
// until a Sweep finds that no container uses them. The first call takes one
// lease; a repeated one touches memory only. The result is shared: do not
// change it.
func (s *Service) Layers(ctx context.Context, imageID string) (*image.Layers, error) {
	if l := s.inUse.handOut(imageID); l != nil {
		return l, nil
	}
	unlock, err := s.busy.Lock(ctx, "use "+imageID)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if l := s.inUse.handOut(imageID); l != nil {
		return l, nil
	}
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
	return s.hand(ctx, i, true)
}

// Hold takes hold of the layers of an image that was just made, so that its
// first container need not. No container is waiting for them.
func (s *Service) Hold(ctx context.Context, imageID string) error {
	unlock, err := s.busy.Lock(ctx, "use "+imageID)
	if err != nil {
		return err
	}
	defer unlock()
	s.inUse.mu.Lock()
	held := s.inUse.held[imageID] != nil
	s.inUse.mu.Unlock()
	if held {
		return nil
	}
	i, err := s.byID(ctx, imageID)
	if err != nil || len(i.Layers) == 0 { // FROM scratch, and labels
		return err
	}
	_, err = s.hand(ctx, i, false)
	return err
}

func (u *inUse) handOut(id string) *image.Layers {
	u.mu.Lock()
	defer u.mu.Unlock()
	h := u.held[id]
	if h == nil || h.layers == nil {
		return nil
	}
	h.fresh, h.leaving = true, false
	return h.layers
}

// hand takes the lease, unpacks what is not, and remembers the folders; fresh
// where a container is to have them. The caller has the image's lock.
func (s *Service) hand(ctx context.Context, i *image.Image, fresh bool) (*image.Layers, error) {
	ids := chainIDs(i.Layers)
	chain := ids[len(ids)-1]
	s.inUse.mu.Lock()
	h := s.inUse.held[i.ID]
	if h != nil {
		h.fresh, h.leaving = true, false // from here on no sweep drops it
	}
	s.inUse.mu.Unlock()
	if h == nil {
		// Before looking: what is there now must not be collected meanwhile.
		if err := s.store.HoldImage(ctx, i.ID, chain); err != nil {
			return nil, fmt.Errorf("hold the layers of image %s: %w", short(i.ID), err)
		}
	}
	dirs, err := s.folders(ctx, i, chain)
	if err != nil {
		if h == nil {
			err = errors.Join(err, s.store.ReleaseImages(context.WithoutCancel(ctx), i.ID))
		}
		return nil, err
	}
	l := &image.Layers{ImageID: i.ID, ChainID: chain, Dirs: dirs}
	s.inUse.mu.Lock()
	s.inUse.held[i.ID] = &heldImage{fresh: fresh, layers: l}
	s.inUse.mu.Unlock()
	return l, nil
}

// folders are the image's folders, unpacked first where need be.
func (s *Service) folders(ctx context.Context, i *image.Image, chain string) ([]string, error) {
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
	return dirs, nil
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
	ctx, release, err := s.lease(ctx)
	if err != nil {
		return err
	}
	defer func() {
		if rerr := release(); err == nil {
			err = rerr
		}
	}()
	got := &pulled{config: m.Config, layers: m.Layers, diffs: i.Layers}
	for _, l := range layersOf(m.Layers, i.Layers) {
		if _, err := s.unpack(ctx, l, nil); err != nil {
			return err
		}
	}
	if got.manifest.Digest = digest.Digest(row.Labels[content.LabelManifest]); got.manifest.Digest == "" {
		got.manifest = row.Target
	}
	return s.hold(ctx, got)
}

// Sweep drops the leases of images that no container uses; used holds the ids
// of the images of all containers on record. An image handed out since the
// sweep before this one is spared: its container may not be on record yet. What
// cannot be let go of keeps nobody else, and the next sweep tries it again.
func (s *Service) Sweep(ctx context.Context, used []string) error {
	s.inUse.mu.Lock()
	var drop []string
	for id, h := range s.inUse.held {
		if h.fresh || slices.Contains(used, id) {
			h.fresh, h.leaving = false, false
			continue
		}
		h.leaving = true
		drop = append(drop, id)
	}
	s.inUse.mu.Unlock()
	var failed []error
	for i, id := range drop {
		if err := s.letGo(ctx, id); err != nil {
			failed = append(failed, err)
		}
		if err := ctx.Err(); err != nil && i < len(drop)-1 {
			failed = append(failed, err)
			break
		}
	}
	if len(failed) < len(drop) {
		s.collect(ctx)
	}
	return errors.Join(failed...)
}

// Returned says that a container of an image was on record and is gone: what it
// was handed needs no sparing any more. Those still on record keep the image.
func (s *Service) Returned(imageID string) {
	s.inUse.mu.Lock()
	defer s.inUse.mu.Unlock()
	if h := s.inUse.held[imageID]; h != nil {
		h.fresh = false
	}
}

// letGo drops the lease of an image that is leaving, under the image's own lock:
// who asks for its layers now either has them again already, or takes the lease
// anew after it is gone.
func (s *Service) letGo(ctx context.Context, id string) error {
	unlock, err := s.busy.Lock(ctx, "use "+id)
	if err != nil {
		return fmt.Errorf("let go of image %s: %w", short(id), err)
	}
	defer unlock()
	h := s.inUse.leave(id)
	if h == nil {
		return nil
	}
	if err := s.store.ReleaseImages(ctx, id); err != nil {
		s.inUse.mu.Lock()
		s.inUse.held[id] = h // its lease is still there
		s.inUse.mu.Unlock()
		return fmt.Errorf("let go of image %s: %w", short(id), err)
	}
	return nil
}

// leave forgets an image that is leaving; nil where it is not, or not any more.
func (u *inUse) leave(id string) *heldImage {
	u.mu.Lock()
	defer u.mu.Unlock()
	h := u.held[id]
	if h == nil || !h.leaving {
		return nil
	}
	delete(u.held, id)
	return h
}
