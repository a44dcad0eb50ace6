package registry

import (
	"context"
	"fmt"
	"net/url"

	"github.com/docker/go-units"
	"github.com/spf13/pflag"

	"lus/internal/base/errs"
	"lus/internal/cli/command"
	"lus/internal/cli/output"
	"lus/internal/model/registry"
)

func quotaCommand() command.Command {
	return command.Command{
		Name: "quota", Args: "[ACCOUNT|REPOSITORY|'*' SIZE|none]", Short: "Show or set how much an account or a repository may keep; '*' is each account without a quota of its own",
		Example: "registry quota me 10GB", Min: 0, Max: 2,
		Flags: func(e *command.Env, f *pflag.FlagSet) command.Do {
			how := output.ListFlags(f, "", "")
			return func(ctx context.Context, args []string) error {
				switch {
				case len(args) == 0:
					return listQuotas(ctx, e, how)
				case len(args) == 1:
					return errs.New(errs.Invalid, "how much may %s keep? Write a size, as in 10GB, or none", args[0])
				case args[1] == "none":
					return call(ctx, e, "DELETE", "quotas", url.Values{"scope": {args[0]}}, nil, nil)
				}
				n, err := units.FromHumanSize(args[1])
				if err != nil || n < 0 {
					return errs.New(errs.Invalid, "%q is not a size: write it as 500MB or 10GB", args[1])
				}
				return call(ctx, e, "PUT", "quotas", nil, registry.Quota{Scope: args[0], Limit: n}, nil)
			}
		},
	}
}

func listQuotas(ctx context.Context, e *command.Env, how *output.Listing) error {
	var list []registry.Quota
	if err := call(ctx, e, "GET", "quotas", nil, nil, &list); err != nil {
		return err
	}
	return output.Rows(e.Out, how, "{{.Scope}}\t{{.Limit}}\t{{.Used}}\t{{.Share}}",
		output.Headers{"Scope": "SCOPE", "Limit": "LIMIT", "Used": "USED", "Share": "SHARE"},
		list, func(q registry.Quota) quota { return quota{q} })
}

type quota struct{ q registry.Quota }

// Scope is whom it is for.
func (q quota) Scope() string { return q.q.Scope }

// Limit is what may be kept.
func (q quota) Limit() string { return units.HumanSize(float64(q.q.Limit)) }

// Used is what is kept.
func (q quota) Used() string { return q.of(units.HumanSize(float64(q.q.Used))) }

// Share is how much of the limit that is.
func (q quota) Share() string {
	return q.of(fmt.Sprintf("%.0f%%", 100*float64(q.q.Used)/float64(max(q.q.Limit, 1))))
}

// of: the quota of each account is used by nobody in particular.
func (q quota) of(text string) string {
	if q.q.Scope == "*" {
		return "-"
	}
	return text
}
