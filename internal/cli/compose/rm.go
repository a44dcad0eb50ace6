package compose

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"lus/internal/base/errs"
	"lus/internal/model/compose"
)

func rmCommand() command {
	return command{
		name: "rm", dry: true, args: "[SERVICE...]", short: "Remove containers that are stopped", example: "lus compose rm -f web",
		flags: func(a *app, f *pflag.FlagSet) func(context.Context, []string) error {
			force := f.BoolP("force", "f", false, "do not ask")
			stop := f.BoolP("stop", "s", false, "stop them first")
			volumes := f.BoolP("volumes", "v", false, "remove their anonymous volumes too")
			f.BoolP("all", "a", false, "as it is anyway")
			_ = f.MarkHidden("all")
			return func(ctx context.Context, services []string) error {
				s, err := a.scope(ctx, services)
				if err != nil {
					return err
				}
				if *stop {
					if err := a.change(ctx, "stop", &compose.StateRequest{Services: services}); err != nil {
						return err
					}
				}
				list, err := a.containers(ctx, s.project, true)
				if err != nil {
					return err
				}
				list = slices.DeleteFunc(lasting(s.of(list)), func(c summary) bool {
					stopped := a.dryRun && *stop // or would be
					return !stopped && slices.Contains([]string{"running", "paused", "restarting"}, c.State)
				})
				if len(list) == 0 {
					_, err := fmt.Fprintln(a.Err, "No stopped containers")
					return err
				}
				if !*force && !a.dryRun && !a.sure(list) {
					return nil
				}
				return a.removeAll(ctx, list, *volumes, *force)
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

// removeAll removes containers; those that run, too, where it is forced: they may
// have been started since they were listed.
func (a *app) removeAll(ctx context.Context, list []summary, volumes, force bool) error {
	q := url.Values{}
	for key, on := range map[string]bool{"force": force, "v": volumes} {
		if on {
			q.Set(key, "1")
		}
	}
	var failed []error
	for _, c := range list {
		if a.dryRun {
			fmt.Fprintf(a.Out, "- container %s\n", c.name())
			continue
		}
		body, err := a.daemon.Do(ctx, "DELETE", "/containers/"+c.ID+"?"+q.Encode(), nil)
		switch {
		case errs.Is(err, errs.NotFound): // it went meanwhile
			continue
		case err != nil:
			failed = append(failed, fmt.Errorf("container %s: %w", c.name(), err))
			continue
		}
		_ = body.Close()
		a.printer().event(compose.Event{Kind: "Container", Name: c.name(), Status: "Removed", Done: true})
	}
	return errors.Join(failed...)
}

func topCommand() command {
	return command{
		name: "top", dry: true, args: "[SERVICE...]", short: "List the processes of the running containers", example: "lus compose top web",
		flags: func(a *app, _ *pflag.FlagSet) func(context.Context, []string) error {
			return func(ctx context.Context, services []string) error {
				project, _, err := a.known(ctx, services, false)
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
		name: "pull", dry: true, args: "[SERVICE...]", short: "Pull the services' images", example: "lus compose pull web",
		flags: func(a *app, f *pflag.FlagSet) func(context.Context, []string) error {
			req := &compose.PullRequest{}
			f.BoolVarP(&req.Quiet, "quiet", "q", false, "print nothing but the end of each pull")
			deps := f.Bool("include-deps", false, "what the services depend on too")
			f.BoolVar(&req.IgnoreBuildable, "ignore-buildable", false, "leave out what can be built")
			f.BoolVar(&req.IgnoreFailures, "ignore-pull-failures", false, "go on where an image cannot be pulled")
			outdated(f, "parallel", "no-parallel")
			policy := f.String("policy", "always", "always, or missing: leave what is here")
			return func(ctx context.Context, services []string) error {
				if *policy != "always" && *policy != "missing" {
					return wrongUse("pull", "--policy %q: write always or missing", *policy)
				}
				req.Missing = *policy == "missing"
				l, err := a.project(ctx, services)
				if err != nil {
					return err
				}
				if !*deps {
					alone(l.Project, services)
				}
				if err := a.credentials(l.Project); err != nil {
					return err
				}
				req.Project, req.Services = l.Project, services
				return a.stream(ctx, "pull", req, a.printer())
			}
		},
	}
}

func pushCommand() command {
	return command{
		name: "push", args: "[SERVICE...]", short: "Send the images that are built to the registries in their names", example: "lus compose push web",
		flags: func(a *app, f *pflag.FlagSet) func(context.Context, []string) error {
			o := pushFlags{}
			f.BoolVarP(&o.quiet, "quiet", "q", false, "print the images' names only")
			f.BoolVar(&o.deps, "include-deps", false, "what the services depend on too")
			f.BoolVar(&o.ignore, "ignore-push-failures", false, "go on where an image cannot be sent")
			return func(ctx context.Context, services []string) error {
				l, err := a.project(ctx, services)
				if err != nil {
					return err
				}
				return a.push(ctx, l.Project, services, o)
			}
		},
	}
}

// pushFlags are the flags of push.
type pushFlags struct{ quiet, deps, ignore bool }

// push sends the images that are built and have a name of their own.
func (a *app) push(ctx context.Context, p *compose.Project, services []string, o pushFlags) error {
	for _, s := range p.Services {
		switch {
		case s.Build == nil || !o.deps && len(services) > 0 && !slices.Contains(services, s.Name):
			continue
		case s.Image == p.Name+"-"+s.Name:
			a.printer().event(compose.Event{Warning: "service " + s.Name + " is not pushed: its image has no name of its own; give it image:"})
			continue
		}
		if err := a.lus(ctx, "push", boolFlag("quiet", o.quiet || a.progress == "quiet"), s.Image); err != nil && !o.ignore {
			return err
		}
	}
	return nil
}
