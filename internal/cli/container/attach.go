package container

import (
	"context"
	"fmt"

	"github.com/spf13/pflag"

	"lus/internal/cli/command"
	"lus/internal/model/container"
)

func attachCommand() command.Command {
	return command.Command{
		Name: "attach", Args: "CONTAINER", Short: "Join the streams of a running container",
		Example: "attach web", Min: 1, Max: 1,
		Flags: func(e *command.Env, f *pflag.FlagSet) command.Do {
			noInput := f.Bool("no-stdin", false, "Do not attach standard input")
			proxy := f.Bool("sig-proxy", true, "Pass signals on to the process")
			keys := f.String("detach-keys", "", "Keys that detach (default ctrl-p,ctrl-q)")
			return func(ctx context.Context, args []string) error {
				d, err := inspect(ctx, e, args[0])
				if err != nil {
					return err
				}
				return attachTo(ctx, e, args[0], d, !*noInput, *keys, *proxy)
			}
		},
	}
}

func attachTo(ctx context.Context, e *command.Env, name string, d *details, input bool, detachKeys string, proxy bool) error {
	switch {
	case !d.State.Running:
		return fmt.Errorf("cannot attach to a stopped container, start it first: %s start %s", e.Program, name)
	case d.State.Paused:
		return fmt.Errorf("cannot attach to a paused container, unpause it first: %s unpause %s", e.Program, name)
	case d.Config.Tty && input && d.Config.OpenStdin && !interactive(e.In):
		return fmt.Errorf("the input device is not a TTY: use --no-stdin")
	}
	keys, err := detaching(e, &detachKeys, d.Config.Tty)
	if err != nil {
		return err
	}
	c := &container.Config{Tty: d.Config.Tty, AttachStdout: true, AttachStderr: true, AttachStdin: input && d.Config.OpenStdin}
	s := session{e: e, id: d.ID, config: c, keys: keys, detachKeys: detachKeys, sigProxy: proxy && !d.Config.Tty, noStart: true}
	return s.run(ctx)
}
