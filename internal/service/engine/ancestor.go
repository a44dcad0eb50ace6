package engine

import (
	"context"
	"slices"

	"lus/internal/model/image"
)

// findDescent looks up the images an ancestor filter means: those it names, and
// those made from them that containers are made from.
func (e *Engine) findDescent(ctx context.Context, q *query) {
	var bases []*image.Image
	for _, s := range q.f["ancestor"] {
		if img, err := e.Images.Resolve(ctx, s); err == nil {
			bases = append(bases, img)
			q.images[img.ID] = true
		}
	}
	if len(bases) == 0 {
		return
	}
	seen := map[string]bool{}
	for _, u := range e.all() {
		id := u.full().Image
		if seen[id] || q.images[id] {
			continue
		}
		seen[id] = true
		// An image that is gone descends from nothing that can be told.
		img, err := e.Images.Resolve(ctx, id)
		q.images[id] = err == nil && slices.ContainsFunc(bases, func(base *image.Image) bool { return descends(img, base) })
	}
}

// descends tells whether img was made from base: it has base's layers and steps
// at its bottom, and something on top. Layers alone do not say it, as a step can
// add none; nor do steps, as they are words.
func descends(img, base *image.Image) bool {
	layers, steps := len(base.Layers), len(base.History)
	if layers == 0 || len(img.Layers) < layers || len(img.History) < steps {
		return false
	}
	if len(img.Layers) == layers && len(img.History) == steps {
		return false
	}
	return slices.Equal(img.Layers[:layers], base.Layers) &&
		slices.EqualFunc(img.History[:steps], base.History, func(a, b image.History) bool {
			return a.CreatedBy == b.CreatedBy && a.EmptyLayer == b.EmptyLayer
		})
}
