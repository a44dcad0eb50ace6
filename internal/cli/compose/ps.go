package compose

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/spf13/pflag"

	"lus/internal/base/errs"
	"lus/internal/base/ids"
	"lus/internal/cli/output"
	"lus/internal/model/compose"
)

// psColumns are the columns of ps, as docker compose prints them.
const psColumns = `{{.Name}}\t{{.Image}}\t{{.Command}}\t{{.Service}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}`

func psHeaders() output.Headers {
	return output.Headers{
		"ID": "CONTAINER ID", "Name": "NAME", "Names": "NAMES", "Project": "PROJECT", "Service": "SERVICE", "Image": "IMAGE",
		"Command": "COMMAND", "CreatedAt": "CREATED AT", "RunningFor": "CREATED", "Ports": "PORTS", "State": "STATE",
		"Status": "STATUS", "Size": "SIZE", "Labels": "LABELS", "Health": "HEALTH", "ExitCode": "EXIT CODE",
		"Mounts": "MOUNTS", "LocalVolumes": "LOCAL VOLUMES", "Networks": "NETWORKS", "Publishers": "PUBLISHERS",
	}
}

// psRow is one container as ps shows it; its methods are a template's fields.
type psRow struct {
	c    summary
	full bool // nothing is cut
}

func (r psRow) ID() string {
	if r.full {
		return r.c.ID
	}
	return ids.Short(r.c.ID)
}

func (r psRow) Command() string {
	if r.full {
		return strconv.Quote(r.c.Command)
	}
	return strconv.Quote(output.Ellipsis(r.c.Command, 20))
}

func (r psRow) Mounts() string {
	var out []string
	for _, m := range r.c.Mounts {
		name := m.Name
		if name == "" {
			name = m.Source
		}
		if !r.full {
			name = output.Ellipsis(name, 15)
		}
		out = append(out, name)
	}
	return strings.Join(out, ",")
}

func (r psRow) LocalVolumes() string {
	n := 0
	for _, m := range r.c.Mounts {
		if m.Type == "volume" && m.Driver == "local" {
			n++
		}
	}
	return strconv.Itoa(n)
}

func (r psRow) Name() string      { return r.c.name() }
func (r psRow) Names() string     { return r.c.name() }
func (r psRow) Project() string   { return r.c.Labels[compose.LabelProject] }
func (r psRow) Service() string   { return r.c.service() }
func (r psRow) Image() string     { return r.c.Image }
func (r psRow) CreatedAt() string { return time.Unix(r.c.Created, 0).String() }
func (r psRow) State() string     { return r.c.State }
func (r psRow) Status() string    { return r.c.Status }
func (r psRow) Health() string    { return r.c.health() }
func (r psRow) ExitCode() int     { return r.c.exitCode() }
func (r psRow) Ports() string     { return r.c.ports() }
func (r psRow) Labels() string    { return output.Labels(r.c.Labels) }
func (r psRow) Networks() string {
	return strings.Join(slices.Sorted(maps.Keys(r.c.NetworkSettings.Networks)), ",")
}
func (r psRow) Label(name string) string { return r.c.Labels[name] }
func (r psRow) RunningFor() string {
	return units.HumanDuration(time.Since(time.Unix(r.c.Created, 0))) + " ago"
}

func (r psRow) Size() string {
	s := units.HumanSizeWithPrecision(float64(r.c.SizeRw), 3)
	if r.c.SizeRootFs > 0 {
		s += " (virtual " + units.HumanSizeWithPrecision(float64(r.c.SizeRootFs), 3) + ")"
	}
	return s
}

// publisher is one port in the JSON of ps.
type publisher struct {
	URL           string
	TargetPort    int
	PublishedPort int
	Protocol      string
}

// String is one as templates print it.
func (p publisher) String() string {
	return fmt.Sprintf("%d/%s -> %s:%d", p.TargetPort, p.Protocol, p.URL, p.PublishedPort)
}

func (r psRow) Publishers() []publisher {
	out := []publisher{}
	for _, p := range r.c.Ports {
		out = append(out, publisher{p.IP, int(p.PrivatePort), int(p.PublicPort), p.Type})
	}
	return out
}

