package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"golang.org/x/sync/errgroup"

	"lus/internal/base/errs"
)

// layers brings all layers, a few at a time. Each is unpacked while it comes,
// by itself, and put on the one below it when both are whole.
func (p *pull) layers(ctx context.Context, got *pulled) error {
	list := layersOf(got.layers, got.diffs)
	for _, l := range list {
		p.to.layer(short(l.blob.Digest.String()), "Pulling fs layer")
	}
	group, ctx := errgroup.WithContext(ctx)
	slots := make(chan struct{}, downloads)
	below := make(chan struct{})
	close(below)
	for _, l := range list {
		placed := make(chan struct{})
		under := below
		group.Go(func() error {
			err := p.layer(ctx, l, slots, under)
			if err == nil {
				close(placed)
			}
			return err
		})
		below = placed
	}
	return group.Wait()
}

// layer brings one layer, and puts it on the one below once that is there.
func (p *pull) layer(ctx context.Context, l layer, slots, below chan struct{}) error {
	id := short(l.blob.Digest.String())
	// Whoever else pulls this layer onto the same ones waits here until it is
	// placed. We wait for those below only, so nobody waits in a circle.
	unlock, err := p.s.busy.Lock(ctx, "unpack "+l.chain)
	if err != nil {
		return err
	}
	defer unlock()
	known, err := p.s.claim(ctx, l.chain)
	if err != nil {
		return err
	}
	select {
	case slots <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	var st staged
	var there bool
	if known {
		there, err = p.download(ctx, l, nil, new(atomic.Bool))
	} else {
		st, err = p.unpackFlowing(ctx, l)
	}
	<-slots
	if err != nil {
		return err
	}
	if known {
		if there {
			p.to.layer(id, "Already exists")
		} else {
			p.to.layer(id, "Pull complete")
		}
		return nil
	}
	select {
	case <-below:
	case <-ctx.Done():
		return errors.Join(ctx.Err(), p.s.removeSnapshot(ctx, st.key))
	}
	if err := p.s.place(ctx, l, st); err != nil {
		return err
	}
	p.to.layer(id, "Pull complete")
	return nil
}

// unpackFlowing unpacks a layer while it comes, or from the store where it is
// there in part or whole. Where the download fails, that is what went wrong,
// whatever the unpacking made of the bytes.
func (p *pull) unpackFlowing(ctx context.Context, l layer) (st staged, err error) {
	whole := new(atomic.Bool)
	extracting := &meter{to: p.to, id: short(l.blob.Digest.String()), status: "Extracting", total: l.blob.Size, told: 0, silent: whole}
	to := newFlow()
	done := make(chan error, 1)
	go func() {
		var serr error
		st, serr = p.s.stage(ctx, l, func() (io.ReadCloser, error) { return to, nil }, extracting)
		done <- errors.Join(serr, to.Close())
	}()
	_, err = p.download(ctx, l, to, whole)
	serr := <-done
	if err != nil && !errors.Is(err, errNotFlowed) {
		if serr == nil {
			err = errors.Join(err, p.s.removeSnapshot(ctx, st.key))
		}
		return st, err
	}
	if errors.Is(err, errNotFlowed) {
		extracting = &meter{to: p.to, id: extracting.id, status: "Extracting", total: l.blob.Size}
		return p.s.stage(ctx, l, func() (io.ReadCloser, error) { return p.s.open(ctx, l.blob) }, extracting)
	}
	return st, serr
}

// download brings a layer's blob. With a flow, errNotFlowed says that it is
// there but did not come that way.
func (p *pull) download(ctx context.Context, l layer, to *flow, whole *atomic.Bool) (there bool, err error) {
	id := short(l.blob.Digest.String())
	ctx = noticing(ctx, func(wait time.Duration) {
		p.to.layer(id, fmt.Sprintf("Retrying in %s", wait.Round(time.Second)))
	})
	there, flowed, err := p.s.fetchFlowing(ctx, p.fetcher, l.blob, &meter{to: p.to, id: id, status: "Downloading", total: l.blob.Size}, to)
	if err == nil && !there {
		p.to.layer(id, "Verifying Checksum")
		p.to.layer(id, "Download complete")
	}
	whole.Store(true)
	if errdefs.IsNotFound(err) && images.IsNonDistributable(l.blob.MediaType) {
		err = told(errs.NotFound, err, "%s has a layer (%s) that its owner does not let registries have, and %s has not: "+
			"it would have to come from addresses in the manifest, which are not followed", reference.FamiliarString(p.named), id, reference.Domain(p.named))
	}
	if to == nil {
		return there, err
	}
	if err == nil && !flowed {
		err = errNotFlowed
	}
	to.end(err)
	return there, err
}
