package folder

import (
	"context"
	"os"

	"github.com/moby/buildkit/cache"
	"github.com/moby/buildkit/cache/contenthash"
	"github.com/tonistiigi/fsutil"
)

// hashes are the content hashes of a snapshot while it is written.
type hashes struct {
	ref  cache.RefMetadata
	told contenthash.CacheContext
}

func openHashes(ctx context.Context, ref cache.RefMetadata) (*hashes, error) {
	told, err := contenthash.GetCacheContext(ctx, ref)
	if err != nil {
		return nil, err
	}
	return &hashes{ref, told}, nil
}

// change takes what has changed.
func (h *hashes) change(kind fsutil.ChangeKind, p string, fi os.FileInfo, err error) error {
	return h.told.HandleChange(kind, p, fi, err)
}

// keep writes them down.
func (h *hashes) keep(ctx context.Context) error {
	return contenthash.SetCacheContext(ctx, h.ref, h.told)
}

// again goes on from what was told so far. What goes that came since the hashes
// were last written down BuildKit would forget only in part, and a further name
// would stay one of a file that it is none of any more.
func (h *hashes) again(ctx context.Context) error {
	if err := h.keep(ctx); err != nil {
		return err
	}
	next, err := openHashes(ctx, h.ref)
	if err == nil {
		h.told = next.told
	}
	return err
}
