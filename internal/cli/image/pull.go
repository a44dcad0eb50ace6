package image

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"lus/internal/base/errs"
	"lus/internal/cli/command"
	"lus/internal/client"
)

func pullCommand() command.Command {
	return command.Command{
		Name: "pull", Args: "NAME[:TAG|@DIGEST]", Short: "Get an image from a registry",
		Example: "pull debian:bookworm-slim", Min: 1, Max: 1,
		Flags: func(e *command.Env, f *pflag.FlagSet) command.Do {
			quiet := f.BoolP("quiet", "q", false, "Only print the image's name")
			platform := f.String("platform", "", "Platform of the image, as linux/amd64")
			all := f.BoolP("all-tags", "a", false, "Get all tags of the repository")
			command.DisableContentTrust(f)
			return func(ctx context.Context, args []string) error {
				ref := args[0]
				tagged := Tagged(ref) == ref
				switch {
				case *all && tagged:
					return errs.New(errs.Invalid, "tag can't be used with --all-tags/-a")
				case !*all && !tagged:
					ref = Tagged(ref)
					// Of a name that cannot be one, nothing is said before the error.
					if !*quiet && ref == strings.ToLower(ref) {
						fmt.Fprintln(e.Out, "Using default tag: latest")
					}
				}
				if err := pull(ctx, e, ref, *platform, *quiet, e.Out); err != nil {
					return err
				}
				fmt.Fprintln(e.Out, host(ref)+"/"+strings.TrimSuffix(short(ref), suffix(*all)))
				return nil
			}
		},
	}
}

// short is ref without its registry, with library/ where Docker's hub means it.
func short(ref string) string {
	ref = Tagged(ref)
	h := host(ref)
	if n := len(h) + 1; len(ref) > n && ref[:n] == h+"/" {
		ref = ref[n:]
	}
	if h == "docker.io" && !hasSlash(ref) {
		return "library/" + ref
	}
	return ref
}

func hasSlash(s string) bool {
	for _, c := range s {
		if c == '/' {
			return true
		}
	}
	return false
}

// Pull gets an image with the user's credentials and shows how far it is.
func Pull(ctx context.Context, e *command.Env, ref, platform string, quiet bool, to *os.File) error {
	return pull(ctx, e, Tagged(ref), platform, quiet, to)
}

// pull gets an image, or all tags where ref names none.
func pull(ctx context.Context, e *command.Env, ref, platform string, quiet bool, to *os.File) error {
	header, err := authHeader(ref)
	if err != nil {
		return err
	}
	q := url.Values{"fromImage": {ref}}
	if platform != "" {
		q.Set("platform", platform)
	}
	resp, err := e.Client.Send(ctx, client.Request{Method: "POST", Path: "/images/create", Query: q, Header: header})
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if quiet {
		null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		defer null.Close()
		to = null
	}
	return show(resp.Body, to, nil)
}

func importCommand() command.Command {
	return command.Command{
		Name: "import", Args: "FILE|URL|- [NAME[:TAG]]", Short: "Make an image of one layer from a tar of a file system",
		Example: "import rootfs.tar mine:latest", Min: 1, Max: 2,
		Flags: func(e *command.Env, f *pflag.FlagSet) command.Do {
			changes := f.StringArrayP("change", "c", nil, "Apply a Dockerfile instruction, as 'CMD [\"sh\"]'")
			message := f.StringP("message", "m", "", "Say what this is in the image's history")
			platform := f.String("platform", "", "Platform of the image, as linux/amd64")
			return func(ctx context.Context, args []string) error {
				var in io.Reader = e.In
				src := "-"
				switch {
				case strings.HasPrefix(args[0], "http://"), strings.HasPrefix(args[0], "https://"):
					in, src = nil, args[0] // the daemon downloads it
				case args[0] != "-":
					file, err := os.Open(args[0])
					if err != nil {
						return errs.New(errs.NotFound, "%w", err)
					}
					defer file.Close()
					in = file
				}
				q := url.Values{"fromSrc": {src}, "changes": *changes}
				for key, value := range map[string]string{"message": *message, "platform": *platform} {
					if value != "" {
						q.Set(key, value)
					}
				}
				if len(args) > 1 {
					q.Set("repo", args[1])
				}
				resp, err := e.Client.Send(ctx, client.Request{Method: "POST", Path: "/images/create", Query: q, Stream: in, Type: "application/x-tar"})
				if err != nil {
					return err
				}
				defer resp.Body.Close()
				return show(resp.Body, e.Out, nil)
			}
		},
	}
}
