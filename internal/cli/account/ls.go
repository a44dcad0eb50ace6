package account

import (
	"context"
	"strconv"

	"github.com/spf13/pflag"

	"lus/internal/cli/command"
	"lus/internal/cli/output"
	"lus/internal/client"
	"lus/internal/model/account"
)

func lsCommand() command.Command {
	return command.Command{
		Name: "ls", Aliases: []string{"list"}, Short: "List users",
		Example: "account ls", Min: 0, Max: 0,
		Flags: func(e *command.Env, f *pflag.FlagSet) command.Do {
			how := output.ListFlags(f, "Name", "names")
			return func(ctx context.Context, _ []string) error {
				var list []account.User
				if err := e.Client.Call(ctx, client.Request{Method: "GET", Path: users}, &list); err != nil {
					return err
				}
				return output.Rows(e.Out, how, "{{.Name}}\t{{.Role}}\t{{.Status}}\t{{.Password}}\t{{.Tokens}}\t{{.CreatedSince}}", output.Headers{
					"Name": "USER", "Role": "ROLE", "Status": "STATUS", "Password": "PASSWORD", "Tokens": "TOKENS", "CreatedSince": "CREATED", "CreatedAt": "CREATED AT",
				}, list, func(u account.User) userRow { return userRow{u} })
			}
		},
	}
}

func inspectCommand() command.Command {
	return command.Command{
		Name: "inspect", Args: "USER [USER...]", Short: "Show all that is known about users",
		Example: "account inspect ada", Min: 1, Max: -1,
		Flags: func(e *command.Env, f *pflag.FlagSet) command.Do {
			format := f.StringP("format", "f", "", "Print by a Go template, or json")
			return func(ctx context.Context, args []string) error {
				return output.Inspect(e.Out, e.Err, *format, args, func(name string) ([]byte, error) {
					return e.Client.Raw(ctx, path(name), nil)
				})
			}
		},
	}
}

// userRow is one user; its methods are the fields of templates.
type userRow struct{ u account.User }

func (r userRow) Name() string { return r.u.Name }

func (r userRow) Role() string {
	if r.u.Admin {
		return "admin"
	}
	return "user"
}

func (r userRow) Status() string {
	if r.u.Disabled {
		return "disabled"
	}
	return "enabled"
}

func (r userRow) Password() string {
	if r.u.Password {
		return "yes"
	}
	return "tokens only"
}

func (r userRow) Tokens() string       { return strconv.Itoa(r.u.Tokens) }
func (r userRow) CreatedSince() string { return age(r.u.Created) }
func (r userRow) CreatedAt() string    { return r.u.Created.String() }
