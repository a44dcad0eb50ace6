package container

import (
	"context"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"lus/internal/cli/command"
	"lus/internal/cli/output"
	"lus/internal/client"
)

func lsCommand() command.Command {
	return command.Command{
		Name: "ls", Aliases: []string{"list", "ps"}, Short: "List containers",
		Example: "ps -a --filter status=exited", Min: 0, Max: 0,
		Flags: func(e *command.Env, f *pflag.FlagSet) command.Do {
			o := &lsFlags{}
			f.BoolVarP(&o.all, "all", "a", false, "Also those that do not run")
			o.filters = output.FilterFlag(f, "f", "Only those that fit, as status=exited or name=web")
			f.StringVar(&o.format, "format", "", "Print by a Go template, table, json or raw")
			f.IntVarP(&o.last, "last", "n", -1, "The last so many that were made, in any state")
			f.BoolVarP(&o.latest, "latest", "l", false, "The one that was made last, in any state")
			f.BoolVar(&o.noTrunc, "no-trunc", false, "Do not cut anything short")
			f.BoolVarP(&o.quiet, "quiet", "q", false, "Only print ids")
			f.BoolVarP(&o.size, "size", "s", false, "Show sizes")
			return func(ctx context.Context, _ []string) error { return o.run(ctx, e) }
		},
	}
}

// lsFlags are the flags of ls.
type lsFlags struct {
	all, latest, noTrunc, quiet, size bool
	filters                           *[]string
	format                            string
	last                              int
}

func (o *lsFlags) run(ctx context.Context, e *command.Env) error {
	q, err := output.Filters(*o.filters)
	if err != nil {
		return err
	}
	switch {
	case o.quiet && o.format != "":
		e.Warning("Ignoring custom format, because both --format and --quiet are set.")
		if o.format != output.Raw {
			o.format = ""
		}
	case !o.quiet && o.format == "":
		o.format = e.Config().PsFormat
	}
	if o.latest && o.last < 0 {
		o.last = 1
	}
	if o.all {
		q.Set("all", "1")
	}
	if o.last > 0 {
		q.Set("limit", strconv.Itoa(o.last))
	}
	if o.size || strings.Contains(o.format, ".Size") || strings.Contains(strings.ReplaceAll(o.format, " ", ""), "json.}}") {
		q.Set("size", "1")
	}
	var list []Summary
	if err := e.Client.Call(ctx, client.Request{Method: "GET", Path: "/containers/json", Query: q}, &list); err != nil {
		return err
	}
	rows := make([]Row, 0, len(list))
	for _, s := range list {
		rows = append(rows, NewRow(s, !o.noTrunc))
	}
	switch {
	case o.format == output.Raw:
		o.format = o.raw()
	case o.quiet:
		o.format = "{{.ID}}"
	}
	columns := "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}"
	if o.size {
		columns += "\t{{.Size}}"
	}
	return output.List(e.Out, o.format, columns, Headers(), rows)
}

// raw is the template of the format of that name.
func (o *lsFlags) raw() string {
	lines := RawLines(o.size)
	if o.quiet {
		return lines.Template("ID")
	}
	return lines.Template("")
}

// RawLines are a container's lines in the format raw.
func RawLines(size bool) output.Lines {
	lines := output.Lines{"container_id:ID", "image:Image", "command:Command", "created_at:CreatedAt", "state?:State", "status?:Status", "names:Names", "labels?:Labels", "ports?:Ports"}
	if size {
		lines = append(lines, "size:Size")
	}
	return lines
}

// Headers are the headings of a list of containers.
func Headers() output.Headers {
	return output.Headers{
		"ID": "CONTAINER ID", "Image": "IMAGE", "Command": "COMMAND", "RunningFor": "CREATED", "CreatedAt": "CREATED AT",
		"Status": "STATUS", "State": "STATE", "Ports": "PORTS", "Names": "NAMES", "Size": "SIZE", "Labels": "LABELS",
		"Mounts": "MOUNTS", "Platform": "PLATFORM", "LocalVolumes": "LOCAL VOLUMES", "Networks": "NETWORKS",
	}
}
