package engine

import (
	"context"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/moby/buildkit/client"

	"lus/internal/model/build"
)

// Prune drops cache records and gives their space back, as far as no image
// uses it. It tells which records went, and how many bytes the disk got back.
func (e *Engine) Prune(ctx context.Context, p build.Prune) (*build.Pruned, error) {
	shared, err := e.worker.shared()
	if err != nil {
		return nil, err
	}
	ch := make(chan client.UsageInfo, 32)
	out := &build.Pruned{}
	var counting sync.WaitGroup
	counting.Go(func() {
		for u := range ch {
			out.IDs = append(out.IDs, u.ID)
			if !shared[u.ID] {
				out.Freed += u.Size
			}
		}
	})
	err = e.worker.Prune(ctx, ch, client.PruneInfo{
		All: p.All, KeepDuration: p.UnusedFor, Filter: conditions(p.Match),
		ReservedSpace: p.Reserved, MaxUsedSpace: p.MaxUsed, MinFreeSpace: p.MinFree,
	})
	close(ch)
	counting.Wait()
	return out, err
}

// conditions writes fields and values as BuildKit's filters take them: one
// text, whose parts must all hold.
func conditions(match map[string]string) []string {
	var all []string
	for _, key := range slices.Sorted(maps.Keys(match)) {
		switch value := match[key]; {
		case value == "":
			all = append(all, key)
		case key == "id": // its beginning, as people type ids
			all = append(all, key+"~="+strconv.Quote("^"+regexp.QuoteMeta(value)))
		default:
			all = append(all, key+"=="+strconv.Quote(value))
		}
	}
	if len(all) == 0 {
		return nil
	}
	return []string{strings.Join(all, ",")}
}

// Cache lists the cache's records.
func (e *Engine) Cache(ctx context.Context) ([]build.Record, error) {
	list, err := e.worker.DiskUsage(ctx, client.DiskUsageInfo{})
	if err != nil {
		return nil, err
	}
	out := make([]build.Record, 0, len(list))
	for _, u := range list {
		out = append(out, build.Record{
			ID: u.ID, Parents: u.Parents, Type: string(u.RecordType), Description: u.Description, InUse: u.InUse, Shared: u.Shared,
			Size: u.Size, CreatedAt: u.CreatedAt, LastUsedAt: u.LastUsedAt, UsageCount: u.UsageCount,
		})
	}
	slices.SortFunc(out, func(a, b build.Record) int { return b.CreatedAt.Compare(a.CreatedAt) })
	return out, nil
}
