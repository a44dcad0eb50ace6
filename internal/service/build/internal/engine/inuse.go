package engine

import (
	"context"
	"strings"
	"sync"

	"github.com/moby/buildkit/cache"
	"github.com/moby/buildkit/snapshot"
	"github.com/opencontainers/go-digest"

	"lus/internal/store/content"
)

// inUse tells the cache which of its snapshots somebody else names too: those
// are layers of images, whose space pruning the cache would not give back.
// BuildKit's own check reads the manifests of all images instead, and would
// miss layers that were never made into blobs.
func inUse(store *content.Store) cache.ExternalRefCheckerFunc {
	return func() (cache.ExternalRefChecker, error) {
		return &refChecker{store: store}, nil
	}
}

// refChecker answers from one look at all names: BuildKit makes a new one for
// each listing or pruning.
type refChecker struct {
	store *content.Store
	once  sync.Once
	keys  map[string]string // name -> backend key
	named map[string]bool   // backend keys that a chain of an image names
}

// Exists implements cache.ExternalRefChecker.
func (c *refChecker) Exists(name string, _ []digest.Digest) bool {
	c.once.Do(c.look)
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
