// Package folder takes the files of a build's folder on this host over into a
// snapshot, in place of BuildKit's transfer between a client and a daemon: it
// reads what changed since the last build, and nothing else.
package folder

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"github.com/moby/buildkit/cache"
	"github.com/moby/buildkit/cache/contenthash"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/snapshot"
	"github.com/moby/buildkit/solver"
	"github.com/moby/buildkit/source"
	"github.com/moby/buildkit/source/local"
	"github.com/tonistiigi/fsutil"

	"lus/internal/base/boot"
	"lus/internal/base/errs"
)

// Source is BuildKit's source of local folders: those of its own sessions it
// reads itself, all others come over the wire as ever.
type Source struct {
	source.Source // BuildKit's
	cache         cache.Accessor
	boot          string

	mu      sync.Mutex
	offers  map[string]offer // by session
	indexes map[string]index // by cache record: the last ones used
}

// offer is what the builds of one session may read.
type offer struct {
	key  string // names where the folders come from
	dirs map[string]string
}

// New returns a Source that keeps its snapshots in the cache.
func New(c cache.Accessor) (*Source, error) {
	wire, err := local.NewSource(local.Opt{CacheAccessor: c})
	if err != nil {
		return nil, err
	}
	id, err := boot.ID()
	if err != nil {
		return nil, err
	}
	return &Source{
		Source: wire, cache: c, boot: id,
		offers: map[string]offer{}, indexes: map[string]index{},
	}, nil
}

// Offer lets the builds of a session read folders of this host by name. Builds
// with the same key share the snapshots of their folders. The function it
// returns ends that.
func (s *Source) Offer(session, key string, dirs map[string]string) (end func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.offers[session] = offer{key, dirs}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.offers, session)
	}
}

// Rest gives back the memory that no build needs now.
func (s *Source) Rest() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.indexes)
}

// Resolve implements source.Source.
func (s *Source) Resolve(ctx context.Context, id source.Identifier, sm *session.Manager, v solver.Vertex) (source.SourceInstance, error) {
	wire, err := s.Source.Resolve(ctx, id, sm, v)
	if err != nil {
		return nil, err
	}
	is, ok := id.(*local.LocalIdentifier)
	if !ok || is.MetadataOnly {
		return wire, nil
	}
	return &instance{SourceInstance: wire, source: s, id: is}, nil
}

// instance is one folder of one build.
type instance struct {
	source.SourceInstance // BuildKit's, which makes the cache key
	source                *Source
	id                    *local.LocalIdentifier
}

// Snapshot implements source.SourceInstance.
func (i *instance) Snapshot(ctx context.Context, job solver.JobContext) (cache.ImmutableRef, error) {
	o, dir, ok := i.source.find(i.id, job.Session())
	if !ok {
		return i.SourceInstance.Snapshot(ctx, job)
	}
	ref, err := i.source.snapshot(ctx, i.id, o, dir)
	var known *errs.Error
	if err == nil || ctx.Err() != nil || errors.As(err, &known) {
		return ref, err
	}
	if errors.Is(err, fs.ErrPermission) {
		return nil, errs.New(errs.Denied, "the context cannot be read: %w: name what the build does not need in .dockerignore", err)
	}
	return nil, fmt.Errorf("read the context %s: %w", dir, err)
}

// find is the folder of this host that is meant, if it is one.
func (s *Source) find(id *local.LocalIdentifier, group session.Group) (offer, string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	has := func(session string) (offer, string, bool) {
		o, ok := s.offers[session]
		return o, o.dirs[id.Name], ok && o.dirs[id.Name] != ""
	}
	if id.SessionID != "" {
		if o, dir, ok := has(id.SessionID); ok {
			return o, dir, true
		}
	}
	if group == nil {
		return offer{}, "", false
	}
	for it := group.SessionIterator(); it != nil; {
		session := it.NextSession()
		if session == "" {
			break
		}
		if o, dir, ok := has(session); ok {
			return o, dir, true
		}
	}
	return offer{}, "", false
}

// What a cache record says about the folder that its snapshot was made of.
const (
	keyFolder   = "lus.folder"       // which it is
	keyState    = "lus.folder.state" // the boot in which it was last whole; empty while it is written
	keyIndex    = "lus.folder.index" // what of it is in the snapshot
	indexPrefix = keyFolder + ":"
)

