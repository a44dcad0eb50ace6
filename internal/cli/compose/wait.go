package compose

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/spf13/pflag"

	"lus/internal/base/errs"
	"lus/internal/model/compose"
)

func waitCommand() command {
	return command{
		name: "wait", dry: true, args: "SERVICE [SERVICE...]", short: "Wait until the services' containers have ended; the exit code is theirs", example: "lus compose wait tests",
		flags: func(a *app, f *pflag.FlagSet) func(context.Context, []string) error {
			down := f.Bool("down-project", false, "take the project down when the first container has ended")
			return func(ctx context.Context, services []string) error {
				if len(services) == 0 {
					return wrongUse("wait", "wait takes one or more services")
				}
				name, err := a.projectName(ctx)
				if err != nil {
					return err
				}
				code, err := a.waitFor(ctx, name, services, *down)
				if err == nil && *down {
					err = a.stream(ctx, "down", &compose.DownRequest{Name: name, RemoveOrphans: true}, a.printer())
				}
				if err == nil && code != 0 {
					err = exitCode(code)
				}
				return err
			}
		},
	}
}

// waitFor waits for the end of the services' containers, or of the first; code is
// that of the last to end.
func (a *app) waitFor(ctx context.Context, project string, services []string, first bool) (code int, err error) {
	list, err := a.containers(ctx, project, false)
	if err != nil {
		return 0, err
	}
	if list = named(list, services); len(list) == 0 { // those that ended already have a code too
		if list, err = a.containers(ctx, project, true); err != nil {
			return 0, err
		}
		list = named(list, services)
	}
	if len(list) == 0 {
		return 0, errs.New(errs.NotFound, "no containers for project %q; `lus compose up -d` makes them", project)
	}
	waiting, cancel := context.WithCancel(ctx)
	defer cancel()
	var mu sync.Mutex
	var wg sync.WaitGroup
	ended, failed := 0, make([]error, len(list))
	for i, c := range list {
		wg.Go(func() {
			got, err := a.endOf(waiting, c)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case first && ended > 0:
			case err != nil:
				failed[i] = err
			default:
				fmt.Fprintf(a.Out, "container %q exited with status code %d\n", c.ID, got)
				code, ended = got, ended+1
			}
			if first {
				cancel()
			}
		})
	}
	wg.Wait()
	return code, errors.Join(failed...)
}

// endOf waits for a container's end and returns its exit code.
func (a *app) endOf(ctx context.Context, c summary) (int, error) {
	body, err := a.daemon.Do(ctx, "POST", "/containers/"+c.ID+"/wait", nil)
	if err != nil {
		return 0, fmt.Errorf("container %s: %w", c.name(), err)
	}
	v, err := decode[struct {
		StatusCode int
		Error      *struct{ Message string }
	}](body)
	if err == nil && v.Error != nil {
		err = errs.New(errs.Internal, "container %s: %s", c.name(), v.Error.Message)
	}
	return v.StatusCode, err
}
