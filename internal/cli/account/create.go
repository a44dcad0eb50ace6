package account

import (
	"context"
	"fmt"

	"github.com/spf13/pflag"

	"lus/internal/cli/command"
	"lus/internal/client"
	"lus/internal/model/account"
)

func createCommand() command.Command {
	return command.Command{
		Name: "create", Args: "USER", Short: "Make a user, who may do everything below their own name",
		Example: "account create --password-stdin ada <password.txt", Min: 1, Max: 1,
		Flags: func(e *command.Env, f *pflag.FlagSet) command.Do {
			admin := f.Bool("admin", false, "May do everything everywhere")
			none := f.Bool("no-password", false, "Signs in with tokens only")
			stdin := f.Bool("password-stdin", false, "Read the password from standard input")
			over := f.Bool("take-over", false, "Even where the name was another user's before: what lies below it becomes the new user's")
			return func(ctx context.Context, args []string) error {
				n := account.NewUser{Name: args[0], Admin: *admin, TakeOver: *over}
				if _, err := account.ParseUser(n.Name); err != nil {
					return err
				}
				if !*none {
					var err error
					if n.Password, err = newPassword(e, *stdin); err != nil {
						return err
					}
				}
				if err := e.Client.Call(ctx, client.Request{Method: "POST", Path: users, Body: n}, nil); err != nil {
					return err
				}
				fmt.Fprintln(e.Out, n.Name)
				var list []account.User
				if err := e.Client.Call(ctx, client.Request{Method: "GET", Path: users}, &list); err == nil && len(list) == 1 {
					fmt.Fprintf(e.Err, "From the first user on, everybody signs in, on this host too: `%s account rules` lists the exceptions.\n", e.Program)
				}
				return nil
			}
		},
	}
}
