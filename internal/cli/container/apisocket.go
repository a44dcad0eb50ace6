package container

import (
	"archive/tar"
	"bytes"
	"context"
	"net/url"
	slash "path"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"lus/internal/base/errs"
	"lus/internal/cli/command"
	"lus/internal/client"
	"lus/internal/model/container"
)

func (o *options) access(f *pflag.FlagSet) {
	f.BoolVar(&o.apiSocket, "use-api-socket", false, "Give it the daemon's socket ("+container.SocketInside+") and your credentials of registries: it then has all power over this host")
}

// grantAccess mounts the daemon's socket where Docker's clients look for it, and
// leads them to the user's credentials, which it returns to be put there. Who has
// none, or says where others are, gets the socket alone.
func (o *options) grantAccess(e *command.Env, req *container.CreateRequest) (logins []byte, err error) {
	if !o.apiSocket {
		return nil, nil
	}
	socket := e.Client.Socket()
	if socket == "" {
		return nil, errs.New(errs.Unsupported, "--use-api-socket: the daemon is not reached by a socket of this host: leave it out, or unset LUS_HOST")
	}
	h := req.HostConfig
	h.Mounts = append(h.Mounts, container.Mount{Type: "bind", Source: socket, Target: container.SocketInside})
	const variable = container.LoginsVariable + "="
	if slices.ContainsFunc(req.Env, func(v string) bool { return strings.HasPrefix(v, variable) }) {
		return nil, nil
	}
	logins, n, err := client.Logins(e.Warn)
	if err != nil || n == 0 {
		return nil, err
	}
	req.Env = append(req.Env, variable+container.LoginsInside)
	return logins, nil
}

// putLogins puts credentials into a container that was just made, for its user
// alone. One that does not take them is removed again.
func putLogins(ctx context.Context, e *command.Env, id string, logins []byte) error {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	err := w.WriteHeader(&tar.Header{Name: slash.Join(container.LoginsInside, container.LoginsFile), Mode: 0o600, Size: int64(len(logins))})
	if err != nil {
		return err
	}
	if _, err := w.Write(logins); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	q := url.Values{"path": {"/"}, "copyUIDGID": {"true"}}
	err = e.Client.Call(ctx, client.Request{Method: "PUT", Path: path(id, "archive"), Query: q, Stream: &b, Type: "application/x-tar"}, nil)
	if err == nil {
		return nil
	}
	if rerr := remove(ctx, e, id, url.Values{"v": {"1"}}); rerr != nil {
		return errs.New(errs.KindOf(err), "the credentials could not be put into the container: %w; nor could it be removed: %w", err, rerr)
	}
	return errs.New(errs.KindOf(err), "the credentials could not be put into the container: %w: with `-e %s=...` it goes without", err, container.LoginsVariable)
}
