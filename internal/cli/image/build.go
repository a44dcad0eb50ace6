package image

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/docker/go-units"
	"github.com/spf13/pflag"

	"lus/internal/base/errs"
	"lus/internal/cli/command"
	"lus/internal/cli/terminal"
	"lus/internal/client"
	"lus/internal/model/build"
)

// buildFlags are the flags of build.
type buildFlags struct {
	build.Request
	args, labels, platforms []string
	file, progress          string
	idFile, metadataFile    string
	shm, call               string
	check                   bool
	more                    moreFlags
}

// BuildCommand is `lus image build`, which `lus builder build` is too.
func BuildCommand() command.Command {
	return command.Command{
		Name: "build", Args: "PATH | URL | -", Short: "Build an image from a Dockerfile",
		Example: "build -t app:1.0 .", Min: 1, Max: 1,
		Flags: func(e *command.Env, f *pflag.FlagSet) command.Do {
			b := &buildFlags{}
			command.ListVarP(f, &b.Tags, "tag", "t", "Name the image: name[:tag]; may be given more than once")
			f.StringVarP(&b.file, "file", "f", "", "Path or URL of the Dockerfile (default PATH/Dockerfile; - reads it from standard input)")
			command.ListVar(f, &b.args, "build-arg", "Set an ARG: NAME=value, or NAME to pass your variable on")
			command.ListVar(f, &b.labels, "label", "Set a label: key=value")
			f.StringVar(&b.Target, "target", "", "Stop at this stage")
			f.BoolVar(&b.NoCache, "no-cache", false, "Run every step again")
			f.StringSliceVar(&b.NoCacheFilter, "no-cache-filter", nil, "Run every step of these stages again")
			f.BoolVar(&b.Pull, "pull", false, "Look for newer base images")
			f.StringVar(&b.NetworkMode, "network", "", "Network of RUN: default, none or host")
			command.ListVar(f, &b.ExtraHosts, "add-host", "Add a name for RUN: host:address")
			f.StringSliceVar(&b.platforms, "platform", nil, "Platform to build for, as linux/amd64")
			f.StringVar(&b.shm, "shm-size", "", "Size of /dev/shm for RUN, as 64m")
			command.ListVar(f, &b.Ulimits, "ulimit", "Limit of the steps' processes: nofile=1024:2048")
			f.StringVar(&b.CgroupParent, "cgroup-parent", "", "Put the steps' control groups below this one of the builder's")
			f.StringSliceVar(&b.Allow, "allow", nil, "Let steps ask for network.host or security.insecure, where the daemon allows it too, or for device=NAME")
			b.show(f)
			b.more.register(f)
			refusedOfBuild(f)
			return func(ctx context.Context, args []string) error { return b.run(ctx, e, args[0]) }
		},
	}
}

// show registers the flags for what is told of a build.
func (b *buildFlags) show(f *pflag.FlagSet) {
	f.BoolVarP(&b.Quiet, "quiet", "q", false, "Only print the image's id")
	f.StringVar(&b.progress, "progress", "auto", "How progress is shown: auto, tty, plain, quiet or rawjson")
	f.StringVar(&b.idFile, "iidfile", "", "Write the image's id to this file")
	f.StringVar(&b.metadataFile, "metadata-file", "", "Write what is known of the result to this file, as JSON")
	f.StringVar(&b.call, "call", "build", "What to do with the Dockerfile: build, check, outline or targets; with ,format=json for programs")
	f.BoolVar(&b.check, "check", false, "Check the Dockerfile and build nothing: --call=check")
}

func (b *buildFlags) run(ctx context.Context, e *command.Env, where string) error {
	if err := b.prepare(e, where); err != nil {
		return err
	}
	view, err := b.view(e)
	if err != nil {
		return err
	}
	res, err := b.send(ctx, e, view)
	view.close(err == nil)
	if err != nil {
		return err
	}
	if b.Call != "" {
		fmt.Fprint(e.Out, terminal.Harmless(e.Out, res.Answer))
		if res.Code != 0 {
			return command.ExitCode(res.Code)
		}
		return nil
	}
	if err := b.note(res); err != nil {
		return err
	}
	if b.Quiet && res.image != "" {
		fmt.Fprintln(e.Out, res.image)
	}
	return nil
}

// note writes the files that tell of the result.
func (b *buildFlags) note(res *buildResult) error {
	if b.idFile != "" && res.image != "" {
		if err := os.WriteFile(b.idFile, []byte(res.image), 0o644); err != nil {
			return err
		}
	}
	if b.metadataFile == "" {
		return nil
	}
	data, err := metadata(res.Metadata)
	if err != nil {
		return err
	}
	return os.WriteFile(b.metadataFile, data, 0o644)
}

// prepare fills in the request from the flags.
func (b *buildFlags) prepare(e *command.Env, where string) (err error) {
	if err := b.showing(e); err != nil {
		return err
	}
	b.Platform = strings.Join(b.platforms, ",")
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
	b.values(e.Config().ProxyVariables(e.Client.Host()))
	if b.Auth, err = client.AllCredentials(e.Warn); err != nil {
		return err
	}
	if err := b.more.fill(&b.Request, terminal.Is(e.Out)); err != nil {
		return err
	}
	if b.file == "-" && where == "-" {
		return errs.New(errs.Invalid, "the Dockerfile and the context cannot both be standard input")
	}
	return b.source(e, where)
}

// showing checks the flags for what is told, and what is asked.
func (b *buildFlags) showing(e *command.Env) error {
	if !slices.Contains([]string{"auto", "plain", "tty", "quiet", "none", "rawjson"}, b.progress) {
		return errs.New(errs.Invalid, "invalid --progress %q: write auto, tty, plain, quiet or rawjson", b.progress)
	}
	if b.progress == "tty" && !terminal.Is(e.Err) {
		return errs.New(errs.Invalid, "--progress tty needs a terminal: write plain for a log")
	}
	if b.progress == "quiet" || b.progress == "none" {
		b.Quiet = b.Quiet || b.progress == "quiet"
	}
	call, format, formatted := strings.Cut(b.call, ",")
	if formatted {
		switch format {
		case "format=json":
			b.CallJSON = true
		case "format=text":
		default:
			return errs.New(errs.Invalid, "invalid --call %q: behind the comma comes format=json or format=text", b.call)
		}
	}
	if b.check {
		call = "check"
	}
	switch call {
	case "build":
	case "lint":
		b.Call = "check"
	case "check", "outline", "targets":
		b.Call = call
	default:
		return errs.New(errs.Invalid, "invalid --call %q: it can be build, check, outline or targets", call)
	}
	return nil
}

// values reads build arguments and labels. The proxies that the user chose for what
// the daemon runs are arguments too.
func (b *buildFlags) values(proxies []client.Variable) {
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
	for _, v := range proxies {
		// A step gets one value by both ways of writing the name.
		if !b.argued(v.Name) {
			b.Args[v.Name] = &v.Value
		}
	}
	b.Labels = command.Pairs(b.labels)
}

// argued reports whether a build argument was given, in capitals or not.
func (b *buildFlags) argued(name string) bool {
	return slices.ContainsFunc(b.args, func(a string) bool {
		given, _, _ := strings.Cut(a, "=")
		return strings.EqualFold(given, name)
	})
}
