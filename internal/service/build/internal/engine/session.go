package engine

import (
	"context"
	"net"

	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/auth"
	"github.com/moby/buildkit/session/filesync"
	"github.com/tonistiigi/fsutil"
	fstypes "github.com/tonistiigi/fsutil/types"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"lus/internal/model/image"
)

// openSession makes the session of one build: BuildKit asks its client for
// files and credentials, and the client is this process.
func (e *Engine) openSession(ctx context.Context, j *Job, c *caches) (*session.Session, func(), error) {
	s, err := session.NewSession(ctx, j.ContextKey)
	if err != nil {
		return nil, nil, err
	}
	dirs := filesync.StaticDirSource{}
	for name, dir := range j.Dirs {
		if dirs[name], err = owned(dir); err != nil {
			return nil, nil, err
		}
	}
	s.Allow(filesync.NewFSSyncProvider(dirs))
	s.Allow(credentials(j.Auth))
	if err := allowMore(s, j, c); err != nil {
		return nil, nil, err
	}
	withdraw := e.worker.folders.Offer(s.ID(), j.ContextKey, j.Dirs)
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	ready := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Run(ctx, func(ctx context.Context, _ string, meta map[string][]string) (net.Conn, error) {
			ours, theirs := net.Pipe()
			go func() { _ = e.sessions.HandleConn(ctx, theirs, meta) }()
			close(ready)
			return ours, nil
		})
	}()
	<-ready
	return s, func() { withdraw(); _ = s.Close(); cancel(); <-done }, nil
}

// owned shows a folder as root's: a build's result does not depend on who owns
// the files of its context.
func owned(dir string) (fsutil.FS, error) {
	files, err := fsutil.NewFS(dir)
	if err != nil {
		return nil, err
	}
	return fsutil.NewFilterFS(files, &fsutil.FilterOpt{Map: func(_ string, st *fstypes.Stat) fsutil.MapResult {
		st.Uid, st.Gid = 0, 0
		return fsutil.MapResultKeep
	}})
}

// credentials answers what registries ask, from the build's request alone.
type credentials map[string]image.Auth

// Register implements session.Attachable.
func (c credentials) Register(s *grpc.Server) { auth.RegisterAuthServer(s, authServer{auth: c}) }

type authServer struct {
	auth.UnsafeAuthServer
	auth map[string]image.Auth
}

// The names under which clients keep Docker Hub's credentials, and its registry.
const (
	hubRegistry = "registry-1.docker.io"
	hubKey      = "https://index.docker.io/v1/"
	hubName     = "docker.io"
)

// Credentials implements BuildKit's auth service.
func (a authServer) Credentials(_ context.Context, r *auth.CredentialsRequest) (*auth.CredentialsResponse, error) {
	names := []string{r.Host, "https://" + r.Host, "http://" + r.Host}
	if r.Host == hubRegistry {
		names = append(names, hubKey, hubName, "index.docker.io")
	}
	for _, n := range names {
		c, ok := a.auth[n]
		switch {
		case !ok:
			continue
		case c.IdentityToken != "":
			return &auth.CredentialsResponse{Secret: c.IdentityToken}, nil
		default:
			return &auth.CredentialsResponse{Username: c.Username, Secret: c.Password}, nil
		}
	}
	return &auth.CredentialsResponse{}, nil
}

// FetchToken implements BuildKit's auth service: the daemon fetches tokens
// itself, with the credentials.
func (authServer) FetchToken(context.Context, *auth.FetchTokenRequest) (*auth.FetchTokenResponse, error) {
	return nil, status.Error(codes.Unimplemented, "tokens are fetched with credentials")
}

// GetTokenAuthority implements BuildKit's auth service.
func (authServer) GetTokenAuthority(context.Context, *auth.GetTokenAuthorityRequest) (*auth.GetTokenAuthorityResponse, error) {
	return nil, status.Error(codes.Unimplemented, "tokens are fetched with credentials")
}

// VerifyTokenAuthority implements BuildKit's auth service.
func (authServer) VerifyTokenAuthority(context.Context, *auth.VerifyTokenAuthorityRequest) (*auth.VerifyTokenAuthorityResponse, error) {
	return nil, status.Error(codes.Unimplemented, "tokens are fetched with credentials")
}
