package compose

import (
	"context"

	"github.com/spf13/pflag"

	"lus/internal/base/errs"
	"lus/internal/model/compose"
)

func downCommand() command {
	return command{
		name: "down", dry: true, args: "[SERVICE...]", short: "Stop and remove the project's containers and networks, or the services' containers",
		example: "lus compose down -v",
		flags: func(a *app, f *pflag.FlagSet) func(context.Context, []string) error {
			req := &compose.DownRequest{}
			f.BoolVarP(&req.Volumes, "volumes", "v", false, "remove the named volumes too, with what is in them, and the containers' anonymous ones")
			f.BoolVar(&req.RemoveOrphans, "remove-orphans", truth("COMPOSE_REMOVE_ORPHANS"), "remove containers of services that are no longer in the file")
			f.StringVar(&req.Images, "rmi", "", "remove images too: all that the services use, or local: those that were built without a name of their own")
			settle := timeoutFlag(f, &req.Timeout)
			return func(ctx context.Context, services []string) error {
				if req.Images != "" && req.Images != "all" && req.Images != "local" {
					return wrongUse("down", "--rmi %q: write all or local", req.Images)
				}
				settle()
				l, name, err := a.projectOrName(ctx)
				if err != nil {
					return err
				}
				req.Name, req.Services, req.Parallel = name, services, a.parallel
				if l != nil {
					req.Project = l.Project
					for _, s := range services {
						if !knows(l, s) {
							return errs.New(errs.NotFound, "no such service: %s", s)
						}
					}
				}
				return a.stream(ctx, "down", req, a.printer())
			}
		},
	}
}
