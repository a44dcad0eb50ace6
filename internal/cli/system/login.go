package system

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"lus/internal/base/errs"
	"lus/internal/cli/command"
	"lus/internal/cli/terminal"
	"lus/internal/client"
	"lus/internal/model/image"
)

const hub = "docker.io"

func loginCommand() command.Command {
	return command.Command{
		Name: "login", Args: "[REGISTRY]", Short: "Keep credentials for a registry",
		Example: "login -u me --password-stdin registry.example.com", Min: 0, Max: 1,
		Flags: func(e *command.Env, f *pflag.FlagSet) command.Do {
			user := f.StringP("username", "u", "", "User's name")
			password := f.StringP("password", "p", "", "Password (others on this host can see it: prefer --password-stdin)")
			stdin := f.Bool("password-stdin", false, "Read the password from standard input")
			return func(ctx context.Context, args []string) error {
				host := hub
				if len(args) > 0 {
					host = client.RegistryHost(args[0])
				}
				if *stdin && *password != "" {
					return errs.New(errs.Invalid, "conflicting options: cannot specify both --password and --password-stdin")
				}
				if *password != "" {
					fmt.Fprintln(e.Err, "WARNING! Using --password via the CLI is insecure. Use --password-stdin.")
				}
				if *user == "" && *password == "" && !*stdin {
					if done, err := again(ctx, e, host); done || err != nil {
						return err
					}
				}
				if err := ask(e, user, password, *stdin); err != nil {
					return err
				}
				return login(ctx, e, host, *user, *password)
			}
		},
	}
}

// again tries the credentials that are kept already. Where the registry does not
// take them any more, others are asked for.
func again(ctx context.Context, e *command.Env, host string) (done bool, err error) {
	a, err := client.Credentials(host)
	if a == nil || err != nil {
		return false, err
	}
	fmt.Fprintln(e.Err, "Authenticating with existing credentials...")
	a.ServerAddress = host
	var answer identity
	err = e.Client.Call(ctx, client.Request{Method: "POST", Path: "/auth", Body: a}, &answer)
	switch {
	case err == nil && answer.IdentityToken == "":
		fmt.Fprintln(e.Out, "Login Succeeded")
		return true, nil
	case err == nil:
		return true, keep(e, host, answer.instead(*a))
	case errs.Is(err, errs.Unauthenticated):
		e.Complain(fmt.Errorf("Login did not succeed, error: %w", err)) //nolint:staticcheck // docker's words
		return false, nil
	}
	return false, err
}

// ask asks for what was not given.
func ask(e *command.Env, user, password *string, stdin bool) error {
	if stdin {
		if *user == "" {
			return errs.New(errs.Invalid, "the --password-stdin option requires --username to be set")
		}
		data, err := io.ReadAll(io.LimitReader(e.In, 1<<20))
		if err != nil {
			return err
		}
		*password = strings.TrimRight(string(data), "\r\n")
		return nil
	}
	if (*user == "" || *password == "") && !terminal.Is(e.In) {
		return errs.New(errs.Invalid, "cannot ask for a password without a terminal: use --username and --password-stdin")
	}
	if *user == "" {
		fmt.Fprint(e.Out, "Username: ")
		line, err := bufio.NewReader(e.In).ReadString('\n')
		if err != nil {
			return err
		}
		*user = strings.TrimSpace(line)
	}
	if *password != "" {
		return nil
	}
	fmt.Fprint(e.Out, "Password: ")
	secret, err := terminal.Secret(e.In)
	fmt.Fprintln(e.Out)
	if err != nil {
		return err
	}
	*password = secret
	if *user == "" || *password == "" {
		return errs.New(errs.Invalid, "user and password are both needed")
	}
	return nil
}

// login has the daemon try the credentials where it can, and keeps them.
func login(ctx context.Context, e *command.Env, host, user, password string) error {
	a := image.Auth{Username: user, Password: password, ServerAddress: host}
	var answer identity
	err := e.Client.Call(ctx, client.Request{Method: "POST", Path: "/auth", Body: a}, &answer)
	switch {
	case errs.Is(err, errs.Unsupported):
		fmt.Fprintln(e.Err, "The credentials were not tried: the next pull will.")
	case err != nil:
		return err
	}
	return keep(e, host, answer.instead(a))
}

// identity is the token that a registry may give for a password.
type identity struct{ IdentityToken string }

// instead are the credentials to be kept.
func (i identity) instead(a image.Auth) image.Auth {
	if i.IdentityToken != "" {
		a.IdentityToken, a.Password = i.IdentityToken, ""
	}
	return a
}

// keep writes down credentials that the registry took.
func keep(e *command.Env, host string, a image.Auth) error {
	where, err := client.StoreCredentials(host, a)
	if err != nil {
		return err
	}
	if !strings.HasPrefix(where, "docker-credential-") {
		fmt.Fprintf(e.Err, "WARNING! The credentials are stored unencrypted in '%s'.\n", where)
	}
	fmt.Fprintln(e.Out, "Login Succeeded")
	return nil
}

func logoutCommand() command.Command {
	return command.Command{
		Name: "logout", Args: "[REGISTRY]", Short: "Forget the credentials for a registry",
		Example: "logout registry.example.com", Min: 0, Max: 1,
		Flags: func(e *command.Env, _ *pflag.FlagSet) command.Do {
			return func(_ context.Context, args []string) error {
				host := hub
				if len(args) > 0 {
					host = client.RegistryHost(args[0])
				}
				err := client.EraseCredentials(host)
				if err != nil && !errors.Is(err, os.ErrNotExist) {
					return err
				}
				fmt.Fprintf(e.Out, "Removing login credentials for %s\n", host)
				return nil
			}
		},
	}
}
