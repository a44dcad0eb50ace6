package compose

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"

	"github.com/spf13/pflag"

	"lus/internal/cli/output"
	"lus/internal/model/compose"
)

// volumeRow is one volume as volumes shows it; its methods are a template's fields.
type volumeRow struct{ v listedVolume }

// listedVolume is one entry of GET /volumes.
type listedVolume struct {
	Name, Driver, Mountpoint, Scope string
	Labels                          map[string]string
}

func (r volumeRow) Name() string             { return r.v.Name }
func (r volumeRow) Driver() string           { return r.v.Driver }
func (r volumeRow) Mountpoint() string       { return r.v.Mountpoint }
func (r volumeRow) Scope() string            { return r.v.Scope }
func (r volumeRow) Labels() string           { return output.Labels(r.v.Labels) }
func (r volumeRow) Label(name string) string { return r.v.Labels[name] }
func (r volumeRow) Availability() string     { return "N/A" }
func (r volumeRow) Group() string            { return "N/A" }
func (r volumeRow) Links() string            { return "N/A" }
func (r volumeRow) Size() string             { return "N/A" }
func (r volumeRow) Status() string           { return "N/A" }

func volumesCommand() command {
	return command{
		name: "volumes", dry: true, args: "[SERVICE...]", short: "List the project's volumes", example: "lus compose volumes",
		flags: func(a *app, f *pflag.FlagSet) func(context.Context, []string) error {
			quiet := f.BoolP("quiet", "q", false, "names only")
			format := f.String("format", "table", "table, json, or a Go template")
			return func(ctx context.Context, services []string) error {
				name, _, err := a.known(ctx, services, false)
				if err != nil {
					return err
				}
				list, err := a.volumesOf(ctx, name, services)
				if err != nil {
					return err
				}
				rows := make([]volumeRow, len(list))
				for i, v := range list {
					if *quiet {
						fmt.Fprintln(a.Out, v.Name)
					}
					rows[i] = volumeRow{v}
				}
				if *quiet {
					return nil
				}
				return output.List(a.Out, *format, `{{.Driver}}\t{{.Name}}`, output.Headers{
					"Name": "VOLUME NAME", "Driver": "DRIVER", "Mountpoint": "MOUNTPOINT", "Scope": "SCOPE", "Labels": "LABELS",
					"Availability": "AVAILABILITY", "Group": "GROUP", "Links": "LINKS", "Size": "SIZE", "Status": "STATUS",
				}, rows)
			}
		},
	}
}

// volumesOf are a project's volumes, or those that the services' containers use.
func (a *app) volumesOf(ctx context.Context, project string, services []string) ([]listedVolume, error) {
	filters, err := json.Marshal(map[string][]string{"label": {compose.LabelProject + "=" + project}})
	if err != nil {
		return nil, err
	}
	found, err := get[struct{ Volumes []listedVolume }](ctx, a.daemon, "/volumes?"+url.Values{"filters": {string(filters)}}.Encode())
	if err != nil {
		return nil, err
	}
	list := found.Volumes
	if len(services) > 0 {
		containers, err := a.containers(ctx, project, true)
		if err != nil {
			return nil, err
		}
		used := map[string]bool{}
		for _, c := range named(containers, services) {
			for _, m := range c.Mounts {
				used[m.Name] = true
			}
		}
		list = slices.DeleteFunc(list, func(v listedVolume) bool { return !used[v.Name] })
	}
	output.ByName(list, func(v listedVolume) string { return v.Name })
	return list, nil
}
