package image

import (
	"context"
	"net/url"
	"os"

	"github.com/spf13/pflag"

	"lus/internal/base/errs"
	"lus/internal/cli/command"
	"lus/internal/cli/output"
	"lus/internal/cli/terminal"
	"lus/internal/client"
)

func saveCommand() command.Command {
	return command.Command{
		Name: "save", Args: "IMAGE [IMAGE...]", Short: "Write images as a tar that load reads, here or elsewhere",
		Example: "save -o apps.tar app:1 db:2", Min: 1, Max: -1,
		Flags: func(e *command.Env, f *pflag.FlagSet) command.Do {
			to := f.StringP("output", "o", "", "Write to a file instead of standard output")
			only := platformFlag(f)
			return func(ctx context.Context, args []string) error {
				q := url.Values{"names": args}
				if err := setPlatform(q, "platform", *only); err != nil {
					return err
				}
				return output.Archive(ctx, e, *to, client.Request{Method: "GET", Path: "/images/get", Query: q})
			}
		},
	}
}

func loadCommand() command.Command {
	return command.Command{
		Name: "load", Args: "", Short: "Bring the images of a tar that save wrote: a Docker archive or an OCI layout",
		Example: "load -i apps.tar", Min: 0, Max: 0,
		Flags: func(e *command.Env, f *pflag.FlagSet) command.Do {
			from := f.StringP("input", "i", "", "Read from a file instead of standard input")
			quiet := f.BoolP("quiet", "q", false, "Only print the names of the images")
			only := platformFlag(f)
			return func(ctx context.Context, _ []string) error {
				in := e.In
				if *from != "" {
					file, err := os.Open(*from)
					if err != nil {
						return errs.New(errs.NotFound, "%w", err)
					}
					defer file.Close()
					in = file
				} else if terminal.Is(e.In) {
					return errs.New(errs.Invalid, "requested load from stdin, but stdin is empty")
				}
				q := url.Values{"quiet": {"0"}}
				if err := setPlatform(q, "platform", *only); err != nil {
					return err
				}
				if *quiet || !terminal.Is(e.Out) {
					q.Set("quiet", "1")
				}
				resp, err := e.Client.Send(ctx, client.Request{Method: "POST", Path: "/images/load", Query: q, Stream: in, Type: "application/x-tar"})
				if err != nil {
					return err
				}
				defer resp.Body.Close()
				return show(resp.Body, e.Out, false)
			}
		},
	}
}
