package registry

import (
	"context"
	"database/sql"
	"strings"

	"lus/internal/model/registry"
)

// maxTagsTold is how many tags an answer to a search names.
const maxTagsTold = 5

// Search finds the repositories that the caller may read and whose name has the
// term in it, with what the newest tag says of itself, or else the tags, the newest
// first.
func (s *Service) Search(ctx context.Context, who registry.Who, term string, limit int) ([]registry.Found, error) {
	out := []registry.Found{}
	err := s.db.Read(ctx, func(tx *sql.Tx) error {
		names, err := strs(tx, "SELECT name FROM registry_repositories WHERE instr(name, ?) > 0 ORDER BY name", strings.ToLower(term))
		if err != nil {
			return err
		}
		for _, name := range names {
			if len(out) == limit {
				return nil
			}
			if s.access.Allowed(ctx, who, name, registry.Read) != nil {
				continue
			}
			tags, err := strs(tx, "SELECT t.name FROM registry_tags t JOIN registry_repositories r ON r.id = t.repository WHERE r.name = ? ORDER BY t.updated DESC, t.name", name)
			if err != nil {
				return err
			}
			f := registry.Found{Name: name, Tags: len(tags), Description: "tags: " + strings.Join(tags[:min(len(tags), maxTagsTold)], ", ")}
			switch {
			case len(tags) == 0:
				f.Description = "no tags"
			case len(tags) > maxTagsTold:
				f.Description += ", ..."
			}
			out = append(out, f)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for i, f := range out {
		if text := s.description(ctx, f.Name); text != "" {
			out[i].Description = text
		}
	}
	return out, nil
}
