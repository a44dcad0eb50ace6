package composefile

import (
	"bufio"
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"lus/internal/model/compose"
)

// lasting leaves out the containers that `compose run` made.
func lasting(list []summary) []summary {
	return slices.DeleteFunc(list, func(c summary) bool { return c.Labels[compose.LabelOneoff] == "True" })
}

func rmCommand() command {
	return command{
		name: "rm", args: "[SERVICE...]", short: "Remove containers that are stopped", example: "lus compose rm -f web",
		flags: func(a *app, f *pflag.FlagSet) func(context.Context, []string) error {
			force := f.BoolP("force", "f", false, "do not ask")
			stop := f.BoolP("stop", "s", false, "stop them first")
			volumes := f.BoolP("volumes", "v", false, "remove their anonymous volumes too")
			return func(ctx context.Context, services []string) error {
				project, err := a.projectName(ctx)
				if err != nil {
					return err
				}
				if *stop {
					if err := a.each(ctx, project, services, "stop", "Stopped"); err != nil {
						return err
					}
				}
				list, err := a.containers(ctx, project, true)
				if err != nil {
					return err
				}
				list = slices.DeleteFunc(named(list, services), func(c summary) bool {
					return slices.Contains([]string{"running", "paused", "restarting"}, c.State)
				})
				if len(list) == 0 {
					_, err := fmt.Fprintln(a.Err, "No stopped containers")
					return err
				}
				if !*force && !a.sure(list) {
					return nil
				}
				return a.removeAll(ctx, list, *volumes)
			}
		},
	}
}

// sure asks before containers go.
func (a *app) sure(list []summary) bool {
	var names []string
	for _, c := range list {
		names = append(names, c.name())
	}
	fmt.Fprintf(a.Err, "Going to remove %s\nAre you sure? [yN] ", strings.Join(names, ", "))
	answer, _ := bufio.NewReader(a.In).ReadString('\n')
	return slices.Contains([]string{"y", "yes"}, strings.ToLower(strings.TrimSpace(answer)))
}

func (a *app) removeAll(ctx context.Context, list []summary, volumes bool) error {
	q := url.Values{}
	if volumes {
		q.Set("v", "1")
	}
	for _, c := range list {
		body, err := a.daemon.Do(ctx, "DELETE", "/containers/"+c.ID+"?"+q.Encode(), nil)
		if err != nil {
			return fmt.Errorf("container %s: %w", c.name(), err)
		}
		if body != nil {
			_ = body.Close()
		}
		fmt.Fprintf(a.Err, " Container %s  Removed\n", c.name())
	}
	return nil
}

func topCommand() command {
	return command{
		name: "top", args: "[SERVICE...]", short: "List the processes of the running containers", example: "lus compose top web",
		flags: func(a *app, _ *pflag.FlagSet) func(context.Context, []string) error {
			return func(ctx context.Context, services []string) error {
				project, err := a.projectName(ctx)
				if err != nil {
					return err
				}
				list, err := a.containers(ctx, project, false)
				if err != nil {
					return err
				}
				header, rows := "", [][]string{}
				for _, c := range named(list, services) {
					top, err := get[struct {
						Titles    []string
						Processes [][]string
					}](ctx, a.daemon, "/containers/"+c.ID+"/top")
					if err != nil {
						return err
					}
					header = "SERVICE\t#\t" + strings.Join(top.Titles, "\t")
					for _, p := range top.Processes {
						rows = append(rows, append([]string{c.service(), c.Labels[compose.LabelNumber]}, p...))
					}
				}
				if len(rows) == 0 {
					return nil
				}
				return table(a.Out, header, rows)
			}
		},
	}
}

func pullCommand() command {
	return command{
		name: "pull", args: "[SERVICE...]", short: "Pull the services' images", example: "lus compose pull web",
		flags: func(a *app, f *pflag.FlagSet) func(context.Context, []string) error {
			quiet := f.BoolP("quiet", "q", false, "print nothing but errors")
			return func(ctx context.Context, services []string) error {
				l, err := a.project(ctx, services)
				if err != nil {
					return err
				}
				if err := a.credentials(l.Project); err != nil {
					return err
				}
				req := &compose.PullRequest{Project: l.Project, Services: services}
				return a.stream(ctx, "pull", req, &printer{w: a.Err, quiet: *quiet})
			}
		},
	}
}
