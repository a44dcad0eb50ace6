package daemon

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"reflect"
	"sync"
	"time"

	registryapi "lus/internal/api/registry"
	"lus/internal/api/token"
	"lus/internal/base/errs"
	model "lus/internal/model/registry"
	"lus/internal/service/certificate"
	"lus/internal/service/registry"
)

// newRegistry makes the registry and what it listens with.
func newRegistry(ctx context.Context, deps registry.Deps, edge *token.Edge, certs *certificate.Service) (*registry.Service, *registryListener, error) {
	svc, err := registry.New(ctx, deps)
	if err != nil {
		return nil, nil, err
	}
	api := registryapi.New(registryapi.Deps{Registry: svc, Auth: edge, Log: deps.Log})
	both := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { // a ServeMux would redirect
		if r.URL.Path == token.Path {
			edge.ServeHTTP(w, r)
			return
		}
		api.ServeHTTP(w, r)
	})
	return svc, &registryListener{settings: svc, handler: both, certs: certs, log: deps.Log}, nil
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
	certs    *certificate.Service
	log      *slog.Logger

	changing sync.Mutex // for as long as it goes from one address to another
	over     bool       // it is not to listen any more; under changing

	mu     sync.Mutex
	server *http.Server
	at     string         // where it listens; empty: it does not
	secure bool           // it speaks TLS there
	set    model.Settings // what it listens by
	failed error          // why not
	done   chan struct{}
}

// Run listens where it is set to, until ctx ends. An address that cannot be had
// is told and does not end the daemon.
func (l *registryListener) Run(ctx context.Context) error {
	if err := l.begin(ctx); err != nil {
		return err
	}
	<-ctx.Done()
	l.changing.Lock()
	defer l.changing.Unlock()
	l.over = true
	l.shut()
	return nil
}

func (l *registryListener) begin(ctx context.Context) error {
	l.changing.Lock()
	defer l.changing.Unlock()
	set, err := l.settings.Settings(ctx)
	if err != nil || !set.Enabled {
		return err
	}
	if err := l.open(set); err != nil {
		l.log.Error("the registry does not listen", "address", set.Address, "error", err)
	}
	return nil
}

// now tells whether it listens, and by what.
func (l *registryListener) now() (runs bool, set model.Settings) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.server != nil, l.set
}

// open listens as set says, instead of where it does now. What cannot be had
// leaves that as it is. The caller has the lock of changing.
func (l *registryListener) open(set model.Settings) (err error) {
	runs, former := l.now()
	if runs && reflect.DeepEqual(former, set) {
		return nil
	}
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.server == nil {
			l.failed = err
		}
	}()
	config, err := transport(l.certs, set)
	if err != nil {
		return err
	}
	ln, err := listenAt(set.Address)
	if err != nil && runs {
		// It may be ourselves who have the port.
		l.shut()
		if ln, err = listenAt(set.Address); err != nil {
			l.again(former)
		}
	}
	if err != nil {
		return errs.New(errs.Conflict, "the registry cannot listen at %s: %w: choose another address or port", set.Address, err)
	}
	l.shut()
	l.serve(ln, config, set)
	return nil
}

// listenAt listens where it was told: at 0.0.0.0 not at IPv6 addresses too, which
// would be more than was asked for.
func listenAt(address string) (net.Listener, error) {
	network := "tcp"
	if at, err := netip.ParseAddrPort(address); err == nil && at.Addr().Is4() {
		network = "tcp4"
	}
	return net.Listen(network, address)
}

// again goes back to where it listened before.
func (l *registryListener) again(set model.Settings) {
	config, err := transport(l.certs, set)
	if err != nil {
		l.log.Error("the registry does not listen any more", "address", set.Address, "error", err)
		return
	}
	ln, err := listenAt(set.Address)
	if err != nil {
		l.log.Error("the registry does not listen any more", "address", set.Address, "error", err)
		return
	}
	l.serve(ln, config, set)
}

// serve answers at ln until it is shut.
func (l *registryListener) serve(ln net.Listener, config *tls.Config, set model.Settings) {
	srv := &http.Server{
		Handler: l.handler, ReadHeaderTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		TLSConfig: config, ErrorLog: slog.NewLogLogger(l.log.Handler(), slog.LevelDebug),
	}
	done := make(chan struct{})
	l.mu.Lock()
	l.server, l.at, l.secure, l.set, l.failed, l.done = srv, ln.Addr().String(), config != nil, set, nil, done
	l.mu.Unlock()
	go func() {
		defer close(done)
		serve := srv.Serve
		if config != nil {
			serve = func(ln net.Listener) error { return srv.ServeTLS(ln, "", "") }
		}
		if err := serve(ln); !errors.Is(err, http.ErrServerClosed) {
			l.log.Error("serving the registry", "address", set.Address, "error", err)
		}
	}()
	l.log.Info("the registry listens", "address", ln.Addr().String(), "tls", config != nil)
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
	l.changing.Lock()
	defer l.changing.Unlock()
	if l.over {
		return errs.New(errs.Unavailable, "the registry is stopping: try again when it is back")
	}
	runs, former := l.now()
	former.Enabled = runs
	if err := l.become(set); err != nil {
		return err
	}
	if err := l.settings.SetSettings(ctx, set); err != nil {
		// The next start would go by what is on record.
		return errors.Join(err, l.become(former))
	}
	return nil
}

// become listens as set says, or not at all. The caller has the lock of changing.
func (l *registryListener) become(set model.Settings) error {
	if set.Enabled {
		return l.open(set)
	}
	l.shut()
	return nil
}

// Authority implements the listener of the registry's management.
func (l *registryListener) Authority() ([]byte, error) { return l.certs.Authority() }

// Tell implements the listener of the registry's management.
func (l *registryListener) Tell(ctx context.Context, st *model.Status) (err error) {
	if st.Settings, err = l.settings.Settings(ctx); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	st.Listening, st.Secure = l.at, l.secure
	if l.failed != nil {
		st.Error = l.failed.Error()
	}
	return nil
}
