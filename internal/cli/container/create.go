package container

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"lus/internal/base/errs"
	"lus/internal/cli/command"
	"lus/internal/cli/image"
	"lus/internal/cli/interrupt"
	"lus/internal/client"
	"lus/internal/model/container"
)

func createCommand() command.Command {
	return command.Command{
		Name: "create", Args: "IMAGE [COMMAND] [ARG...]", Short: "Make a container without starting it",
		Example: "create --name web -p 8080:80 nginx", Min: 1, Max: -1, Rest: true,
		Flags: func(e *command.Env, f *pflag.FlagSet) command.Do {
			o := &options{}
			o.register(f)
			return func(ctx context.Context, args []string) error {
				o.addProxies(e)
				req, err := o.request(args)
				if err == nil {
					err = o.checkPull()
				}
				if err != nil {
					return &command.Failed{Err: err, Code: 125}
				}
				id, err := o.create(ctx, e, req)
				if err != nil {
					return err // 1, as docker has it: only run and a wrong call are 125
				}
				fmt.Fprintln(e.Out, id)
				return nil
			}
		},
	}
}

// checkPull says when --pull is none of what it can be.
func (o *options) checkPull() error {
	switch o.pull {
	case "always", "missing", "never":
		return nil
	}
	return invalid(`invalid pull option: '%s': must be one of "always", "missing" or "never"`, o.pull)
}

// create makes the container, and writes its id where --cidfile says.
func (o *options) create(ctx context.Context, e *command.Env, req *container.CreateRequest) (id string, err error) {
	o.warn(e)
	logins, err := o.grantAccess(e, req)
	if err != nil {
		return "", err
	}
	idFile, err := openIDFile(o.cidFile)
	if err != nil {
		return "", err
	}
	done := func() {}
	if o.cidFile != "" {
		done = interrupt.Undo(idFile.discard)
	}
	resp, err := o.pullAndMake(ctx, e, req)
	done()
	if err == nil && logins != nil {
		err = putLogins(ctx, e, resp.ID, logins)
	}
	if err != nil {
		idFile.discard()
		return "", err
	}
	for _, w := range resp.Warnings {
		e.Warning(w)
	}
	return resp.ID, idFile.write(resp.ID)
}

// warn tells of what is likely to be meant otherwise, as docker's client does.
func (o *options) warn(e *command.Env) {
	for _, a := range o.dns {
		if ip, err := netip.ParseAddr(a); err == nil && ip.IsLoopback() {
			e.Warning(fmt.Sprintf("Localhost DNS (%s) may fail in containers.", a))
			break
		}
	}
	if slices.ContainsFunc(o.mounts, func(m string) bool { return strings.Contains(m, "bind-nonrecursive") }) {
		e.Warning("bind-nonrecursive is deprecated, use bind-recursive=disabled instead")
	}
}

// pullAndMake makes the container, and pulls its image first where it is not here.
func (o *options) pullAndMake(ctx context.Context, e *command.Env, req *container.CreateRequest) (resp container.CreateResponse, err error) {
	if o.pull == "always" {
		if err := image.Pull(ctx, e, req.Image, o.platform, o.quiet, e.Err); err != nil {
			return resp, err
		}
	}
	call := client.Request{Method: "POST", Path: "/containers/create", Query: url.Values{}, Body: client.Sparse{V: req}}
	if o.name != "" {
		call.Query.Set("name", o.name)
	}
	if o.platform != "" {
		call.Query.Set("platform", o.platform)
	}
	err = e.Client.Call(ctx, call, &resp)
	if o.pull != "missing" || !errs.Is(err, errs.NotFound) || !image.IsMissing(err) {
		return resp, err
	}
	if !o.quiet {
		fmt.Fprintf(e.Err, "Unable to find image '%s' locally\n", image.Tagged(req.Image))
	}
	if err := image.Pull(ctx, e, req.Image, o.platform, o.quiet, e.Err); err != nil {
		return resp, err
	}
	err = e.Client.Call(ctx, call, &resp)
	return resp, err
}

// idFile is the file of --cidfile. It is made before the container, so that
// none is made whose id cannot be told.
type idFile struct{ f *os.File }

func openIDFile(path string) (*idFile, error) {
	if path == "" {
		return &idFile{}, nil
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if errors.Is(err, os.ErrExist) {
		return nil, errs.New(errs.Conflict, "container ID file found, make sure the other container isn't running or delete %s", path)
	}
	if err != nil {
		return nil, errs.New(errs.Invalid, "failed to create the container ID file: %w", err)
	}
	return &idFile{f}, nil
}

func (i *idFile) write(id string) error {
	if i.f == nil {
		return nil
	}
	_, err := i.f.WriteString(id)
	if cerr := i.f.Close(); err == nil {
		err = cerr
	}
	return err
}

func (i *idFile) discard() {
	if i.f != nil {
		_ = i.f.Close()
		_ = os.Remove(i.f.Name())
	}
}
