package account

import (
	"context"

	"github.com/spf13/pflag"

	"lus/internal/base/errs"
	"lus/internal/cli/command"
	"lus/internal/client"
	"lus/internal/model/account"
)

// disableCommand and enableCommand are words for what happens often.
func disableCommand() command.Command {
	return switchCommand("disable", "Keep users and their tokens from signing in", true)
}

func enableCommand() command.Command {
	return switchCommand("enable", "Let users sign in again", false)
}

func switchCommand(name, short string, disabled bool) command.Command {
	return command.Command{
		Name: name, Args: "USER [USER...]", Short: short, Example: "account " + name + " ada", Min: 1, Max: -1,
		Flags: func(e *command.Env, _ *pflag.FlagSet) command.Do {
			return func(ctx context.Context, args []string) error {
				return e.Each(args, func(user string) error {
					return e.Client.Call(ctx, client.Request{Method: "PATCH", Path: path(user), Body: account.Changes{Disabled: &disabled}}, nil)
				})
			}
		},
	}
}

func updateCommand() command.Command {
	return command.Command{
		Name: "update", Args: "USER", Short: "Make a user an admin, or one no more",
		Example: "account update --admin ada", Min: 1, Max: 1,
		Flags: func(e *command.Env, f *pflag.FlagSet) command.Do {
			admin := f.Bool("admin", false, "May do everything everywhere (--admin=false: no more)")
			return func(ctx context.Context, args []string) error {
				if !f.Changed("admin") {
					return errs.New(errs.Invalid, "nothing to change: say --admin or --admin=false")
				}
				return change(ctx, e, args[0], account.Changes{Admin: admin})
			}
		},
	}
}

func renameCommand() command.Command {
	return command.Command{
		Name: "rename", Args: "USER NAME", Short: "Give a user another name; all their tokens end, and what lies below the former name is theirs no more",
		Example: "account rename ada ada.l", Min: 2, Max: 2,
		Flags: func(e *command.Env, f *pflag.FlagSet) command.Do {
			over := f.Bool("take-over", false, "Even where the name was in use before, as the user's own: what lies below it becomes theirs")
			return func(ctx context.Context, args []string) error {
				if _, err := account.ParseUser(args[1]); err != nil {
					return err
				}
				return change(ctx, e, args[0], account.Changes{Name: &args[1], TakeOver: *over})
			}
		},
	}
}
