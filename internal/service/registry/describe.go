package registry

import (
	"context"
	"database/sql"
	"encoding/json"
	"io"
	"strings"
	"unicode"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const (
	// maxDescribed is the largest document that a search reads for a description.
	maxDescribed = 256 << 10
	// maxDescription is how many characters of one are told.
	maxDescription = 200
)

// description is what the newest image of a repository says of itself: by an
// annotation of its manifest or index, or by a label. Empty: nothing.
func (s *Service) description(ctx context.Context, repository string) string {
	var newest string
	err := s.db.Read(ctx, func(tx *sql.Tx) error {
		return tx.QueryRow(`SELECT t.digest FROM registry_tags t JOIN registry_repositories r ON r.id = t.repository
			WHERE r.name = ? ORDER BY t.updated DESC, t.name LIMIT 1`, repository).Scan(&newest)
	})
	if err != nil {
		return "" // it has no tag
	}
	for range 2 { // an index, and the first of what it lists
		var doc document
		if !s.small(ctx, repository, digest.Digest(newest), &doc) {
			return ""
		}
		if text := shown(doc.Annotations[ocispec.AnnotationDescription]); text != "" {
			return text
		}
		if doc.Config != nil {
			var image ocispec.Image
			if !s.small(ctx, repository, doc.Config.Digest, &image) {
				return ""
			}
			return shown(image.Config.Labels[ocispec.AnnotationDescription])
		}
		if len(doc.Manifests) == 0 {
			return ""
		}
		newest = doc.Manifests[0].Digest.String()
	}
	return ""
}

// small reads a document that a repository links, unless it is large, lost or none.
// What a manifest names alone may be another repository's.
func (s *Service) small(ctx context.Context, repository string, d digest.Digest, v any) bool {
	if _, err := s.linked(ctx, repository, d.String()); err != nil {
		return false
	}
	f, err := s.store.OpenBlob(ctx, d)
	if err != nil {
		return false
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxDescribed+1))
	return err == nil && len(data) <= maxDescribed && json.Unmarshal(data, v) == nil
}

// shown is a stranger's text as one line without anything that moves a cursor.
func shown(text string) string {
	text = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsPrint(r):
			return -1
		}
		return r
	}, text)
	r := []rune(strings.Join(strings.Fields(text), " "))
	return string(r[:min(len(r), maxDescription)])
}
