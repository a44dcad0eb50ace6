package engine

import (
	"context"
	"strings"
	"sync"

	"github.com/moby/buildkit/cache"
	"github.com/moby/buildkit/cache/metadata"
	"github.com/moby/buildkit/snapshot"
	"github.com/opencontainers/go-digest"

	"lus/internal/store/content"
)

// inUse tells the cache which of its snapshots somebody else names too: those
// are layers of images, whose space pruning the cache would not give back.
// BuildKit's own check reads the manifests of all images instead, and would
// miss layers that were never made into blobs.
func inUse(store *content.Store, records *metadata.Store) cache.ExternalRefCheckerFunc {
	return func() (cache.ExternalRefChecker, error) {
		return &refChecker{store: store, records: records}, nil
	}
}

// refChecker answers from one look at all names: BuildKit makes a new one for
// each listing or pruning.
type refChecker struct {
	store   *content.Store
	records *metadata.Store
	once    sync.Once
	keys    map[string]string // name -> backend key
	named   map[string]bool   // backend keys that a chain of an image names
}

// Exists implements cache.ExternalRefChecker. It is asked by the record's id,
// which is the snapshot's name only for what was built here.
func (c *refChecker) Exists(record string, _ []digest.Digest) bool {
	c.once.Do(c.look)
	name := record
	if r, ok := c.records.Get(record); ok {
		if v := r.Get("cache.snapshot"); v != nil {
			_ = v.Unmarshal(&name)
		}
	}
	key, ok := c.keys[name]
	return ok && c.named[key]
}

func (c *refChecker) look() {
	c.named = map[string]bool{}
	keys, err := c.store.BackendKeys(context.Background())
	if err != nil {
		return // nothing is known to be shared: pruning then only overstates
	}
	c.keys = keys
	for name, key := range keys {
		if isChain(name) {
			c.named[key] = true
		}
	}
}

// isChain tells the names that images give (a chain id) from BuildKit's.
func isChain(name string) bool {
	if _, ok := snapshot.ParseLayerSnapshotID(name); ok {
		return false
	}
	_, err := digest.Parse(name)
	return err == nil && strings.Contains(name, ":")
}

// shared lists the cache's records whose files an image has too. It is asked
// before pruning, which takes the records away.
func (w *buildWorker) shared() (map[string]bool, error) {
	items, err := w.MetadataStore.All()
	if err != nil {
		return nil, err
	}
	c := &refChecker{store: w.store, records: w.MetadataStore}
	out := map[string]bool{}
	for _, i := range items {
		out[i.ID()] = c.Exists(i.ID(), nil)
	}
	return out, nil
}
