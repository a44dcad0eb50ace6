package container

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/pflag"

	"lus/internal/cli/command"
	"lus/internal/model/container"
)

func startCommand() command.Command {
	return command.Command{
		Name: "start", Args: "CONTAINER [CONTAINER...]", Short: "Start stopped containers",
		Example: "start web", Min: 1, Max: -1,
		Flags: func(e *command.Env, f *pflag.FlagSet) command.Do {
			attach := f.BoolP("attach", "a", false, "Show the output and end with the process's exit code")
			input := f.BoolP("interactive", "i", false, "Attach standard input too")
			keys := f.String("detach-keys", "", "Keys that detach (default ctrl-p,ctrl-q)")
			for _, name := range []string{"checkpoint", "checkpoint-dir"} {
				command.Refuse(f, name, "processes cannot be kept over a stop: keep what matters in a volume")
			}
			return func(ctx context.Context, args []string) error {
				if *attach || *input {
					if len(args) > 1 {
						return fmt.Errorf("you cannot start and attach multiple containers at once")
					}
					return startAttached(ctx, e, args[0], *input, *keys)
				}
				return startAll(ctx, e, args)
			}
		},
	}
}

func startAll(ctx context.Context, e *command.Env, names []string) error {
	var failed []string
	err := e.Each(names, func(name string) error {
		err := post(ctx, e, path(name, "start"), nil)
		if err != nil {
			failed = append(failed, name)
		}
		return err
	})
	if len(failed) > 0 {
		fmt.Fprintln(e.Err, "Error: failed to start containers:", strings.Join(failed, ", "))
	}
	return err
}

func startAttached(ctx context.Context, e *command.Env, name string, input bool, detachKeys string) error {
	d, err := inspect(ctx, e, name)
	if err != nil {
		return err
	}
	if d.State.Running {
		return attachTo(ctx, e, name, d, input, detachKeys, true)
	}
	keys, err := detaching(e, &detachKeys, d.Config.Tty)
	if err != nil {
		return err
	}
	c := &container.Config{Tty: d.Config.Tty, AttachStdout: true, AttachStderr: true, AttachStdin: input && d.Config.OpenStdin}
	s := session{e: e, id: d.ID, config: c, remove: d.HostConfig.AutoRemove, keys: keys, detachKeys: detachKeys, sigProxy: !d.Config.Tty}
	return s.run(ctx)
}
