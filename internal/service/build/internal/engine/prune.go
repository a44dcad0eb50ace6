package engine

import (
	"context"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/moby/buildkit/client"
	"google.golang.org/grpc"

	"lus/internal/model/build"
)

// Prune drops cache records and gives their space back, as far as no image
// uses it. It tells which records went, and how many bytes the disk got back.
func (e *Engine) Prune(ctx context.Context, p build.Prune) (*build.Pruned, error) {
	shared, err := e.worker.shared()
	if err != nil {
		return nil, err
	}
	out := &build.Pruned{}
	// By BuildKit's own interface: while no build runs it also lets go of the
	// manifests and configs of base images, which it holds for some minutes.
	err = e.control.Prune(&controlapi.PruneRequest{
		All: p.All, KeepDuration: int64(p.UnusedFor), Filter: conditions(p.Match),
		ReservedSpace: p.Reserved, MaxUsedSpace: p.MaxUsed, MinFreeSpace: p.MinFree,
	}, &pruned{ctx: withLog(ctx, e.log), tell: func(u *controlapi.UsageRecord) {
		out.IDs = append(out.IDs, u.ID)
		if !shared[u.ID] {
			out.Freed += u.Size
		}
	}})
	if err != nil {
		return out, err
	}
	_, err = e.worker.store.GarbageCollect(ctx)
	return out, err
}

// pruned takes the records that went as the control interface streams them.
type pruned struct {
	grpc.ServerStream
	ctx  context.Context
	tell func(*controlapi.UsageRecord)
}

// Context implements grpc.ServerStream.
func (p *pruned) Context() context.Context { return p.ctx }

// Send implements controlapi.Control_PruneServer.
func (p *pruned) Send(u *controlapi.UsageRecord) error {
	p.tell(u)
	return nil
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
