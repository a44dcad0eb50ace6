package container

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"lus/internal/cli/command"
	"lus/internal/model/container"
)

func portCommand() command.Command {
	return command.Command{
		Name: "port", Args: "CONTAINER [PORT[/PROTOCOL]]", Short: "Show where a container's ports are published",
		Example: "port web 80", Min: 1, Max: 2,
		Flags: func(e *command.Env, _ *pflag.FlagSet) command.Do {
			return func(ctx context.Context, args []string) error {
				d, err := inspect(ctx, e, args[0])
				if err != nil {
					return err
				}
				if len(args) == 2 {
					return portOf(e, d, args)
				}
				type line struct {
					port container.Port
					text string
				}
				var lines []line
				for key, bindings := range d.NetworkSettings.Ports {
					p, err := container.ParsePort(key)
					if err != nil {
						return err
					}
					for _, b := range bindings {
						lines = append(lines, line{p, key + " -> " + net.JoinHostPort(b.HostIp, b.HostPort)})
					}
				}
				slices.SortStableFunc(lines, func(a, b line) int {
					return cmp.Or(cmp.Compare(a.port.Number, b.port.Number), strings.Compare(a.text, b.text))
				})
				for _, l := range lines {
					fmt.Fprintln(e.Out, l.text)
				}
				return nil
			}
		},
	}
}

func portOf(e *command.Env, d *details, args []string) error {
	p, err := container.ParsePort(args[1])
	if err != nil {
		return err
	}
	bindings := d.NetworkSettings.Ports[p.String()]
	if len(bindings) == 0 {
		return fmt.Errorf("Error: No public port '%s' published for %s", args[1], args[0]) //nolint:staticcheck // docker's words
	}
	for _, b := range bindings {
		fmt.Fprintln(e.Out, net.JoinHostPort(b.HostIp, b.HostPort))
	}
	return nil
}
