// Package account holds the commands about who there is and who may do what, one
// file a verb.
package account

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"github.com/docker/go-units"
	"github.com/spf13/pflag"

	"lus/internal/cli/command"
	"lus/internal/client"
)

// Commands are the verbs of `lus account`.
func Commands() []command.Command {
	return []command.Command{
		canCommand(), createCommand(), disableCommand(), enableCommand(), grantCommand(), inspectCommand(), lsCommand(), passwdCommand(),
		renameCommand(), revokeCommand(), rmCommand(), rulesCommand(), tokenCommand(), updateCommand(),
	}
}

// The paths of the API.
const (
	users  = "/lus/v1/accounts"
	tokens = "/lus/v1/tokens"
	rules  = "/lus/v1/rules"
)

func path(user string) string { return users + "/" + url.PathEscape(user) }

// age tells how long ago something was, in words.
func age(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return units.HumanDuration(time.Since(t)) + " ago"
}

func rmCommand() command.Command {
	return command.Command{
		Name: "rm", Aliases: []string{"remove"}, Args: "USER [USER...]", Short: "Remove users with all their tokens and rules",
		Example: "account rm ada", Min: 1, Max: -1,
		Flags: func(e *command.Env, f *pflag.FlagSet) command.Do {
			force := f.BoolP("force", "f", false, "Do not ask")
			return func(ctx context.Context, args []string) error {
				if !*force && !e.Confirm(fmt.Sprintf("This removes %d user(s). What is in their repositories stays, and only admins reach it.", len(args))) {
					return nil
				}
				return e.Each(args, func(name string) error {
					return e.Client.Call(ctx, client.Request{Method: "DELETE", Path: path(name)}, nil)
				})
			}
		},
	}
}
