package composefile

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/spf13/pflag"

	"lus/internal/base/errs"
)

// parseSince turns a time or a duration into seconds since 1970.
func parseSince(s string) (string, error) {
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
	return "", errs.New(errs.Invalid, "--since %q is neither a time (2026-01-02T13:23:37Z) nor a duration (42m)", s)
}

func seconds(t time.Time) string {
	return fmt.Sprintf("%d.%09d", t.Unix(), t.Nanosecond())
}

// each does one thing to every container of the services, side by side.
func (a *app) each(ctx context.Context, project string, services []string, verb, did string) error {
	return a.eachWith(ctx, project, services, verb, did, nil)
}

func (a *app) eachWith(ctx context.Context, project string, services []string, verb, did string, q url.Values) error {
	list, err := a.containers(ctx, project, true)
	if err != nil {
		return err
	}
	list = named(list, services)
	switch verb {
	case "start", "restart":
		list = lasting(list)
	case "kill", "pause", "unpause":
		list = slices.DeleteFunc(list, func(c summary) bool { return c.State != "running" && c.State != "paused" })
	}
	if len(list) == 0 {
		return errs.New(errs.NotFound, "project %s has no containers for this; `lus compose up -d` makes them", project)
	}
	p := &printer{w: a.Err}
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
			fmt.Fprintf(p.w, " Container %s  %s\n", c.name(), did)
		})
	}
	wg.Wait()
	return errors.Join(failed...)
}

func killCommand() command {
	return command{
		name: "kill", args: "[SERVICE...]", short: "Send a signal to the containers' processes", example: "lus compose kill -s HUP web",
		flags: func(a *app, f *pflag.FlagSet) func(context.Context, []string) error {
			signal := f.StringP("signal", "s", "SIGKILL", "name or number of the signal")
			return func(ctx context.Context, services []string) error {
				project, err := a.projectName(ctx)
				if err != nil {
					return err
				}
				return a.eachWith(ctx, project, services, "kill", "Killed", url.Values{"signal": {*signal}})
			}
		},
	}
}

func pauseCommand() command {
	return stateCommand("pause", "Paused", "Freeze the containers' processes", false)
}

func unpauseCommand() command {
	return stateCommand("unpause", "Unpaused", "Let frozen processes go on", false)
}

func stateCommand(name, did, short string, timed bool) command {
	return command{
		name: name, args: "[SERVICE...]", short: short, example: "lus compose " + name + " web",
		flags: func(a *app, f *pflag.FlagSet) func(context.Context, []string) error {
			timeout := -1
			if timed {
				f.IntVarP(&timeout, "timeout", "t", -1, "seconds to let a container stop")
			}
			return func(ctx context.Context, services []string) error {
				project, err := a.projectName(ctx)
				if err != nil {
					return err
				}
				q := url.Values{}
				if timeout >= 0 {
					q.Set("t", strconv.Itoa(timeout))
				}
				return a.eachWith(ctx, project, services, name, did, q)
			}
		},
	}
}

func stopCommand() command {
	return stateCommand("stop", "Stopped", "Stop the containers and keep them", true)
}

func startCommand() command {
	return stateCommand("start", "Started", "Start containers that were stopped", false)
}

func restartCommand() command {
	return stateCommand("restart", "Restarted", "Stop and start the containers", true)
}
