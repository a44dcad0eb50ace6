package registry

import (
	"context"
	"io"
	"net/url"
	"strings"

	"github.com/spf13/pflag"

	"lus/internal/base/errs"
	"lus/internal/cli/command"
	"lus/internal/cli/output"
	"lus/internal/model/registry"
)

// whole is how people write that all repositories are meant.
const whole = "/"

func upstreamCommand() command.Command {
	return command.Command{
		Name: "upstream", Aliases: []string{"proxy"}, Args: "[PREFIX [URL]]",
		Short:   "Show or set another registry that names below PREFIX are fetched from and kept; / stands for all that nobody pushed here",
		Example: "registry upstream hub https://registry-1.docker.io", Min: 0, Max: 2,
		Flags: func(e *command.Env, f *pflag.FlagSet) command.Do {
			remove := f.Bool("rm", false, "Fetch no more; what was fetched stays")
			user := f.StringP("username", "u", "", "User's name there")
			stdin := f.Bool("password-stdin", false, "Read the password there from standard input")
			how := output.ListFlags(f, "", "")
			return func(ctx context.Context, args []string) error {
				if len(args) == 0 {
					return listUpstreams(ctx, e, how)
				}
				prefix := strings.TrimSuffix(args[0], whole)
				if *remove {
					return call(ctx, e, "DELETE", "upstreams", url.Values{"prefix": {prefix}}, nil, nil)
				}
				if len(args) == 1 {
					return errs.New(errs.Invalid, "from where is %s fetched? Write the registry's URL, or --rm", args[0])
				}
				u := registry.Upstream{Prefix: prefix, URL: args[1], Username: *user}
				if *stdin != (*user != "") {
					return errs.New(errs.Invalid, "--username and --password-stdin belong together")
				}
				if *stdin {
					data, err := io.ReadAll(io.LimitReader(e.In, 1<<20))
					if err != nil {
						return err
					}
					u.Password = strings.TrimRight(string(data), "\r\n")
				}
				return call(ctx, e, "PUT", "upstreams", nil, u, nil)
			}
		},
	}
}

func listUpstreams(ctx context.Context, e *command.Env, how *output.Listing) error {
	var list []registry.Upstream
	if err := call(ctx, e, "GET", "upstreams", nil, nil, &list); err != nil {
		return err
	}
	return output.Rows(e.Out, how, "{{.Prefix}}\t{{.URL}}\t{{.Username}}", output.Headers{"Prefix": "PREFIX", "URL": "FETCHED FROM", "Username": "AS"},
		list, func(u registry.Upstream) upstream { return upstream{u} })
}

type upstream struct{ u registry.Upstream }

// Prefix is whose names it is for.
func (u upstream) Prefix() string { return u.u.Prefix + whole }

// URL is where the other registry is.
func (u upstream) URL() string { return u.u.URL }

// Username is who asks there.
func (u upstream) Username() string { return u.u.Username }
