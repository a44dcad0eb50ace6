package container

import (
	"context"
	"fmt"
	"net/url"

	"github.com/spf13/pflag"

	"lus/internal/cli/command"
	"lus/internal/cli/image"
	"lus/internal/cli/output"
	"lus/internal/client"
	"lus/internal/model/container"
)

func commitCommand() command.Command {
	return command.Command{
		Name: "commit", Args: "CONTAINER [REPOSITORY[:TAG]]", Short: "Make an image of what a container changed",
		Example: `commit -m "with figlet" -c 'CMD ["figlet", "hi"]' web figlet:1`, Min: 1, Max: 2,
		Flags: func(e *command.Env, f *pflag.FlagSet) command.Do {
			author := f.StringP("author", "a", "", "Who made it")
			message := f.StringP("message", "m", "", "What it is for")
			changes := f.StringArrayP("change", "c", nil, "Dockerfile instructions to apply: CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, ONBUILD, USER, VOLUME, WORKDIR")
			pause := f.BoolP("pause", "p", true, "Let the container stand still meanwhile")
			return func(ctx context.Context, args []string) error {
				q := url.Values{"container": {args[0]}, "author": {*author}, "comment": {*message}, "changes": *changes}
				if len(args) == 2 {
					repo, tag := image.SplitTag(args[1])
					q.Set("repo", repo)
					q.Set("tag", tag)
				}
				if !*pause {
					q.Set("pause", "0")
				}
				var made struct {
					ID string `json:"Id"`
				}
				if err := e.Client.Call(ctx, client.Request{Method: "POST", Path: "/commit", Query: q}, &made); err != nil {
					return err
				}
				fmt.Fprintln(e.Out, made.ID)
				return nil
			}
		},
	}
}

func diffCommand() command.Command {
	return command.Command{
		Name: "diff", Args: "CONTAINER", Short: "Show what a container added (A), changed (C) and deleted (D)",
		Example: "diff web", Min: 1, Max: 1,
		Flags: func(e *command.Env, f *pflag.FlagSet) command.Do {
			format := f.String("format", "", "Print by a Go template, table or json")
			return func(ctx context.Context, args []string) error {
				var list []container.Change
				if err := e.Client.Call(ctx, client.Request{Method: "GET", Path: path(args[0], "changes")}, &list); err != nil {
					return err
				}
				rows := make([]changeRow, len(list))
				for i, c := range list {
					rows[i] = changeRow{c}
				}
				if *format == "" {
					*format = "{{.Type}} {{.Path}}"
				}
				return output.List(e.Out, *format, "{{.Type}}\t{{.Path}}", output.Headers{"Type": "CHANGE TYPE", "Path": "PATH"}, rows)
			}
		},
	}
}

// changeRow is one change; its methods are the fields of templates.
type changeRow struct{ c container.Change }

func (r changeRow) Type() string { return r.c.Kind.String() }

func (r changeRow) Path() string { return r.c.Path }

func exportCommand() command.Command {
	return command.Command{
		Name: "export", Args: "CONTAINER", Short: "Write a container's files as a tar",
		Example: "export -o web.tar web", Min: 1, Max: 1,
		Flags: func(e *command.Env, f *pflag.FlagSet) command.Do {
			to := f.StringP("output", "o", "", "Write to a file instead of standard output")
			return func(ctx context.Context, args []string) error {
				return output.Archive(ctx, e, *to, client.Request{Method: "GET", Path: path(args[0], "export")})
			}
		},
	}
}
