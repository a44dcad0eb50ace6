// Package network holds the commands about networks, one file a verb.
package network

import (
	"context"
	"fmt"
	"net/url"
	"strconv"

	"github.com/spf13/pflag"

	"lus/internal/base/errs"
	"lus/internal/cli/command"
	"lus/internal/cli/output"
	"lus/internal/cli/prune"
	"lus/internal/client"
	"lus/internal/model/network"
)

// Commands are the verbs of `lus network`.
func Commands() []command.Command {
	return []command.Command{connectCommand(), createCommand(), disconnectCommand(), inspectCommand(), lsCommand(), prune.Command(prune.Networks()), rmCommand()}
}

// path is a network's path in the API.
func path(name string) string { return "/networks/" + url.PathEscape(name) }

func inspectCommand() command.Command {
	return command.Command{
		Name: "inspect", Args: "NETWORK [NETWORK...]", Short: "Show all that is known about networks",
		Example: "network inspect bridge", Min: 1, Max: -1,
		Flags: func(e *command.Env, f *pflag.FlagSet) command.Do {
			format := f.StringP("format", "f", "", "Print by a Go template, or json")
			verbose := f.BoolP("verbose", "v", false, "Show details of services (there are none without a swarm)")
			return func(ctx context.Context, args []string) error {
				q := url.Values{}
				if *verbose {
					q.Set("verbose", "true")
				}
				return output.Inspect(e.Out, e.Err, *format, args, func(name string) ([]byte, error) {
					return e.Client.Raw(ctx, path(name), q)
				})
			}
		},
	}
}

func rmCommand() command.Command {
	return command.Command{
		Name: "rm", Aliases: []string{"remove"}, Args: "NETWORK [NETWORK...]", Short: "Remove networks",
		Example: "network rm app", Min: 1, Max: -1,
		Flags: func(e *command.Env, f *pflag.FlagSet) command.Do {
			force := f.BoolP("force", "f", false, "No error where it is not there")
			return func(ctx context.Context, args []string) error {
				var failed error
				for _, name := range args {
					err := e.Client.Call(ctx, client.Request{Method: "DELETE", Path: path(name)}, nil)
					if err == nil {
						fmt.Fprintln(e.Out, name)
						continue
					}
					if *force && errs.Is(err, errs.NotFound) {
						continue
					}
					e.Complain(err)
					failed = command.ExitCode(1)
				}
				return failed
			}
		},
	}
}

func lsCommand() command.Command {
	return command.Command{
		Name: "ls", Aliases: []string{"list"}, Short: "List networks",
		Example: "network ls", Min: 0, Max: 0,
		Flags: func(e *command.Env, f *pflag.FlagSet) command.Do {
			filters := output.FilterFlag(f, "f", "Only those that fit, as driver=bridge")
			noTrunc := f.Bool("no-trunc", false, "Print whole ids")
			how := output.ListFlags(f, "ID", "ids").Raw("network_id:ID", "name:Name", "driver:Driver", "scope:Scope")
			return func(ctx context.Context, _ []string) error {
				q, err := output.Filters(*filters)
				if err != nil {
					return err
				}
				var list []network.Network
				if err := e.Client.Call(ctx, client.Request{Method: "GET", Path: "/networks", Query: q}, &list); err != nil {
					return err
				}
				how.Unless(e.Config().NetworksFormat)
				output.ByName(list, func(n network.Network) string { return n.Name })
				return output.Rows(e.Out, how, "{{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.Scope}}", output.Headers{
					"ID": "NETWORK ID", "Name": "NAME", "Driver": "DRIVER", "Scope": "SCOPE", "IPv4": "IPV4", "IPv6": "IPV6",
					"Internal": "INTERNAL", "Labels": "LABELS", "CreatedAt": "CREATED AT",
				}, list, func(n network.Network) row { return row{n, !*noTrunc} })
			}
		},
	}
}

// row is one network; its methods are the fields of templates.
type row struct {
	n     network.Network
	trunc bool
}

func (r row) ID() string {
	if r.trunc {
		return r.n.ID[:min(12, len(r.n.ID))]
	}
	return r.n.ID
}

func (r row) Name() string             { return r.n.Name }
func (r row) Driver() string           { return r.n.Driver }
func (r row) Scope() string            { return r.n.Scope }
func (r row) IPv4() string             { return strconv.FormatBool(r.n.EnableIPv4) }
func (r row) IPv6() string             { return strconv.FormatBool(r.n.EnableIPv6) }
func (r row) Internal() string         { return strconv.FormatBool(r.n.Internal) }
func (r row) Labels() string           { return output.Labels(r.n.Labels) }
func (r row) Label(name string) string { return r.n.Labels[name] }
func (r row) CreatedAt() string        { return r.n.Created.String() }
