package composefile

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/docker/go-units"
	"github.com/spf13/pflag"

	"lus/internal/base/errs"
	"lus/internal/base/ids"
	"lus/internal/base/version"
	"lus/internal/model/compose"
)

func table(w io.Writer, header string, rows [][]string) error {
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintln(t, header)
	for _, r := range rows {
		fmt.Fprintln(t, strings.Join(r, "\t"))
	}
	return t.Flush()
}

// named sorts a project's containers by name and keeps those of the services
// asked for.
func named(list []summary, services []string) []summary {
	list = slices.DeleteFunc(list, func(c summary) bool {
		return len(services) > 0 && !slices.Contains(services, c.service())
	})
	slices.SortFunc(list, func(a, b summary) int { return cmp.Compare(a.name(), b.name()) })
	return list
}

func (c summary) name() string {
	if len(c.Names) == 0 {
		return ids.Short(c.ID)
	}
	return strings.TrimPrefix(c.Names[0], "/")
}

func (c summary) ports() string {
	var out []string
	for _, p := range c.Ports {
		s := fmt.Sprintf("%d/%s", p.PrivatePort, p.Type)
		if p.PublicPort != 0 {
			host := p.IP
			if strings.Contains(host, ":") {
				host = "[" + host + "]"
			}
			s = fmt.Sprintf("%s:%d->%s", host, p.PublicPort, s)
		}
		out = append(out, s)
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

func psCommand() command {
	return command{
		name: "ps", args: "[SERVICE...]", short: "List the project's containers",
		example: "lus compose ps -a",
		flags: func(a *app, f *pflag.FlagSet) func(context.Context, []string) error {
			all := f.BoolP("all", "a", false, "those that ended too")
			quiet := f.BoolP("quiet", "q", false, "ids only")
			services := f.Bool("services", false, "names of the services only")
			return func(ctx context.Context, args []string) error {
				name, err := a.projectName(ctx)
				if err != nil {
					return err
				}
				list, err := a.containers(ctx, name, *all)
				if err != nil {
					return err
				}
				list = named(list, args)
				if !*all {
					list = lasting(list)
				}
				switch {
				case *quiet:
					for _, c := range list {
						fmt.Fprintln(a.Out, c.ID)
					}
					return nil
				case *services:
					seen := map[string]bool{}
					for _, c := range list {
						seen[c.service()] = true
					}
					for _, s := range slices.Sorted(maps.Keys(seen)) {
						fmt.Fprintln(a.Out, s)
					}
					return nil
				}
				var rows [][]string
				for _, c := range list {
					created := units.HumanDuration(time.Since(time.Unix(c.Created, 0))) + " ago"
					rows = append(rows, []string{c.name(), c.Image, strconv.Quote(short(c.Command)), c.service(), created, c.Status, c.ports()})
				}
				return table(a.Out, "NAME\tIMAGE\tCOMMAND\tSERVICE\tCREATED\tSTATUS\tPORTS", rows)
			}
		},
	}
}

func short(s string) string {
	if r := []rune(s); len(r) > 20 {
		return string(r[:19]) + "…"
	}
	return s
}

func lsCommand() command {
	return command{
		name: "ls", short: "List the projects that run", example: "lus compose ls -a",
		flags: func(a *app, f *pflag.FlagSet) func(context.Context, []string) error {
			all := f.BoolP("all", "a", false, "those whose containers ended too")
			quiet := f.BoolP("quiet", "q", false, "names only")
			return func(ctx context.Context, _ []string) error {
				list, err := a.containers(ctx, "", *all)
				if err != nil {
					return err
				}
				states := map[string]map[string]int{}
				files := map[string]string{}
				for _, c := range list {
					p := c.Labels[compose.LabelProject]
					if states[p] == nil {
						states[p] = map[string]int{}
					}
					states[p][c.State]++
					files[p] = c.Labels[compose.LabelConfigFiles]
				}
				var rows [][]string
				for _, p := range slices.Sorted(maps.Keys(states)) {
					if *quiet {
						fmt.Fprintln(a.Out, p)
						continue
					}
					var parts []string
					for _, s := range slices.Sorted(maps.Keys(states[p])) {
						parts = append(parts, fmt.Sprintf("%s(%d)", s, states[p][s]))
					}
					rows = append(rows, []string{p, strings.Join(parts, ", "), files[p]})
				}
				if *quiet {
					return nil
				}
				return table(a.Out, "NAME\tSTATUS\tCONFIG FILES", rows)
			}
		},
	}
}

func imagesCommand() command {
	return command{
		name: "images", args: "[SERVICE...]", short: "List the images of the project's containers", example: "lus compose images",
		flags: func(a *app, f *pflag.FlagSet) func(context.Context, []string) error {
			quiet := f.BoolP("quiet", "q", false, "ids only")
			return func(ctx context.Context, args []string) error {
				name, err := a.projectName(ctx)
				if err != nil {
					return err
				}
				list, err := a.containers(ctx, name, true)
				if err != nil {
					return err
				}
				var rows [][]string
				for _, c := range named(list, args) {
					id := strings.TrimPrefix(c.ImageID, "sha256:")
					if *quiet {
						fmt.Fprintln(a.Out, id)
						continue
					}
					rows = append(rows, []string{c.name(), c.Image, ids.Short(id)})
				}
				if *quiet {
					return nil
				}
				return table(a.Out, "CONTAINER\tIMAGE\tIMAGE ID", rows)
			}
		},
	}
}

func portCommand() command {
	return command{
		name: "port", args: "SERVICE PORT", short: "Print where a service's port is published", example: "lus compose port web 80",
		flags: func(a *app, f *pflag.FlagSet) func(context.Context, []string) error {
			proto := f.String("protocol", "tcp", "tcp or udp")
			index := f.Int("index", 1, "which of the service's containers")
			return func(ctx context.Context, args []string) error {
				if len(args) != 2 {
					return &usageError{"port takes a service and a port", "See 'lus compose port --help'.\n"}
				}
				name, err := a.projectName(ctx)
				if err != nil {
					return err
				}
				list, err := a.containers(ctx, name, false)
				if err != nil {
					return err
				}
				for _, c := range lasting(named(list, args[:1])) {
					if c.Labels[compose.LabelNumber] != strconv.Itoa(*index) {
						continue
					}
					for _, p := range c.Ports {
						if strconv.Itoa(int(p.PrivatePort)) == args[1] && p.Type == *proto && p.PublicPort != 0 {
							fmt.Fprintf(a.Out, "%s:%d\n", p.IP, p.PublicPort)
							return nil
						}
					}
					return errs.New(errs.NotFound, "port %s/%s of service %s is not published", args[1], *proto, args[0])
				}
				return errs.New(errs.NotFound, "service %s has no running container %d", args[0], *index)
			}
		},
	}
}

func configCommand() command {
	return command{
		name: "config", short: "Check the file and print it resolved", example: "lus compose config --services",
		flags: func(a *app, f *pflag.FlagSet) func(context.Context, []string) error {
			quiet := f.BoolP("quiet", "q", false, "check only")
			services := f.Bool("services", false, "names of the services only")
			images := f.Bool("images", false, "names of the images only")
			volumes := f.Bool("volumes", false, "names of the volumes only")
			profiles := f.Bool("profiles", false, "names of the profiles only")
			hash := f.String("hash", "", "sums of the services with these names (a,b), or of all (*)")
			format := f.String("format", "yaml", "yaml or json")
			return func(ctx context.Context, args []string) error {
				l, err := a.project(ctx, args)
				if err != nil || *quiet {
					return err
				}
				if *services || *images {
					for _, s := range l.Project.Services {
						fmt.Fprintln(a.Out, map[bool]string{true: s.Name, false: s.Image}[*services])
					}
					return nil
				}
				if *volumes || *profiles || *hash != "" {
					return a.parts(l, *volumes, *profiles, *hash)
				}
				var text []byte
				switch *format {
				case "yaml":
					text, err = l.source.MarshalYAML()
				case "json":
					text, err = json.MarshalIndent(l.source, "", "  ")
				default:
					return &usageError{fmt.Sprintf("unknown format %q: write yaml or json", *format), "See 'lus compose config --help'.\n"}
				}
				if err != nil {
					return err
				}
				_, err = fmt.Fprintln(a.Out, strings.TrimRight(string(text), "\n"))
				return err
			}
		},
	}
}

// parts prints one kind of thing that a project has, one a line.
func (a *app) parts(l *Loaded, volumes, profiles bool, hash string) error {
	var lines []string
	switch {
	case volumes:
		for _, v := range l.Project.Volumes {
			lines = append(lines, v.Key)
		}
	case profiles:
		for _, s := range l.source.AllServices() {
			lines = append(lines, s.Profiles...)
		}
		slices.Sort(lines)
		lines = slices.Compact(lines)
	default:
		wanted := strings.Split(hash, ",")
		for _, s := range l.Project.Services {
			if hash == "*" || slices.Contains(wanted, s.Name) {
				lines = append(lines, s.Name+" "+s.Hash)
			}
		}
	}
	for _, line := range lines {
		fmt.Fprintln(a.Out, line)
	}
	return nil
}

func versionCommand() command {
	return command{
		name: "version", short: "Print the version", example: "lus compose version",
		flags: func(a *app, _ *pflag.FlagSet) func(context.Context, []string) error {
			return func(context.Context, []string) error {
				_, err := fmt.Fprintf(a.Out, "Lus Compose version %s\n", version.String())
				return err
			}
		},
	}
}
