// Package volume holds the commands about named volumes, one file a verb.
package volume

import (
	"context"
	"fmt"
	"net/url"
	"strconv"

	"github.com/docker/go-units"
	"github.com/spf13/pflag"

	"lus/internal/base/errs"
	"lus/internal/cli/command"
	"lus/internal/cli/output"
	"lus/internal/cli/prune"
	"lus/internal/client"
	"lus/internal/model/volume"
)

// Commands are the verbs of `lus volume`.
func Commands() []command.Command {
	return []command.Command{createCommand(), inspectCommand(), lsCommand(), prune.Command(prune.Volumes()), rmCommand(), command.Refused("update", noCluster)}
}

// path is a volume's path in the API.
func path(name string) string { return "/volumes/" + url.PathEscape(name) }

// noCluster is why the flags of volumes that a swarm shares are refused.
const noCluster = "volumes of a cluster need a swarm, and Lus is one machine"

func createCommand() command.Command {
	return command.Command{
		Name: "create", Args: "[VOLUME]", Short: "Make a volume",
		Example: "volume create data", Min: 0, Max: 1,
		Flags: func(e *command.Env, f *pflag.FlagSet) command.Do {
			driver := f.StringP("driver", "d", "local", "Driver of the volume")
			name := f.String("name", "", "Name of the volume")
			_ = f.MarkHidden("name")
			labels := f.StringArray("label", nil, "Set a label: key=value")
			opts := f.StringArrayP("opt", "o", nil, "Option of the driver: key=value")
			for _, name := range []string{"availability", "group", "limit-bytes", "required-bytes", "scope", "secret", "sharing", "topology-preferred", "topology-required", "type"} {
				command.Refuse(f, name, noCluster)
			}
			return func(ctx context.Context, args []string) error {
				if len(args) > 0 {
					if *name != "" && *name != args[0] {
						return errs.New(errs.Invalid, "conflicting options: cannot specify a volume-name through both --name and as a positional arg")
					}
					*name = args[0]
				}
				var v volume.Volume
				req := volume.CreateRequest{Name: *name, Driver: *driver, DriverOpts: command.Pairs(*opts), Labels: command.Pairs(*labels)}
				if err := e.Client.Call(ctx, client.Request{Method: "POST", Path: "/volumes/create", Body: req}, &v); err != nil {
					return err
				}
				fmt.Fprintln(e.Out, v.Name)
				return nil
			}
		},
	}
}

func inspectCommand() command.Command {
	return command.Command{
		Name: "inspect", Args: "VOLUME [VOLUME...]", Short: "Show all that is known about volumes",
		Example: "volume inspect data", Min: 1, Max: -1,
		Flags: func(e *command.Env, f *pflag.FlagSet) command.Do {
			format := f.StringP("format", "f", "", "Print by a Go template, or json")
			return func(ctx context.Context, args []string) error {
				return output.Inspect(e.Out, e.Err, *format, args, func(name string) ([]byte, error) {
					return e.Client.Raw(ctx, path(name), nil)
				})
			}
		},
	}
}

func lsCommand() command.Command {
	return command.Command{
		Name: "ls", Aliases: []string{"list"}, Short: "List volumes",
		Example: "volume ls", Min: 0, Max: 0,
		Flags: func(e *command.Env, f *pflag.FlagSet) command.Do {
			filters := output.FilterFlag(f, "f", "Only those that fit, as dangling=true")
			how := output.ListFlags(f, "Name", "names").Raw(RawLines()...)
			command.RefuseSwitch(f, "cluster", noCluster)
			return func(ctx context.Context, _ []string) error {
				q, err := output.Filters(*filters)
				if err != nil {
					return err
				}
				var list struct{ Volumes []volume.Volume }
				if err := e.Client.Call(ctx, client.Request{Method: "GET", Path: "/volumes", Query: q}, &list); err != nil {
					return err
				}
				how.Unless(e.Config().VolumesFormat)
				output.ByName(list.Volumes, func(v volume.Volume) string { return v.Name })
				return output.Rows(e.Out, how, "{{.Driver}}\t{{.Name}}", Headers(), list.Volumes, func(v volume.Volume) Row { return Row{v} })
			}
		},
	}
}

// Headers are the headings of a list of volumes.
func Headers() output.Headers {
	return output.Headers{
		"Driver": "DRIVER", "Name": "VOLUME NAME", "Scope": "SCOPE", "Mountpoint": "MOUNTPOINT", "Labels": "LABELS",
		"Links": "LINKS", "Size": "SIZE", "Availability": "AVAILABILITY", "Group": "GROUP", "Status": "STATUS",
	}
}

// Row is a line for those who print more than a list.
type Row = row

// row is one volume; its methods are the fields of templates.
type row struct{ v volume.Volume }

func (r row) Name() string             { return r.v.Name }
func (r row) Driver() string           { return r.v.Driver }
func (r row) Scope() string            { return r.v.Scope }
func (r row) Mountpoint() string       { return r.v.Mountpoint }
func (r row) Labels() string           { return output.Labels(r.v.Labels) }
func (r row) Label(name string) string { return r.v.Labels[name] }

// Availability, Group and Status are of volumes of a cluster.
func (r row) Availability() string { return "N/A" }
func (r row) Group() string        { return "N/A" }
func (r row) Status() string       { return "N/A" }

// NewRow is a volume's line.
func NewRow(v volume.Volume) Row { return Row{v} }

// Links is how many containers have it; a list does not ask for that.
func (r row) Links() string {
	if r.v.UsageData == nil {
		return "N/A"
	}
	return strconv.FormatInt(r.v.UsageData.RefCount, 10)
}

// Size is what it takes; a list does not ask for that.
func (r row) Size() string {
	if r.v.UsageData == nil {
		return "N/A"
	}
	return units.HumanSize(float64(r.v.UsageData.Size))
}

func rmCommand() command.Command {
	return command.Command{
		Name: "rm", Aliases: []string{"remove"}, Args: "VOLUME [VOLUME...]", Short: "Remove volumes and what is in them",
		Example: "volume rm data", Min: 1, Max: -1,
		Flags: func(e *command.Env, f *pflag.FlagSet) command.Do {
			force := f.BoolP("force", "f", false, "No error where it is not there")
			return func(ctx context.Context, args []string) error {
				q := url.Values{}
				if *force {
					q.Set("force", "1")
				}
				return e.Each(args, func(name string) error {
					return e.Client.Call(ctx, client.Request{Method: "DELETE", Path: path(name), Query: q}, nil)
				})
			}
		},
	}
}

// RawLines are a volume's lines in the format raw.
func RawLines() output.Lines { return output.Lines{"name:Name", "driver:Driver"} }
