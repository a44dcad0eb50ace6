package image

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/docker/go-units"
	"github.com/spf13/pflag"

	"lus/internal/base/errs"
	"lus/internal/cli/command"
	"lus/internal/client"
	"lus/internal/model/build"
)

// buildFlags are the flags of build.
type buildFlags struct {
	build.Request
	args, labels           []string
	file, progress, idFile string
	shm                    string
	more                   moreFlags
}

// BuildCommand is `lus image build`, which `lus builder build` is too.
func BuildCommand() command.Command {
	return command.Command{
		Name: "build", Args: "PATH | URL | -", Short: "Build an image from a Dockerfile",
		Example: "build -t app:1.0 .", Min: 1, Max: 1,
		Flags: func(e *command.Env, f *pflag.FlagSet) command.Do {
			b := &buildFlags{}
			f.StringArrayVarP(&b.Tags, "tag", "t", nil, "Name the image: name[:tag]; may be given more than once")
			f.StringVarP(&b.file, "file", "f", "", "Path of the Dockerfile (default PATH/Dockerfile; - reads it from standard input)")
			f.StringArrayVar(&b.args, "build-arg", nil, "Set an ARG: NAME=value, or NAME to pass your variable on")
			f.StringArrayVar(&b.labels, "label", nil, "Set a label: key=value")
			f.StringVar(&b.Target, "target", "", "Stop at this stage")
			f.BoolVar(&b.NoCache, "no-cache", false, "Run every step again")
			f.BoolVar(&b.Pull, "pull", false, "Look for newer base images")
			f.BoolVarP(&b.Quiet, "quiet", "q", false, "Only print the image's id")
			f.StringVar(&b.NetworkMode, "network", "", "Network of RUN: default, none or host")
			f.StringArrayVar(&b.ExtraHosts, "add-host", nil, "Add a name for RUN: host:address")
			f.StringVar(&b.Platform, "platform", "", "Platform to build for, as linux/amd64")
			f.StringVar(&b.shm, "shm-size", "", "Size of /dev/shm for RUN, as 64m")
			f.StringVar(&b.progress, "progress", "auto", "How progress is shown: auto, plain or quiet")
			f.StringVar(&b.idFile, "iidfile", "", "Write the image's id to this file")
			f.StringArrayVar(&b.Ulimits, "ulimit", nil, "Limit of the steps' processes: nofile=1024:2048")
			b.more.register(f)
			refusedOfBuild(f)
			return func(ctx context.Context, args []string) error { return b.run(ctx, e, args[0]) }
		},
	}
}

func (b *buildFlags) run(ctx context.Context, e *command.Env, where string) error {
	if err := b.prepare(e, where); err != nil {
		return err
	}
	progress := e.Err
	id, err := b.send(ctx, e, progress)
	if err != nil {
		return err
	}
	if b.idFile != "" && id != "" {
		if err := os.WriteFile(b.idFile, []byte(id), 0o644); err != nil {
			return err
		}
	}
	if b.Quiet && id != "" {
		fmt.Fprintln(e.Out, id)
	}
	return nil
}

// prepare fills in the request from the flags.
func (b *buildFlags) prepare(e *command.Env, where string) (err error) {
	if !slices.Contains([]string{"auto", "plain", "tty", "quiet"}, b.progress) {
		return errs.New(errs.Invalid, "invalid --progress %q: write auto, plain or quiet", b.progress)
	}
	b.Quiet = b.Quiet || b.progress == "quiet"
	if b.shm != "" {
		if b.ShmSize, err = units.RAMInBytes(b.shm); err != nil {
			return errs.New(errs.Invalid, "invalid --shm-size %q: write it as 64m", b.shm)
		}
	}
	for _, l := range b.Ulimits {
		if _, err := units.ParseUlimit(l); err != nil {
			return errs.New(errs.Invalid, "invalid --ulimit %q: write it as nofile=1024:2048", l)
		}
	}
	b.Args = map[string]*string{}
	for _, a := range b.args {
		name, value, has := strings.Cut(a, "=")
		if !has {
			value, has = os.LookupEnv(name)
		}
		if !has {
			b.Args[name] = nil
			continue
		}
		b.Args[name] = &value
	}
	b.Labels = map[string]string{}
	for _, l := range b.labels {
		name, value, _ := strings.Cut(l, "=")
		b.Labels[name] = value
	}
	if b.Auth, err = client.AllCredentials(); err != nil {
		return err
	}
	if where == "-" && b.more.any() {
		return errs.New(errs.Unsupported, "secrets, agents, contexts, outputs and caches need a folder or a URL as the context, not standard input")
	}
	if err := b.more.fill(&b.Request); err != nil {
		return err
	}
	if b.file == "-" && where == "-" {
		return errs.New(errs.Invalid, "the Dockerfile and the context cannot both be standard input")
	}
	return b.source(e, where)
}

