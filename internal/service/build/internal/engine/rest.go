package engine

import (
	"github.com/moby/buildkit/cache"
	"github.com/moby/buildkit/cache/contenthash"
)

// Rest gives back the memory that no build needs now. BuildKit keeps the hash
// of every file of the file systems it used last, tens of megabytes for a few
// copies of a Debian; they are on the disk too and are read again when needed,
// so a build that runs meanwhile only goes a little slower.
func (e *Engine) Rest() error {
	e.worker.folders.Rest()
	items, err := e.worker.MetadataStore.All()
	if err != nil {
		return err
	}
	for _, i := range items {
		contenthash.ClearCacheContext(record{id: i.ID()})
	}
	return nil
}

// record is a cache record of which only the id is asked.
type record struct {
	cache.RefMetadata
	id string
}

// ID implements cache.RefMetadata.
func (r record) ID() string { return r.id }
