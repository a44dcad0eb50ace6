package registry

import (
	"context"
	"fmt"

	"github.com/spf13/pflag"

	"lus/internal/cli/command"
	"lus/internal/model/registry"
)

func enableCommand() command.Command {
	return command.Command{
		Name: "enable", Aliases: []string{"serve"}, Args: "[ADDRESS]", Short: "Let the registry listen, now and whenever the daemon runs",
		Example: "registry enable 127.0.0.1:5000", Min: 0, Max: 1,
		Flags: func(e *command.Env, f *pflag.FlagSet) command.Do {
			transport := tlsFlags(f)
			return func(ctx context.Context, args []string) error {
				var st registry.Status
				if err := call(ctx, e, "GET", "status", nil, nil, &st); err != nil {
					return err
				}
				set := registry.Settings{Enabled: true, TLS: st.TLS}
				if err := transport(&set.TLS); err != nil {
					return err
				}
				if len(args) > 0 {
					set.Address = args[0]
				}
				if err := call(ctx, e, "PUT", "settings", nil, set, &st); err != nil {
					return err
				}
				fmt.Fprintln(e.Out, st.Listening)
				if set.TLS.Never {
					fmt.Fprintln(e.Err, "WARNING! Without TLS, passwords and images can be read and changed on their way.")
				} else if st.Secure && set.TLS.Certificate == "" {
					fmt.Fprintln(e.Err, "Clients on other hosts have to trust Lus's certificate authority: `"+e.Program+" registry ca` tells how.")
				}
				return nil
			}
		},
	}
}

func disableCommand() command.Command {
	return command.Command{
		Name: "disable", Short: "Let the registry listen no more; what is in it stays",
		Example: "registry disable", Min: 0, Max: 0,
		Flags: func(e *command.Env, f *pflag.FlagSet) command.Do {
			return func(ctx context.Context, _ []string) error {
				var st registry.Status
				if err := call(ctx, e, "GET", "status", nil, nil, &st); err != nil {
					return err
				}
				return call(ctx, e, "PUT", "settings", nil, registry.Settings{Address: st.Address, TLS: st.TLS}, &st)
			}
		},
	}
}
