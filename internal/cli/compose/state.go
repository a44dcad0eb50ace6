package compose

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/pflag"

	"lus/internal/base/errs"
	"lus/internal/composefile"
	"lus/internal/model/compose"
)

// parseTime turns a time, or how long ago it was, into seconds since 1970. flag is
// who says so.
func parseTime(flag, s string) (string, error) {
	if d, err := time.ParseDuration(s); err == nil {
		return seconds(time.Now().Add(-d)), nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02"} {
		if t, err := time.ParseInLocation(layout, s, time.Local); err == nil {
			return seconds(t), nil
		}
	}
	if _, err := strconv.ParseFloat(s, 64); err == nil {
		return s, nil
	}
	return "", errs.New(errs.Invalid, "%s %q is neither a time (2026-01-02T13:23:37Z) nor a duration (42m)", flag, s)
}

func seconds(t time.Time) string {
	return fmt.Sprintf("%d.%09d", t.Unix(), t.Nanosecond())
}

// each does one thing to every container of the services, side by side.
func (a *app) each(ctx context.Context, s scope, verb, did string, q url.Values) error {
	list, err := a.containers(ctx, s.project, true)
	if err != nil {
		return err
	}
	if list = s.of(list); verb != "kill" { // the others are for what lasts
		list = lasting(list)
	}
	// One that its restart policy is about to bring back is ended for good by a kill.
	ends := verb == "kill" && slices.Contains([]string{"SIGKILL", "KILL", "9"}, strings.ToUpper(cmp.Or(q.Get("signal"), "KILL")))
	list = slices.DeleteFunc(list, func(c summary) bool {
		return c.State != "running" && c.State != "paused" && (c.State != "restarting" || !ends)
	})
	if len(list) == 0 {
		_, err := fmt.Fprintf(a.Err, "No container to %s\n", verb)
		return err
	}
	if a.dryRun {
		for _, c := range list {
			fmt.Fprintf(a.Out, "%s %s container %s\n", map[bool]string{true: ".", false: ">"}[verb == "kill"], verb, c.name())
		}
		return nil
	}
	p := a.printer()
	var mu sync.Mutex
	var wg sync.WaitGroup
	failed := make([]error, len(list))
	for i, c := range list {
		wg.Go(func() {
			path := "/containers/" + c.ID + "/" + verb
			if len(q) > 0 {
				path += "?" + q.Encode()
			}
			body, err := a.daemon.Do(ctx, "POST", path, nil)
			if err != nil && !errs.Is(err, errs.NotModified) {
				failed[i] = fmt.Errorf("container %s: %w", c.name(), err)
				return
			}
			if body != nil {
				_ = body.Close()
			}
			mu.Lock()
			defer mu.Unlock()
			p.event(compose.Event{Kind: "Container", Name: c.name(), Status: did, Done: true})
		})
	}
	wg.Wait()
	return errors.Join(failed...)
}

func killCommand() command {
	return command{
		name: "kill", dry: true, args: "[SERVICE...]", short: "Send a signal to the containers' processes", example: "lus compose kill -s HUP web",
		flags: func(a *app, f *pflag.FlagSet) func(context.Context, []string) error {
			signal := f.StringP("signal", "s", "SIGKILL", "name or number of the signal")
			orphans := f.Bool("remove-orphans", truth("COMPOSE_REMOVE_ORPHANS"), "remove containers of services that are no longer in the file too")
			return func(ctx context.Context, services []string) error {
				s, err := a.scope(ctx, services)
				if err != nil {
					return err
				}
				if err := a.each(ctx, s, "kill", "Killed", url.Values{"signal": {*signal}}); err != nil || !*orphans || s.known == nil {
					return err // without a file nothing is known to be an orphan
				}
				list, err := a.containers(ctx, s.project, true)
				if err != nil {
					return err
				}
				list = slices.DeleteFunc(lasting(list), func(c summary) bool { return slices.Contains(s.known, c.service()) })
				return a.removeAll(ctx, list, false, true)
			}
		},
	}
}

func pauseCommand() command {
	return freezeCommand("pause", "Paused", "Freeze the containers' processes")
}

func unpauseCommand() command {
	return freezeCommand("unpause", "Unpaused", "Let frozen processes go on")
}

func freezeCommand(name, did, short string) command {
	return command{
		name: name, dry: true, args: "[SERVICE...]", short: short, example: "lus compose " + name + " web",
		flags: func(a *app, _ *pflag.FlagSet) func(context.Context, []string) error {
			return func(ctx context.Context, services []string) error {
				s, err := a.scope(ctx, services)
				if err != nil {
					return err
				}
				return a.each(ctx, s, name, did, nil)
			}
		},
	}
}

// change asks the daemon to start, stop or restart containers in the order of
// their dependencies, with the hooks of the file where there is one.
func (a *app) change(ctx context.Context, verb string, req *compose.StateRequest) error {
	l, name, err := a.projectOrName(ctx)
	if err != nil {
		return err
	}
	req.Name, req.Parallel, req.All = name, a.parallel, !a.fileCounts()
	if l != nil {
		req.Project = l.Project
		for _, s := range req.Services {
			if !knows(l, s) {
				return errs.New(errs.NotFound, "no such service: %s", s)
			}
		}
	}
	return a.stream(ctx, verb, req, a.printer())
}

// knows says that the files have a service, switched on or not.
func knows(l *composefile.Loaded, service string) bool {
	return slices.Contains(l.Services, service) || slices.Contains(l.Project.Known, service)
}

// timeoutFlag is how long a container may take to stop; nil where it is not given.
func timeoutFlag(f *pflag.FlagSet, to **int) func() {
	n := f.IntP("timeout", "t", 0, "seconds to let a container stop")
	return func() {
		if f.Changed("timeout") {
			*to = n
		}
	}
}

func stopCommand() command {
	return command{
		name: "stop", dry: true, args: "[SERVICE...]", short: "Stop the containers and keep them", example: "lus compose stop web",
		flags: func(a *app, f *pflag.FlagSet) func(context.Context, []string) error {
			req := &compose.StateRequest{}
			settle := timeoutFlag(f, &req.Timeout)
			return func(ctx context.Context, services []string) error {
				settle()
				req.Services = services
				return a.change(ctx, "stop", req)
			}
		},
	}
}

func startCommand() command {
	return command{
		name: "start", dry: true, args: "[SERVICE...]", short: "Start containers that were stopped", example: "lus compose start web",
		flags: func(a *app, f *pflag.FlagSet) func(context.Context, []string) error {
			req := &compose.StateRequest{}
			f.BoolVar(&req.Wait, "wait", false, "wait until the services run, and are healthy where they can say so")
			f.IntVar(&req.WaitTimeout, "wait-timeout", 0, "seconds that --wait may take")
			return func(ctx context.Context, services []string) error {
				req.Services = services
				return a.change(ctx, "start", req)
			}
		},
	}
}

func restartCommand() command {
	return command{
		name: "restart", dry: true, args: "[SERVICE...]", short: "Stop and start the containers", example: "lus compose restart web",
		flags: func(a *app, f *pflag.FlagSet) func(context.Context, []string) error {
			req := &compose.StateRequest{}
			f.BoolVar(&req.NoDeps, "no-deps", false, "leave alone what asks to be restarted with them")
			settle := timeoutFlag(f, &req.Timeout)
			return func(ctx context.Context, services []string) error {
				settle()
				req.Services = services
				return a.change(ctx, "restart", req)
			}
		},
	}
}
