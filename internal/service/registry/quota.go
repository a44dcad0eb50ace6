package registry

import (
	"context"
	"database/sql"
	"math"
	"strings"

	"lus/internal/base/errs"
	"lus/internal/model/registry"
)

// room is how many bytes a repository may still take by its quotas.
func (s *Service) room(_ context.Context, _ string) (int64, error) { return math.MaxInt64 / 2, nil }

func quotaKept(_ *sql.Tx, _ string) error { return nil }

func overQuota(repository string) error {
	return registry.Fail(errs.Denied, registry.Denied, "the quota of %s is used up: delete what is not needed, collect garbage (lus registry gc), or ask for more", strings.SplitN(repository, "/", 2)[0])
}
