package daemon

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	registryapi "lus/internal/api/registry"
	"lus/internal/base/errs"
	model "lus/internal/model/registry"
	"lus/internal/service/registry"
	"lus/internal/store/content"
	"lus/internal/store/sqlite"
)

// newRegistry makes the registry and what it listens with.
func newRegistry(ctx context.Context, store *content.Store, db *sqlite.DB, log *slog.Logger) (*registry.Service, *registryListener, error) {
	svc, err := registry.New(ctx, registry.Deps{Store: store, DB: db, Access: loopback{}, Log: log})
	if err != nil {
		return nil, nil, err
	}
	handler := registryapi.New(registryapi.Deps{Registry: svc, Auth: loopback{}, Log: log})
	return svc, &registryListener{settings: svc, handler: handler, log: log}, nil
}

// loopback is who may use the registry while there are no accounts: everybody
// who comes from this host, and nobody else. It is the place where accounts come
// in: they authenticate and give access instead.
type loopback struct{}

const loopbackName = "loopback"

// Authenticate implements the registry's Authenticator.
func (loopback) Authenticate(r *http.Request) (model.Who, error) {
	if at, err := netip.ParseAddrPort(r.RemoteAddr); err == nil && at.Addr().Unmap().IsLoopback() {
		return model.Who{Name: loopbackName}, nil
	}
	return model.Who{}, nil
}

// Challenge implements the registry's Authenticator.
func (loopback) Challenge(*http.Request, string, ...model.Action) string {
	return `Basic realm="Lus registry"`
}

// Allowed implements the registry's Access.
func (loopback) Allowed(_ context.Context, who model.Who, _ string, _ model.Action) error {
	if who.Root || who.Name == loopbackName {
		return nil
	}
	return errs.New(errs.Denied, "this registry is open to its own host only")
}

// settings keeps where to listen.
type settings interface {
	Settings(ctx context.Context) (model.Settings, error)
	SetSettings(ctx context.Context, set model.Settings) error
}

// registryListener serves the registry at an address that can be changed while
// it runs.
type registryListener struct {
	settings settings
	handler  http.Handler
	log      *slog.Logger

	mu     sync.Mutex
	server *http.Server
	at     string // where it listens; empty: it does not
	failed error  // why not
	done   chan struct{}
}

// Run listens where it is set to, until ctx ends. An address that cannot be had
// is told and does not end the daemon.
func (l *registryListener) Run(ctx context.Context) error {
	set, err := l.settings.Settings(ctx)
	if err != nil {
		return err
	}
	if set.Enabled {
		if err := l.open(set.Address); err != nil {
			l.log.Error("the registry does not listen", "address", set.Address, "error", err)
		}
	}
	<-ctx.Done()
	l.shut()
	return nil
}

// open listens at address, beside or instead of where it does now.
func (l *registryListener) open(address string) error {
	l.mu.Lock()
	same := l.at == address
	l.mu.Unlock()
	if same {
		return nil
	}
	ln, err := net.Listen("tcp", address)
	if err != nil {
		err = errs.New(errs.Conflict, "the registry cannot listen at %s: %w: choose another address or port", address, err)
		l.mu.Lock()
		if l.server == nil {
			l.failed = err
		}
		l.mu.Unlock()
		return err
	}
	l.shut()
	srv := &http.Server{
		Handler: l.handler, ReadHeaderTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		ErrorLog: slog.NewLogLogger(l.log.Handler(), slog.LevelDebug),
	}
	done := make(chan struct{})
	l.mu.Lock()
	l.server, l.at, l.failed, l.done = srv, ln.Addr().String(), nil, done
	l.mu.Unlock()
	go func() {
		defer close(done)
		if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			l.log.Error("serving the registry", "address", address, "error", err)
		}
	}()
	l.log.Info("the registry listens", "address", ln.Addr().String())
	return nil
}

// shut stops listening. What is under way has a moment to end.
func (l *registryListener) shut() {
	l.mu.Lock()
	srv, done := l.server, l.done
	l.server, l.at, l.done = nil, "", nil
	l.mu.Unlock()
	if srv == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	_ = srv.Shutdown(ctx) // who is not done by then is cut off
	_ = srv.Close()
	<-done
}

// Set implements the listener of the registry's management.
func (l *registryListener) Set(ctx context.Context, set model.Settings) error {
	address, err := registry.CheckAddress(set.Address)
	if err != nil {
		return err
	}
	set.Address = address
	if set.Enabled {
		if err := l.open(address); err != nil {
			return err
		}
	} else {
		l.shut()
	}
	return l.settings.SetSettings(ctx, set)
}

// Tell implements the listener of the registry's management.
func (l *registryListener) Tell(ctx context.Context, st *model.Status) (err error) {
	if st.Settings, err = l.settings.Settings(ctx); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	st.Listening = l.at
	if l.failed != nil {
		st.Error = l.failed.Error()
	}
	return nil
}
