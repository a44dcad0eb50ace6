// Package repos is BuildKit's source of Git repositories with an end for servers
// that stand still: git itself waits for them for ever, or for minutes.
package repos

import (
	"context"
	"time"

	"github.com/moby/buildkit/cache"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/solver"
	"github.com/moby/buildkit/source"
	"github.com/moby/buildkit/source/git"
)

// Source is that source.
type Source struct {
	*git.Source
	watch watch
}

// New makes one whose servers may stand still for so long as limit.
func New(opt git.Opt, limit time.Duration) (*Source, error) {
	s, err := git.NewSource(opt)
	if err != nil {
		return nil, err
	}
	return &Source{Source: s, watch: watch{limit: limit}}, nil
}

// Watch watches what git does until end is called: for what goes past Resolve.
func (s *Source) Watch() (end func()) { return s.watch.begin() }

// Resolve implements source.Source.
func (s *Source) Resolve(ctx context.Context, id source.Identifier, sm *session.Manager, v solver.Vertex) (source.SourceInstance, error) {
	i, err := s.Source.Resolve(ctx, id, sm, v)
	if err != nil {
		return nil, err
	}
	return &instance{i, &s.watch}, nil
}

type instance struct {
	source.SourceInstance
	watch *watch
}

// CacheKey implements source.SourceInstance.
func (i *instance) CacheKey(ctx context.Context, job solver.JobContext, index int) (key, pin string, opts solver.CacheOpts, done bool, err error) {
	defer i.watch.begin()()
	return i.SourceInstance.CacheKey(ctx, job, index)
}

// Snapshot implements source.SourceInstance.
func (i *instance) Snapshot(ctx context.Context, job solver.JobContext) (cache.ImmutableRef, error) {
	defer i.watch.begin()()
	return i.SourceInstance.Snapshot(ctx, job)
}
