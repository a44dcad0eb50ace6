package compose

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"lus/internal/base/errs"
)

func portCommand() command {
	return command{
		name: "port", dry: true, args: "SERVICE [PORT]", short: "Print where a service's ports are published", example: "lus compose port web 80",
		flags: func(a *app, f *pflag.FlagSet) func(context.Context, []string) error {
			proto := f.String("protocol", "tcp", "tcp or udp")
			index := f.Int("index", 0, "which of the service's containers (default: the first)")
			return func(ctx context.Context, args []string) error {
				if len(args) < 1 || len(args) > 2 {
					return wrongUse("port", "port takes a service and a port")
				}
				only := ""
				if len(args) == 2 {
					if n, err := strconv.ParseUint(args[1], 10, 16); err != nil || n == 0 {
						return wrongUse("port", "%q is not a port", args[1])
					}
					only = args[1] + "/" + strings.ToLower(*proto)
				} else if f.Changed("protocol") {
					only = "/" + strings.ToLower(*proto)
				}
				return a.port(ctx, args[0], only, *index)
			}
		},
	}
}

// port prints one port's place on the host, or all of them with what they are
// of. only is the end that a port's name must have: 80/tcp, /udp, or nothing.
func (a *app) port(ctx context.Context, service, only string, index int) error {
	name, err := a.projectName(ctx)
	if err != nil {
		return err
	}
	list, err := a.containers(ctx, name, false)
	if err != nil {
		return err
	}
	for _, c := range ofService(list, service, index) {
		one := only != "" && only[0] != '/'
		for _, p := range c.Ports {
			key, host := fmt.Sprintf("%d/%s", p.PrivatePort, p.Type), p.IP
			if p.PublicPort == 0 || (one && key != only) || !strings.HasSuffix(key, only) {
				continue
			}
			if strings.Contains(host, ":") {
				host = "[" + host + "]"
			}
			if one {
				_, err := fmt.Fprintf(a.Out, "%s:%d\n", host, p.PublicPort)
				return err
			}
			fmt.Fprintf(a.Out, "%s -> %s:%d\n", key, host, p.PublicPort)
		}
		if one {
			return errs.New(errs.NotFound, "no port %s for container %s: port is not published", only, c.name())
		}
		return nil
	}
	if index > 1 {
		return errs.New(errs.NotFound, "service %s has no running container %d", service, index)
	}
	return errs.New(errs.NotFound, "service %s has no running container", service)
}
