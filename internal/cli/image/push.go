package image

import (
	"context"
	"fmt"
	"net/url"
	"os"
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
				ref := args[0]
				tagged := strings.ContainsAny(ref[strings.LastIndexByte(ref, '/')+1:], ":@")
				if *all && tagged {
					return errs.New(errs.Invalid, "tag can't be used with --all-tags/-a")
				}
				if !*all && !tagged {
					ref = Tagged(ref)
					if !*quiet {
						fmt.Fprintln(e.Out, "Using default tag: latest")
					}
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
		i := strings.LastIndexByte(ref, ':')
		if strings.Contains(ref, "@") {
			return errs.New(errs.Invalid, "cannot push a digest reference")
		}
		name = ref[:i]
		q.Set("tag", ref[i+1:])
	}
	resp, err := e.Client.Send(ctx, client.Request{Method: "POST", Path: path(name, "push"), Query: q, Header: header})
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	to := e.Out
	if o.quiet {
		if to, err = os.OpenFile(os.DevNull, os.O_WRONLY, 0); err != nil {
			return err
		}
		defer to.Close()
	}
	if err := show(resp.Body, to, nil); err != nil {
		return err
	}
	if o.quiet {
		fmt.Fprintln(e.Out, host(ref)+"/"+strings.TrimSuffix(short(ref), suffix(o.all)))
	}
	return nil
}

// suffix is the tag that a name without one is given, where all are meant.
func suffix(all bool) string {
	if all {
		return ":latest"
	}
	return ""
}
