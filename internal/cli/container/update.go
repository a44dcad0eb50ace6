package container

import (
	"context"
	"fmt"

	"github.com/spf13/pflag"

	"lus/internal/cli/command"
	"lus/internal/cli/terminal"
	"lus/internal/client"
	"lus/internal/model/container"
)

func updateCommand() command.Command {
	return command.Command{
		Name: "update", Args: "CONTAINER [CONTAINER...]", Short: "Change limits and the restart policy, also while they run",
		Example: "update --memory 512m --cpus 1.5 --restart always web", Min: 1, Max: -1,
		Flags: func(e *command.Env, f *pflag.FlagSet) command.Do {
			o := &updateFlags{set: f.Changed}
			o.register(f)
			return func(ctx context.Context, args []string) error {
				if f.NFlag() == 0 {
					return fmt.Errorf("you must provide one or more flags when using this command")
				}
				req, err := o.request()
				if err != nil {
					return err
				}
				return e.Each(args, func(name string) error {
					var out struct{ Warnings []string }
					err := e.Client.Call(ctx, client.Request{Method: "POST", Path: path(name, "update"), Body: req}, &out)
					for _, w := range out.Warnings {
						fmt.Fprintln(e.Err, terminal.Harmless(e.Err, w))
					}
					return err
				})
			}
		},
	}
}

// updateFlags are the flags of update, as typed.
type updateFlags struct {
	limitFlags
	restart string
	set     func(flag string) bool
}

func (o *updateFlags) register(f *pflag.FlagSet) {
	o.limitFlags.register(f)
	f.StringVar(&o.restart, "restart", "", "Start it again: no, on-failure[:max], always, unless-stopped")
}

func (o *updateFlags) request() (*container.UpdateRequest, error) {
	limits, err := o.resources(o.set)
	req := &container.UpdateRequest{Resources: limits}
	if err == nil && o.restart != "" {
		req.RestartPolicy, err = restartPolicy(o.restart)
	}
	return req, err
}
