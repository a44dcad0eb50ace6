package scenarios

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lus/test/stack"
)

// ahead is a socket that leads to the daemon, where something is done ahead of
// each request whose path ends so.
func ahead(t *testing.T, s *stack.Stack, path string, do func()) (socket string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "lus-b-") // short, as a socket's path must be
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket = filepath.Join(dir, "sock")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	to := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: "lus"})
	to.Transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", s.Socket())
	}}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, path) {
			do()
		}
		to.ServeHTTP(w, r)
	}))
	server.Listener = listener
	server.Start()
	t.Cleanup(server.Close)
	return socket
}

// A container may end between the look at it and the moment it is joined: attach
// ends with its exit code and does not wait for a next run.
func TestAttachToWhatHasJustEnded(t *testing.T) {
	t.Parallel()
	s := shared(t)
	name := named(t, s, "ending")
	s.OK(t, "run", "-d", "--name", name, stack.Busybox, "sleep", "1000")
	socket := ahead(t, s, "/attach", func() { s.OK(t, "kill", name) })
	s.Do(nil, "env", "LUS_HOST=unix://"+socket, filepath.Join(s.Bin, "lus"), "attach", "--no-stdin", name).Want(t, 137)
}
