package account

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"lus/internal/base/errs"
	"lus/internal/cli/command"
	"lus/internal/cli/output"
	"lus/internal/client"
	"lus/internal/model/account"
)

// tokenCommand holds the verbs of `lus account token`.
func tokenCommand() command.Command {
	return command.Command{
		Name: "token", Short: "Tokens, which stand for a user where a password should not be",
		Sub: []command.Command{createTokenCommand(), lsTokenCommand(), rmTokenCommand()},
	}
}

func createTokenCommand() command.Command {
	return command.Command{
		Name: "create", Args: "USER", Short: "Make a token and print it, this once",
		Example: "account token create --name ci --scope registry:ada/app:read,write --expires 90d ada", Min: 1, Max: 1,
		Flags: func(e *command.Env, f *pflag.FlagSet) command.Do {
			name := f.String("name", "", "What it is for")
			scopes := f.StringArray("scope", nil, "What it may do, of what its user may: RESOURCE:ACTIONS, or ACTIONS alone for everything (default read)")
			expires := f.String("expires", "", "After how long it ends: 12h, 90d (default: it does not)")
			return func(ctx context.Context, args []string) error {
				r := account.TokenRequest{Name: *name}
				var err error
				if r.Lifetime, err = lifetime(*expires); err != nil {
					return err
				}
				for _, text := range *scopes {
					s, err := account.ParseScope(text)
					if err != nil {
						return err
					}
					r.Scopes = append(r.Scopes, s)
				}
				var t account.NewToken
				if err := e.Client.Call(ctx, client.Request{Method: "POST", Path: path(args[0]) + "/tokens", Body: r}, &t); err != nil {
					return err
				}
				fmt.Fprintf(e.Err, "Token %s of %s: %s. It is shown this once:\n", t.ID, t.User, scopeList(t.Scopes))
				fmt.Fprintln(e.Out, t.Secret)
				return nil
			}
		},
	}
}

// lifetime reads a duration that may be in days; empty is none.
func lifetime(s string) (time.Duration, error) {
	if s == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(s)
	if days, ok := strings.CutSuffix(s, "d"); ok {
		var n int
		n, err = strconv.Atoi(days)
		if n > 36500 {
			n = 0
		}
		d = time.Duration(n) * 24 * time.Hour
	}
	if err != nil || d <= 0 {
		return 0, errs.New(errs.Invalid, "%q is no time to live: write 12h or 90d", s)
	}
	return d, nil
}

func lsTokenCommand() command.Command {
	return command.Command{
		Name: "ls", Aliases: []string{"list"}, Args: "[USER]", Short: "List tokens, of one user or of all",
		Example: "account token ls ada", Min: 0, Max: 1,
		Flags: func(e *command.Env, f *pflag.FlagSet) command.Do {
			how := output.ListFlags(f, "ID", "ids")
			return func(ctx context.Context, args []string) error {
				q := url.Values{}
				if len(args) > 0 {
					q.Set("user", args[0])
				}
				var list []account.Token
				if err := e.Client.Call(ctx, client.Request{Method: "GET", Path: tokens, Query: q}, &list); err != nil {
					return err
				}
				return output.Rows(e.Out, how, "{{.ID}}\t{{.User}}\t{{.Name}}\t{{.Scopes}}\t{{.Expires}}\t{{.Used}}", output.Headers{
					"ID": "TOKEN ID", "User": "USER", "Name": "FOR", "Scopes": "SCOPES", "Expires": "EXPIRES", "Used": "LAST USED", "CreatedSince": "CREATED",
				}, list, func(t account.Token) tokenRow { return tokenRow{t} })
			}
		},
	}
}

func rmTokenCommand() command.Command {
	return command.Command{
		Name: "rm", Aliases: []string{"remove", "revoke"}, Args: "TOKEN [TOKEN...]", Short: "End tokens, by their ids, at once",
		Example: "account token rm k5xh2ztq7aq4wq3f", Min: 1, Max: -1,
		Flags: func(e *command.Env, _ *pflag.FlagSet) command.Do {
			return func(ctx context.Context, args []string) error {
				return e.Each(args, func(id string) error {
					return e.Client.Call(ctx, client.Request{Method: "DELETE", Path: tokens + "/" + url.PathEscape(id)}, nil)
				})
			}
		},
	}
}

// tokenRow is one token; its methods are the fields of templates.
type tokenRow struct{ t account.Token }

func (r tokenRow) ID() string           { return r.t.ID }
func (r tokenRow) User() string         { return r.t.User }
func (r tokenRow) Scopes() string       { return scopeList(r.t.Scopes) }
func (r tokenRow) Used() string         { return age(r.t.Used) }
func (r tokenRow) CreatedSince() string { return age(r.t.Created) }

// Name is what it is for; what a client got for a password says so.
func (r tokenRow) Name() string {
	if r.t.Login {
		return "login of " + r.t.Name
	}
	return r.t.Name
}

func (r tokenRow) Expires() string {
	switch {
	case r.t.Expires.IsZero():
		return "never"
	case time.Now().After(r.t.Expires):
		return "over"
	}
	return r.t.Expires.Local().Format("2006-01-02 15:04")
}

func scopeList(scopes []account.Scope) string {
	out := make([]string, len(scopes))
	for i, s := range scopes {
		out[i] = s.String()
	}
	return strings.Join(out, " ")
}
