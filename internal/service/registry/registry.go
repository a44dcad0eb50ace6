// Package registry is Lus's own registry: repositories as rows that link blobs
// of the one store, by the rules of the OCI distribution specification. A digest
// that lies in the store is visible in a repository only through such a row.
package registry

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"lus/internal/base/errs"
	"lus/internal/base/stall"
	"lus/internal/model/registry"
	"lus/internal/store/content"
	"lus/internal/store/sqlite"
)

// hold is the lease by which the store keeps what repositories link.
const hold = "lus-registry"

// Access decides who may do what. It must answer at once, be safe for concurrent
// use, and know repositories by name alone: whether one exists is not its matter.
type Access interface {
	// Allowed returns nil, or why not: errs.Unauthenticated where knowing who
	// asks could change the answer, errs.Denied where it could not.
	Allowed(ctx context.Context, who registry.Who, repository string, action registry.Action) error
}

// Limits bound what clients may make the registry keep.
type Limits struct {
	Uploads int           // under way at the same time
	Idle    time.Duration // an upload that nobody went on with for so long ends
	Grace   time.Duration // a blob that no manifest names stays for so long
	// Stall is how long another registry may send nothing. Who waits for us should
	// have more patience, to be told so.
	Stall time.Duration
}

// Deps is what the registry needs; Store, DB and Access are required.
type Deps struct {
	Store  *content.Store
	DB     *sqlite.DB
	Access Access
	Limits Limits
	// Transport leads to other registries, and says whose certificates they may
	// show; nil: those that the system trusts.
	Transport http.RoundTripper
	Log       *slog.Logger
	Now       func() time.Time
}

// Service is the registry.
type Service struct {
	store  *content.Store
	db     *sqlite.DB
	access Access
	limits Limits
	log    *slog.Logger
	now    func() time.Time

	uploads   uploads
	upstreams upstreams
	transport http.RoundTripper
	// gate is held for reading while a blob becomes linked, so that the sweep,
	// which takes it for writing, sees both its hold and its row, or neither.
	gate sync.RWMutex
}

// New returns the registry over the rows and blobs in deps. What a former
// process held and did not link is let go.
func New(ctx context.Context, d Deps) (*Service, error) {
	if d.Store == nil || d.DB == nil || d.Access == nil {
		return nil, errs.New(errs.Internal, "the registry needs a store, records and access rules")
	}
	s := &Service{store: d.Store, db: d.DB, access: d.Access, limits: d.Limits.orDefault(), log: d.Log, now: d.Now}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.now == nil {
		s.now = time.Now
	}
	if d.Transport == nil {
		d.Transport = http.DefaultTransport
	}
	s.transport = stall.Transport{Next: d.Transport, Limit: s.limits.Stall}
	s.upstreams.blobs = map[string]*coming{}
	s.upstreams.ctx, s.upstreams.cancel = context.WithCancel(context.WithoutCancel(ctx))
	if err := s.loadUpstreams(ctx); err != nil {
		return nil, err
	}
	if err := s.loadUploads(ctx); err != nil {
		return nil, err
	}
	return s, s.reconcile(ctx)
}

func (l Limits) orDefault() Limits {
	if l.Uploads == 0 {
		l.Uploads = 512
	}
	if l.Idle == 0 {
		l.Idle = time.Hour
	}
	if l.Grace == 0 {
		l.Grace = 24 * time.Hour
	}
	if l.Stall == 0 {
		l.Stall = 20 * time.Second
	}
	return l
}

// may checks a repository's name, and that the caller may act there.
func (s *Service) may(ctx context.Context, who registry.Who, repository string, action registry.Action) error {
	if err := registry.CheckName(repository); err != nil {
		return err
	}
	err := s.access.Allowed(ctx, who, repository, action)
	switch errs.KindOf(err) {
	case errs.Unauthenticated:
		return registry.Fail(errs.Unauthenticated, registry.Unauthorized, "%s", err)
	case errs.Denied:
		return registry.Fail(errs.Denied, registry.Denied, "%s", err)
	}
	if err != nil || action != registry.Write {
		return err
	}
	return s.ours(ctx, repository)
}