// source finds the context and the Dockerfile.
func (b *buildFlags) source(e *command.Env, where string) (err error) {
	if b.file == "-" {
		if b.DockerfileText, err = io.ReadAll(io.LimitReader(e.In, 8<<20)); err != nil {
			return err
		}
	}
	switch {
	case where == "-":
		b.Context = e.In
		b.Dockerfile = b.file
		return nil
	case strings.Contains(where, "://") || strings.HasPrefix(where, "git@") || strings.HasPrefix(where, "github.com/"):
		b.Remote = where
		if b.file != "-" {
			b.Dockerfile = b.file
		}
		return nil
	}
	if b.ContextDir, err = filepath.Abs(where); err != nil {
		return err
	}
	info, err := os.Stat(b.ContextDir)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return errs.New(errs.NotFound, "unable to prepare context: path %q not found", where)
	case err != nil:
		return errs.New(errs.Invalid, "unable to prepare context: %w", err)
	case !info.IsDir():
		return errs.New(errs.Invalid, "unable to prepare context: %q is a file: give the folder, and the Dockerfile by -f", where)
	}
	if b.file != "" && b.file != "-" {
		// As typed, from where the user stands.
		if b.Dockerfile, err = filepath.Abs(b.file); err != nil {
			return err
		}
		if _, err := os.Stat(b.Dockerfile); err != nil {
			return errs.New(errs.NotFound, "unable to read the Dockerfile: %w", err)
		}
	}
	return nil
}

// send asks for the build and prints what it tells.
func (b *buildFlags) send(ctx context.Context, e *command.Env, progress *os.File) (id string, err error) {
	if b.Context != nil {
		return b.sendTar(ctx, e, progress)
	}
	resp, err := e.Client.Send(ctx, client.Request{Method: "POST", Path: "/lus/v1/build", Body: &b.Request})
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	dec := json.NewDecoder(resp.Body)
	for {
		var m struct {
			Text, Image, Error string
			Kind               errs.Kind
			Done               bool
		}
		switch err := dec.Decode(&m); {
		case err != nil:
			return "", errs.New(errs.Unavailable, "the daemon ended in the middle of the build: %w; build again, finished steps are kept", err)
		case m.Error != "":
			return "", errs.New(m.Kind, "%s", m.Error)
		case m.Done || m.Image != "":
			return m.Image, nil
		case !b.Quiet:
			fmt.Fprint(progress, m.Text)
		}
	}
}

// sendTar sends a context that comes by standard input to Docker's endpoint. A
// plain Dockerfile becomes a context of its own.
func (b *buildFlags) sendTar(ctx context.Context, e *command.Env, progress *os.File) (id string, err error) {
	q := b.query()
	in, err := contextFrom(b.Context)
	if err != nil {
		return "", err
	}
	header, err := authConfig(b.Auth)
	if err != nil {
		return "", err
	}
	resp, err := e.Client.Send(ctx, client.Request{Method: "POST", Path: "/build", Query: q, Stream: in, Type: "application/x-tar", Header: header})
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	if b.Quiet {
		null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
		if err != nil {
			return "", err
		}
		defer null.Close()
		progress = null
	}
	err = show(resp.Body, progress, func(aux json.RawMessage) {
		var done struct{ ID string }
		if json.Unmarshal(aux, &done) == nil && done.ID != "" {
			id = done.ID
		}
	})
	if err == nil && id == "" {
		err = errs.New(errs.Unavailable, "the daemon ended in the middle of the build; build again, finished steps are kept")
	}
	return id, err
}
