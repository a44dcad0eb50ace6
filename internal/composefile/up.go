package composefile

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/pflag"

	"lus/internal/base/errs"
	"lus/internal/client"
	"lus/internal/model/compose"
)

func upCommand() command {
	return command{
		name: "up", args: "[SERVICE...]", short: "Create and start what the file describes; only what changed is touched",
		example: "lus compose up -d",
		flags: func(a *app, f *pflag.FlagSet) func(context.Context, []string) error {
			req := &compose.UpRequest{}
			detach := f.BoolP("detach", "d", false, "leave the containers running and return")
			f.BoolVar(&req.Build, "build", false, "build images first")
			f.BoolVar(&req.NoBuild, "no-build", false, "do not build, even where an image is missing")
			f.BoolVar(&req.ForceRecreate, "force-recreate", false, "replace containers even where nothing changed")
			f.BoolVar(&req.NoRecreate, "no-recreate", false, "leave containers that exist as they are")
			f.BoolVar(&req.NoStart, "no-start", false, "create, and do not start")
			f.BoolVar(&req.RemoveOrphans, "remove-orphans", false, "remove containers of services that are no longer in the file")
			f.BoolVar(&req.Wait, "wait", false, "wait until the services run, and are healthy where they can say so; implies -d")
			f.BoolVar(&req.DryRun, "dry-run", false, "print what would be done")
			timeout := f.IntP("timeout", "t", -1, "seconds to let a container stop that is replaced")
			scale := f.StringArray("scale", nil, "SERVICE=NUM: how many containers of a service to run")
			return func(ctx context.Context, services []string) error {
				a.load.Together = !req.NoStart
				l, err := a.project(ctx, services)
				if err != nil {
					return err
				}
				if *timeout >= 0 {
					req.Timeout = timeout
				}
				if err := applyScale(l.Project, *scale); err != nil {
					return err
				}
				req.Project, req.Services = l.Project, services
				return a.up(ctx, req, *detach || req.Wait || req.NoStart || req.DryRun)
			}
		},
	}
}

func applyScale(p *compose.Project, scale []string) error {
	for _, s := range scale {
		name, count, ok := strings.Cut(s, "=")
		n, err := strconv.Atoi(count)
		if !ok || err != nil || n < 0 {
			return &usageError{fmt.Sprintf("invalid --scale %q: write SERVICE=NUM, as in --scale web=3", s), "See 'lus compose up --help'.\n"}
		}
		found := false
		for i := range p.Services {
			svc := &p.Services[i]
			if svc.Name != name {
				continue
			}
			found = true
			if svc.ContainerName != "" && n > 1 {
				return errs.New(errs.Invalid, "service %s has container_name %s and so can have one container only: remove container_name to scale it", name, svc.ContainerName)
			}
			svc.Scale = n
		}
		if !found {
			return errs.New(errs.NotFound, "no such service: %s", name)
		}
	}
	return nil
}

func (a *app) up(ctx context.Context, req *compose.UpRequest, detach bool) error {
	if err := a.credentials(req.Project); err != nil {
		return err
	}
	if err := a.stream(ctx, "up", req, &printer{w: a.Err}); err != nil || detach {
		return err
	}
	return a.foreground(ctx, req)
}

// credentials adds the user's registry credentials to a project that may pull.
func (a *app) credentials(p *compose.Project) error {
	auth, err := client.AllCredentials()
	if err != nil {
		return err
	}
	p.Auth = auth
	return nil
}

// foreground follows the output until the containers end or Ctrl-C, which stops
// them; a second Ctrl-C stops waiting for that.
func (a *app) foreground(ctx context.Context, req *compose.UpRequest) error {
	err := a.logs(ctx, req.Project.Name, shown(req), logOptions{follow: true, tail: "all"})
	if ctx.Err() == nil {
		return err
	}
	fmt.Fprintln(a.Err, "Stopping; containers are kept, remove them with `lus compose down`")
	again, cancel := signal.NotifyContext(context.WithoutCancel(ctx), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	return a.each(again, req.Project.Name, req.Services, "stop", "Stopped")
}

// shown are the services whose output a foreground up shows: all of them, less
// those with attach: false.
func shown(req *compose.UpRequest) []string {
	var names []string
	for _, s := range req.Project.Services {
		if !s.Quiet && (len(req.Services) == 0 || slices.Contains(req.Services, s.Name)) {
			names = append(names, s.Name)
		}
	}
	return names
}

func downCommand() command {
	return command{
		name: "down", args: "", short: "Stop and remove the project's containers and networks",
		example: "lus compose down -v",
		flags: func(a *app, f *pflag.FlagSet) func(context.Context, []string) error {
			req := &compose.DownRequest{}
			f.BoolVarP(&req.Volumes, "volumes", "v", false, "remove the named volumes too, with what is in them")
			f.BoolVar(&req.RemoveOrphans, "remove-orphans", false, "remove containers of services that are no longer in the file")
			timeout := f.IntP("timeout", "t", -1, "seconds to let a container stop")
			return func(ctx context.Context, args []string) error {
				if len(args) > 0 {
					return &usageError{"down takes no services: it removes the whole project", "See 'lus compose down --help'.\n"}
				}
				if *timeout >= 0 {
					req.Timeout = timeout
				}
				l, err := a.project(ctx, nil)
				switch {
				case err == nil:
					req.Project, req.Name = l.Project, l.Project.Name
				case errs.Is(err, errs.NotFound) && a.load.Name != "" && len(a.load.Files) == 0:
					req.Name = a.load.Name
				default:
					return err
				}
				return a.stream(ctx, "down", req, &printer{w: a.Err})
			}
		},
	}
}

func buildCommand() command {
	return command{
		name: "build", args: "[SERVICE...]", short: "Build the services' images",
		example: "lus compose build web",
		flags: func(a *app, f *pflag.FlagSet) func(context.Context, []string) error {
			req := &compose.BuildRequest{}
			f.BoolVar(&req.NoCache, "no-cache", false, "build every step anew")
			f.BoolVar(&req.Pull, "pull", false, "look for newer base images")
			quiet := f.BoolP("quiet", "q", false, "print nothing but errors")
			args := f.StringArray("build-arg", nil, "NAME=VALUE for ARG instructions")
			return func(ctx context.Context, services []string) error {
				l, err := a.project(ctx, services)
				if err != nil {
					return err
				}
				if err := buildArgs(l.Project, *args); err != nil {
					return err
				}
				if err := a.credentials(l.Project); err != nil {
					return err
				}
				req.Project, req.Services = l.Project, services
				return a.stream(ctx, "build", req, &printer{w: a.Err, quiet: *quiet})
			}
		},
	}
}

func buildArgs(p *compose.Project, args []string) error {
	for _, arg := range args {
		name, value, ok := strings.Cut(arg, "=")
		if !ok {
			value, ok = os.LookupEnv(name)
		}
		if !ok || name == "" {
			return &usageError{fmt.Sprintf("--build-arg %q has no value: write NAME=VALUE, or set %s in the environment", arg, name), "See 'lus compose build --help'.\n"}
		}
		for _, s := range p.Services {
			if s.Build != nil {
				s.Build.Args[name] = &value
			}
		}
	}
	return nil
}
