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
				made, err := o.create(ctx, e, req, makeOnly)
				if err != nil {
					return err // 1, as docker has it: only run and a wrong call are 125
				}
				fmt.Fprintln(e.Out, made.ID)
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

// create makes the container, and writes its id where --cidfile says. What is to
// be done between that and the start keeps it from being made and run at once.
func (o *options) create(ctx context.Context, e *command.Env, req *container.CreateRequest, ask maker) (made *client.Run, err error) {
	o.warn(e)
	logins, err := o.grantAccess(e, req)
	if err != nil {
		return nil, err
	}
	idFile, err := openIDFile(o.cidFile)
	if err != nil {
		return nil, err
	}
	done := func() {}
	if o.cidFile != "" {
		done = interrupt.Undo(idFile.discard)
	}
	if o.cidFile != "" || logins != nil {
		ask = makeOnly
	}
	made, err = o.pullAndMake(ctx, e, req, ask)
	done()
	if err == nil && logins != nil {
		err = putLogins(ctx, e, made.ID, logins)
	}
	if err != nil {
		idFile.discard()
		return nil, err
	}
	for _, w := range made.Warnings {
		e.Warning(w)
	}
	return made, idFile.write(made.ID)
}

// maker asks the daemon for a container.
type maker func(context.Context, *client.Client, client.Request) (*client.Run, error)

// makeOnly has it made.
func makeOnly(ctx context.Context, c *client.Client, r client.Request) (*client.Run, error) {
	var resp container.CreateResponse
	err := c.Call(ctx, r, &resp)
	return &client.Run{ID: resp.ID, Warnings: resp.Warnings}, err
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
func (o *options) pullAndMake(ctx context.Context, e *command.Env, req *container.CreateRequest, ask maker) (*client.Run, error) {
	if o.pull == "always" {
		if err := image.Pull(ctx, e, req.Image, o.platform, o.quiet, e.Err); err != nil {
			return nil, err
		}
	}
	call := client.Request{Method: "POST", Path: "/containers/create", Query: url.Values{}, Body: client.Sparse{V: req}}
	if o.name != "" {
		call.Query.Set("name", o.name)
	}
	if o.platform != "" {
		call.Query.Set("platform", o.platform)
	}
	made, err := ask(ctx, e.Client, call)
	if o.pull != "missing" || !errs.Is(err, errs.NotFound) || !image.IsMissing(err) {
		return made, err
	}
	if !o.quiet {
		fmt.Fprintf(e.Err, "Unable to find image '%s' locally\n", image.Tagged(req.Image))
	}
	if err := image.Pull(ctx, e, req.Image, o.platform, o.quiet, e.Err); err != nil {
		return nil, err
	}
	return ask(ctx, e.Client, call)
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
