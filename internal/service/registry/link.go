package registry

import (
	"context"
	"database/sql"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"

	"lus/internal/base/errs"
	"lus/internal/model/registry"
	"lus/internal/store/sqlite"
)

// Link is a push from this host's own image store: the blobs are in the one
// store already, so that rows are all there is to make. It checks what a push
// over the network checks, and makes all of it visible at once or nothing. The
// caller keeps the blobs from collection until it returns. Those that the repository
// had before are returned.
func (s *Service) Link(ctx context.Context, who registry.Who, repository, ref, mediaType string, raw []byte) (had []digest.Digest, err error) {
	if err := s.may(ctx, who, repository, registry.Write); err != nil {
		return nil, err
	}
	tag, _, err := reference(ref)
	if err != nil {
		return nil, err
	}
	doc, err := readManifest(mediaType, raw)
	if err != nil {
		return nil, err
	}
	if doc.isIndex() {
		return nil, registry.Fail(errs.Unsupported, registry.Unsupported, "an index is not linked: push it over the network")
	}
	var blobs []digest.Digest
	for _, b := range doc.blobs() {
		blobs = append(blobs, b.Digest)
	}
	s.gate.RLock()
	defer s.gate.RUnlock()
	err = s.store.Hold(ctx, hold, blobs...)
	if errdefs.IsNotFound(err) {
		return nil, registry.Fail(errs.Invalid, registry.ManifestBlobUnknown, "a blob of the image is not here: %s", err)
	}
	if err != nil {
		return nil, noRoom(err)
	}
	d := digest.FromBytes(raw)
	if err := s.store.WriteHeld(ctx, hold, d, raw); err != nil {
		return nil, noRoom(err)
	}
	sizes := make([]int64, len(blobs))
	for i, b := range blobs {
		if sizes[i], err = s.store.Size(ctx, b); err != nil {
			return nil, err
		}
	}
	err = s.db.Write(ctx, sqlite.Power, func(tx *sql.Tx) error {
		had = nil
		for i, b := range blobs {
			var there bool
			err := tx.QueryRow(`SELECT EXISTS (SELECT 1 FROM registry_blobs b JOIN registry_repositories r ON r.id = b.repository
				WHERE r.name = ? AND b.digest = ?)`, repository, b.String()).Scan(&there)
			if err == nil {
				err = s.link(tx, repository, b.String(), sizes[i])
			}
			if err != nil {
				return err
			}
			if there {
				had = append(had, b)
			}
		}
		return s.insert(tx, repository, tag, d, doc, int64(len(raw)))
	})
	return had, err
}
