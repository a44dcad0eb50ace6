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
				ref, err := meant(e, args[0], *all, *quiet)
				if err != nil {
					return err
				}
				if err := pull(ctx, e, ref, *platform, *quiet, e.Out); err != nil {
					return err
				}
				fmt.Fprintln(e.Out, full(ref, *all))
				return nil
			}
		},
	}
}

// meant is what a name stands for in a pull or a push: the tag that is the default
// where none is written, or all of them.
func meant(e *command.Env, ref string, all, quiet bool) (string, error) {
	tagged := Tagged(ref) == ref
	switch {
	case all && tagged:
		return "", errs.New(errs.Invalid, "tag can't be used with --all-tags/-a")
	case all || tagged:
		return ref, nil
	}
	// Of a name that cannot be one, nothing is said before the error.
	if !quiet && ref != "" && ref == strings.ToLower(ref) {
		fmt.Fprintln(e.Out, "Using default tag: latest")
	}
	return Tagged(ref), nil
}

// full is a name with its registry and, unless all tags are meant, its tag.
func full(ref string, all bool) string {
	name := host(ref) + "/" + short(ref)
	if all {
		return strings.TrimSuffix(name, ":latest")
	}
	return name
}

// short is ref without its registry, with library/ where Docker's hub means it.
func short(ref string) string {
	ref = Tagged(ref)
	h := host(ref)
	if n := len(h) + 1; len(ref) > n && ref[:n] == h+"/" {
		ref = ref[n:]
	}
	if h == "docker.io" && !strings.Contains(ref, "/") {
		return "library/" + ref
	}
	return ref
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
	return show(resp.Body, to, quiet)
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
				return show(resp.Body, e.Out, false)
			}
		},
	}
}
