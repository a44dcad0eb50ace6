package engine

import (
	"context"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"

	"github.com/containerd/containerd/v2/defaults"
	"github.com/moby/buildkit/control"
	"github.com/moby/buildkit/util/grpcerrors"
	"github.com/moby/buildkit/util/tracing"
	"github.com/moby/buildkit/util/tracing/detect"
	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// wire serves BuildKit's own protocol on connections that Docker's API hands
// over: clients with buildx build through it.
type wire struct {
	server *grpc.Server
	conns  chan net.Conn
	ended  chan struct{} // closed once the server is told to stop
	once   sync.Once
	done   chan struct{} // closed once Serve returned
}

func serveWire(c *control.Controller, log *slog.Logger, failed func(context.Context, error)) *wire {
	w := &wire{conns: make(chan net.Conn), ended: make(chan struct{}), done: make(chan struct{})}
	w.server = grpc.NewServer(
		grpc.StatsHandler(tracing.ServerStatsHandler(otelgrpc.WithTracerProvider(traces()))),
		grpc.MaxRecvMsgSize(defaults.DefaultMaxRecvMsgSize),
		grpc.MaxSendMsgSize(defaults.DefaultMaxSendMsgSize),
		grpc.ChainUnaryInterceptor(grpcerrors.UnaryServerInterceptor, unary(log, failed)),
		grpc.ChainStreamInterceptor(grpcerrors.StreamServerInterceptor, stream(log)),
	)
	c.Register(w.server)
	go func() {
		defer close(w.done)
		_ = w.server.Serve(w) // ends with close
	}()
	return w
}

// traces makes builds of clients leave a trace in their history, which `docker
// buildx history trace` shows. BuildKit keeps its recorder for the process.
func traces() *sdktrace.TracerProvider {
	recorder.Do(func() { detect.Recorder = detect.NewTraceRecorder() })
	return sdktrace.NewTracerProvider(sdktrace.WithResource(detect.Resource()), sdktrace.WithSyncer(detect.Recorder))
}

var recorder sync.Once

// unary lets BuildKit's log go to ours, and makes a panic an answer instead of
// the end of the daemon.
func unary(log *slog.Logger, failed func(context.Context, error)) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, do grpc.UnaryHandler) (answer any, err error) {
		defer caught(log, info.FullMethod, &err)
		if answer, err = do(withLog(ctx, log), req); err != nil {
			failed(ctx, err)
		}
		return answer, err
	}
}

func stream(log *slog.Logger) grpc.StreamServerInterceptor {
	return func(srv any, s grpc.ServerStream, info *grpc.StreamServerInfo, do grpc.StreamHandler) (err error) {
		defer caught(log, info.FullMethod, &err)
		return do(srv, logged{s, withLog(s.Context(), log)})
	}
}

// logged is a stream under another context.
type logged struct {
	grpc.ServerStream
	ctx context.Context
}

// Context implements grpc.ServerStream.
func (l logged) Context() context.Context { return l.ctx }

func caught(log *slog.Logger, method string, err *error) {
	if p := recover(); p != nil {
		log.Error("a build request ended in a panic", "method", method, "panic", p, "stack", string(debug.Stack()))
		*err = status.Error(codes.Internal, "an internal fault; the daemon's log tells more")
	}
}

// serve answers on conn until the client or ctx ends it.
func (w *wire) serve(ctx context.Context, conn net.Conn) {
	c := &watched{Conn: conn, closed: make(chan struct{})}
	defer func() { _ = c.Close() }()
	select {
	case w.conns <- c:
	case <-w.ended:
		return
	case <-ctx.Done():
		return
	}
	select {
	case <-c.closed:
	case <-ctx.Done():
	}
}

// watched tells when a connection is closed.
type watched struct {
	net.Conn
	once   sync.Once
	closed chan struct{}
}

// Close implements net.Conn.
func (c *watched) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

// Accept implements net.Listener.
func (w *wire) Accept() (net.Conn, error) {
	select {
	case c := <-w.conns:
		return c, nil
	case <-w.ended:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (w *wire) Close() error {
	w.once.Do(func() { close(w.ended) })
	return nil
}

// Addr implements net.Listener.
func (w *wire) Addr() net.Addr { return &net.UnixAddr{Name: "buildkit", Net: "unix"} }

// close ends all connections and returns when nothing is served any more.
func (w *wire) close() error {
	_ = w.Close()
	w.server.Stop()
	<-w.done
	return nil
}

// ServeControl answers BuildKit's control protocol on conn.
func (e *Engine) ServeControl(ctx context.Context, conn net.Conn) { e.wire.serve(ctx, conn) }

// ServeSession lets builds ask the client at the other end of conn for files,
// secrets and credentials, until it or ctx ends. Meta is what the client said
// about itself in its request.
func (e *Engine) ServeSession(ctx context.Context, conn net.Conn, meta map[string][]string) error {
	return e.sessions.HandleConn(withLog(ctx, e.log), conn, meta)
}
