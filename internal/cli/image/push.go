package image

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"github.com/spf13/pflag"

	"lus/internal/base/errs"
	"lus/internal/cli/command"
	"lus/internal/client"
)

func pushCommand() command.Command {
	return command.Command{
		Name: "push", Args: "NAME[:TAG]", Short: "Send an image to the registry in its name",
		Example: "push registry.example:5000/app:1", Min: 1, Max: 1,
		Flags: func(e *command.Env, f *pflag.FlagSet) command.Do {
			all := f.BoolP("all-tags", "a", false, "Send all tags of the repository")
			compression := f.String("compression", "", "How to pack layers that are not packed yet: gzip (default) or zstd")
			quiet := f.BoolP("quiet", "q", false, "Only print the image's name")
			only := platformFlag(f)
			command.DisableContentTrust(f)
			return func(ctx context.Context, args []string) error {
				ref, err := meant(e, args[0], *all, *quiet)
				if err != nil {
					return err
				}
				return push(ctx, e, ref, pushOptions{all: *all, quiet: *quiet, platform: *only, compression: *compression})
			}
		},
	}
}

type pushOptions struct {
	all, quiet            bool
	platform, compression string
}

func push(ctx context.Context, e *command.Env, ref string, o pushOptions) error {
	header, err := authHeader(ref)
	if err != nil {
		return err
	}
	name, q := ref, url.Values{}
	if o.compression != "" {
		q.Set("compression", o.compression)
	}
	if err := setPlatform(q, "platform", o.platform); err != nil {
		return err
	}
	if !o.all {
		if strings.Contains(ref, "@") {
			return errs.New(errs.Invalid, "cannot push a digest reference")
		}
		var tag string
		name, tag = SplitTag(ref)
		q.Set("tag", tag)
	}
	resp, err := e.Client.Send(ctx, client.Request{Method: "POST", Path: path(name, "push"), Query: q, Header: header})
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := show(resp.Body, e.Out, o.quiet); err != nil {
		return err
	}
	if o.quiet {
		fmt.Fprintln(e.Out, full(ref, o.all))
	}
	return nil
}