// health is read from the status, as in "Up 2 minutes (healthy)".
func (c summary) health() string {
	for _, h := range []string{"unhealthy", "healthy", "starting"} {
		if strings.Contains(c.Status, "("+h) || strings.Contains(c.Status, "health: "+h) {
			return h
		}
	}
	return ""
}

// exitCode is read from the status, as in "Exited (1) 2 minutes ago".
func (c summary) exitCode() int {
	_, rest, _ := strings.Cut(c.Status, "Exited (")
	code, _, _ := strings.Cut(rest, ")")
	n, err := strconv.Atoi(code)
	if err != nil {
		return 0
	}
	return n
}

// psFlags are the flags of ps.
type psFlags struct {
	all, quiet, services, full, orphans bool
	format, filter                      string
	status                              []string
}

func psCommand() command {
	return command{
		name: "ps", dry: true, args: "[SERVICE...]", short: "List the project's containers",
		example: "lus compose ps -a",
		flags: func(a *app, f *pflag.FlagSet) func(context.Context, []string) error {
			o := &psFlags{}
			f.BoolVarP(&o.all, "all", "a", false, "those that ended too, and those that run made")
			f.BoolVarP(&o.quiet, "quiet", "q", false, "ids only")
			f.BoolVar(&o.services, "services", false, "names of the services only")
			f.BoolVar(&o.full, "no-trunc", false, "cut nothing off")
			f.BoolVar(&o.orphans, "orphans", true, "those of services that are not in the file too")
			f.StringVar(&o.format, "format", "", "table, json, or a Go template")
			f.StringVar(&o.filter, "filter", "", "only those that fit: status=running")
			f.StringArrayVar(&o.status, "status", nil, "only those in this state: created, running, paused, restarting, removing, exited, dead")
			return func(ctx context.Context, services []string) error { return a.ps(ctx, o, services) }
		},
	}
}

func (a *app) ps(ctx context.Context, o *psFlags, services []string) error {
	if o.filter != "" {
		key, value, ok := strings.Cut(o.filter, "=")
		if !ok || key != "status" {
			return wrongUse("ps", "unknown filter %q: write status=STATE", o.filter)
		}
		o.status = append(o.status, value)
	}
	name, known, err := a.known(ctx, services, !o.orphans)
	if err != nil {
		return err
	}
	if len(services) == 0 && !o.orphans {
		services = known
	}
	list, err := a.containers(ctx, name, o.all || len(o.status) > 0)
	if err != nil {
		return err
	}
	list = slices.DeleteFunc(named(list, services), func(c summary) bool {
		return len(o.status) > 0 && !slices.Contains(o.status, c.State)
	})
	if !o.all {
		list = lasting(list)
	}
	switch {
	case o.quiet:
		for _, c := range list {
			fmt.Fprintln(a.Out, c.ID)
		}
		return nil
	case o.services:
		return a.lines(serviceNames(list))
	}
	rows := make([]psRow, len(list))
	for i, c := range list {
		rows[i] = psRow{c, o.full}
	}
	return output.List(a.Out, o.format, psColumns, psHeaders(), rows)
}

// serviceNames are the services of containers, each once, sorted.
func serviceNames(list []summary) []string {
	seen := map[string]bool{}
	for _, c := range list {
		seen[c.service()] = true
	}
	return slices.Sorted(maps.Keys(seen))
}

func (a *app) lines(lines []string) error {
	for _, l := range lines {
		if _, err := fmt.Fprintln(a.Out, l); err != nil {
			return err
		}
	}
	return nil
}

// known is the project's name, and the services of its file. The file is read
// where asked for, and to refuse services that neither it nor any container has.
func (a *app) known(ctx context.Context, services []string, read bool) (name string, inFile []string, err error) {
	if !read && len(services) == 0 {
		name, err = a.projectName(ctx)
		return name, nil, err
	}
	l, err := a.quietly(ctx)
	if err != nil {
		if name = a.givenName(); name != "" && errs.Is(err, errs.NotFound) {
			return name, nil, nil
		}
		return "", nil, err
	}
	for _, s := range services {
		if !knows(l, s) {
			return "", nil, errs.New(errs.NotFound, "no such service: %s", s)
		}
	}
	return l.Project.Name, l.Services, nil
}