// snapshot brings the folder's snapshot of the last build up to date.
func (s *Source) snapshot(ctx context.Context, id *local.LocalIdentifier, o offer, dir string) (_ cache.ImmutableRef, err error) {
	key := id.Name + ":" + id.SharedKeyHint + ":" + o.key
	ref, known, err := s.open(ctx, key, id.Name)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			s.discard(ctx, ref)
		}
	}()
	h, err := openHashes(ctx, ref)
	if err != nil {
		return nil, err
	}
	y := &syncer{index: known, trust: id.Differ != fsutil.DiffNone, change: h.change}
	y.again = func() error { return h.again(ctx) }
	y.begin = func() error { return ref.SetString(keyState, "", "") }
	tell := report(ctx, "transferring "+id.Name+":", &y.moved)
	err = s.fill(ctx, ref, y, dir, id)
	tell()
	if err != nil {
		return nil, err
	}
	// What is whole and empty is not written to, and must be known for whole too.
	if y.started || ref.GetString(keyState) == "" {
		if err := s.keep(ctx, ref, h, y.index); err != nil {
			return nil, err
		}
	}
	s.remember(ref.ID(), y.index)
	return ref.Commit(ctx)
}

// open finds the snapshot of the last build and what it holds, or makes one.
func (s *Source) open(ctx context.Context, key, name string) (cache.MutableRef, index, error) {
	found, err := s.cache.Search(ctx, indexPrefix+key, false)
	if err != nil {
		return nil, nil, err
	}
	for _, md := range found {
		ref, err := s.cache.GetMutable(ctx, md.ID())
		if err != nil {
			continue // another build has it
		}
		if x, ok := s.recall(ref); ok {
			return ref, x, nil
		}
		s.discard(ctx, ref)
	}
	ref, err := s.cache.New(ctx, nil, nil, cache.CachePolicyRetain,
		cache.WithRecordType(client.UsageRecordTypeLocalSource), cache.WithDescription("local source for "+name))
	if err != nil {
		return nil, nil, err
	}
	if err := ref.SetString(keyFolder, key, indexPrefix+key); err != nil {
		s.discard(ctx, ref)
		return nil, nil, err
	}
	return ref, index{}, nil
}

// recall is what a snapshot holds. It is not known of one that was being
// written when the daemon was killed, nor of one from before the machine last
// started: its files may be on the disk only in part.
func (s *Source) recall(ref cache.MutableRef) (index, bool) {
	if ref.GetString(keyState) != s.boot {
		return nil, false
	}
	s.mu.Lock()
	x, ok := s.indexes[ref.ID()]
	delete(s.indexes, ref.ID()) // it is changed, and whole again only at the end
	s.mu.Unlock()
	if ok {
		return x, true
	}
	data, err := ref.GetExternal(keyIndex)
	if err != nil {
		return nil, false
	}
	x, err = decodeIndex(data)
	return x, err == nil
}

// rememberedMost bounds the files of all indexes that are kept in memory.
const rememberedMost = 250_000

func (s *Source) remember(id string, x index) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(x)
	for _, other := range s.indexes {
		n += len(other)
	}
	if n > rememberedMost {
		clear(s.indexes)
	}
	s.indexes[id] = x
}

// discard gives a snapshot up.
func (s *Source) discard(ctx context.Context, ref cache.MutableRef) {
	ctx = context.WithoutCancel(ctx)
	_ = ref.SetString(keyState, "", "")
	_ = ref.SetCachePolicyDefault()
	contenthash.ClearCacheContext(ref)
	_ = ref.Release(ctx)
}

// fill brings the snapshot to the state of the folder.
func (s *Source) fill(ctx context.Context, ref cache.MutableRef, y *syncer, dir string, id *local.LocalIdentifier) error {
	mountable, err := ref.Mount(ctx, false, nil)
	if err != nil {
		return err
	}
	mounter := snapshot.LocalMounter(mountable)
	target, err := mounter.Mount()
	if err != nil {
		return err
	}
	err = func() error {
		dest, err := openTree(target)
		if err != nil {
			return err
		}
		defer dest.close()
		t, err := openTree(dir)
		if err != nil {
			return err
		}
		defer t.close()
		y.dest = dest.root
		return y.run(ctx, t, &fsutil.FilterOpt{IncludePatterns: id.IncludePatterns, ExcludePatterns: id.ExcludePatterns, FollowPaths: id.FollowPaths})
	}()
	return errors.Join(err, mounter.Unmount())
}

// keep writes down what the snapshot holds.
func (s *Source) keep(ctx context.Context, ref cache.MutableRef, h *hashes, x index) error {
	encoded := make(chan []byte, 1)
	go func() { encoded <- x.encode() }()
	err := h.keep(ctx)
	if err := errors.Join(err, ref.SetExternal(keyIndex, <-encoded)); err != nil {
		return err
	}
	return ref.SetString(keyState, s.boot, "")
}
