package account

import (
	"context"
	"fmt"
	"net/url"

	"github.com/spf13/pflag"

	"lus/internal/cli/command"
	"lus/internal/cli/output"
	"lus/internal/client"
	"lus/internal/model/account"
)

func grantCommand() command.Command {
	return command.Command{
		Name: "grant", Args: "USER|users|anonymous|loopback ACTIONS RESOURCE", Short: "Let somebody read, write or delete, in place of the rule that was there for both",
		Example: "account grant bob read,write 'registry:team/*'", Min: 3, Max: 3,
		Flags: func(e *command.Env, _ *pflag.FlagSet) command.Do {
			return func(ctx context.Context, args []string) error {
				r := account.Rule{Who: args[0]}
				var err error
				if _, err = account.ParseWho(r.Who); err != nil {
					return err
				}
				if r.Actions, err = account.ParseActions(args[1]); err != nil {
					return err
				}
				if r.Resource, err = account.ParsePattern(args[2]); err != nil {
					return err
				}
				if err := e.Client.Call(ctx, client.Request{Method: "PUT", Path: rules, Body: r}, nil); err != nil {
					return err
				}
				fmt.Fprintf(e.Out, "%s may %s %s\n", r.Who, r.Actions, r.Resource)
				if r.Who == account.Anonymous && r.Actions != account.Read {
					fmt.Fprintln(e.Err, "WARNING! Everybody who reaches the listener may do that without signing in.")
				}
				return nil
			}
		},
	}
}

func revokeCommand() command.Command {
	return command.Command{
		Name: "revoke", Args: "USER|users|anonymous|loopback RESOURCE", Short: "Take a rule back",
		Example: "account revoke bob 'registry:team/*'", Min: 2, Max: 2,
		Flags: func(e *command.Env, _ *pflag.FlagSet) command.Do {
			return func(ctx context.Context, args []string) error {
				q := url.Values{"who": {args[0]}, "resource": {args[1]}}
				return e.Client.Call(ctx, client.Request{Method: "DELETE", Path: rules, Query: q}, nil)
			}
		},
	}
}

func rulesCommand() command.Command {
	return command.Command{
		Name: "rules", Short: "List who may do what, beyond what is below their own name",
		Example: "account rules", Min: 0, Max: 0,
		Flags: func(e *command.Env, f *pflag.FlagSet) command.Do {
			how := output.ListFlags(f, "", "")
			return func(ctx context.Context, _ []string) error {
				var list []account.Rule
				if err := e.Client.Call(ctx, client.Request{Method: "GET", Path: rules}, &list); err != nil {
					return err
				}
				return output.Rows(e.Out, how, "{{.Resource}}\t{{.Who}}\t{{.Actions}}", output.Headers{
					"Resource": "RESOURCE", "Who": "WHO", "Actions": "MAY",
				}, list, func(r account.Rule) ruleRow { return ruleRow{r} })
			}
		},
	}
}

// ruleRow is one rule; its methods are the fields of templates.
type ruleRow struct{ r account.Rule }

func (r ruleRow) Resource() string { return string(r.r.Resource) }
func (r ruleRow) Who() string      { return r.r.Who }
func (r ruleRow) Actions() string  { return r.r.Actions.String() }

func canCommand() command.Command {
	return command.Command{
		Name: "can", Args: "USER|users|anonymous|loopback ACTIONS RESOURCE", Short: "Tell whether somebody may do something, and why; the exit code is 1 where not",
		Example: "account can bob write registry:team/app", Min: 3, Max: 3,
		Flags: func(e *command.Env, _ *pflag.FlagSet) command.Do {
			return func(ctx context.Context, args []string) error {
				q := url.Values{"who": {args[0]}, "actions": {args[1]}, "resource": {args[2]}}
				var d account.Decision
				if err := e.Client.Call(ctx, client.Request{Method: "GET", Path: rules + "/decision", Query: q}, &d); err != nil {
					return err
				}
				if d.Allowed {
					fmt.Fprintf(e.Out, "yes: %s\n", d.Reason)
					return nil
				}
				fmt.Fprintf(e.Out, "no: %s\n", d.Reason)
				return command.ExitCode(1)
			}
		},
	}
}
