package account

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/pflag"

	"lus/internal/base/errs"
	"lus/internal/cli/command"
	"lus/internal/cli/terminal"
	"lus/internal/client"
	"lus/internal/model/account"
)

func passwdCommand() command.Command {
	return command.Command{
		Name: "passwd", Args: "USER", Short: "Set a user's password; who signed in with the former one must do so again",
		Example: "account passwd ada", Min: 1, Max: 1,
		Flags: func(e *command.Env, f *pflag.FlagSet) command.Do {
			stdin := f.Bool("password-stdin", false, "Read the password from standard input")
			return func(ctx context.Context, args []string) error {
				password, err := newPassword(e, *stdin)
				if err != nil {
					return err
				}
				return change(ctx, e, args[0], account.Changes{Password: &password})
			}
		},
	}
}

// change changes one user and prints the name.
func change(ctx context.Context, e *command.Env, name string, c account.Changes) error {
	var u account.User
	if err := e.Client.Call(ctx, client.Request{Method: "PATCH", Path: path(name), Body: c}, &u); err != nil {
		return err
	}
	fmt.Fprintln(e.Out, u.Name)
	return nil
}

// newPassword reads a password that somebody chooses: never from an argument,
// which everybody on the host can see.
func newPassword(e *command.Env, stdin bool) (string, error) {
	if stdin {
		data, err := io.ReadAll(io.LimitReader(e.In, 1<<16))
		if err != nil {
			return "", err
		}
		if password := strings.TrimRight(string(data), "\r\n"); password != "" {
			return password, nil
		}
		return "", errs.New(errs.Invalid, "standard input holds no password")
	}
	if !terminal.Is(e.In) {
		return "", errs.New(errs.Invalid, "cannot ask for a password without a terminal: use --password-stdin")
	}
	var typed [2]string
	for i, prompt := range []string{"Password: ", "The same again: "} {
		fmt.Fprint(e.Err, prompt)
		secret, err := terminal.Secret(e.In)
		fmt.Fprintln(e.Err)
		if err != nil {
			return "", err
		}
		typed[i] = secret
	}
	if typed[0] != typed[1] {
		return "", errs.New(errs.Invalid, "the two passwords differ: nothing was changed")
	}
	return typed[0], nil
}
