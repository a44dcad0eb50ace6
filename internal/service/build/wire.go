package build

import (
	"context"
	"net"
)

// ServeControl answers BuildKit's control protocol on conn, on which a client
// with buildx asks for builds, until the client or ctx ends it.
func (s *Service) ServeControl(ctx context.Context, conn net.Conn) error {
	o, done, err := s.begin(ctx)
	if err != nil {
		return err
	}
	defer done()
	defer s.soon()
	o.engine.ServeControl(ctx, conn)
	return nil
}

// ServeSession lets builds ask the client at the other end of conn for files,
// secrets and credentials, until it or ctx ends. Meta is the head of the
// client's request.
func (s *Service) ServeSession(ctx context.Context, conn net.Conn, meta map[string][]string) error {
	o, done, err := s.begin(ctx)
	if err != nil {
		return err
	}
	defer done()
	return o.engine.ServeSession(ctx, conn, meta)
}
