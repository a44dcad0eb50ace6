package compose

import (
	"context"
	"strings"

	"github.com/spf13/pflag"

	"lus/internal/base/errs"
)

// The verbs here find a container of the project, or several, and leave the work
// to lus itself, which does the same by name.

func attachCommand() command {
	return command{
		name: "attach", args: "SERVICE", short: "Join this terminal to a container's input and output", example: "lus compose attach web",
		flags: func(a *app, f *pflag.FlagSet) func(context.Context, []string) error {
			keys := f.String("detach-keys", "", "keys that leave the container, as ctrl-p,ctrl-q")
			index := f.Int("index", 0, "which of the service's containers (default: the first)")
			noStdin := f.Bool("no-stdin", false, "pass on no input")
			proxy := f.Bool("sig-proxy", true, "pass on signals")
			return func(ctx context.Context, args []string) error {
				if len(args) != 1 {
					return wrongUse("attach", "attach takes a service")
				}
				c, err := a.container(ctx, args[0], *index)
				if err != nil {
					return err
				}
				call := []string{"attach", boolFlag("no-stdin", *noStdin), boolFlag("sig-proxy", *proxy)}
				if *keys != "" {
					call = append(call, "--detach-keys", *keys)
				}
				return become(append(call, c.ID)...)
			}
		},
	}
}

func boolFlag(name string, on bool) string {
	if on {
		return "--" + name + "=true"
	}
	return "--" + name + "=false"
}

func exportCommand() command {
	return command{
		name: "export", args: "SERVICE", short: "Write a container's files as a tar", example: "lus compose export -o web.tar web",
		flags: func(a *app, f *pflag.FlagSet) func(context.Context, []string) error {
			index := f.Int("index", 0, "which of the service's containers (default: the first)")
			to := f.StringP("output", "o", "", "write into this file, instead of standard output")
			return func(ctx context.Context, args []string) error {
				if len(args) != 1 {
					return wrongUse("export", "export takes a service")
				}
				c, err := a.anyContainer(ctx, args[0], *index)
				if err != nil {
					return err
				}
				call := []string{"export"}
				if *to != "" {
					call = append(call, "--output", *to)
				}
				return become(append(call, c.ID)...)
			}
		},
	}
}

func commitCommand() command {
	return command{
		name: "commit", args: "SERVICE [REPOSITORY[:TAG]]", short: "Make an image of what a container changed", example: "lus compose commit -m 'with data' web web:seeded",
		flags: func(a *app, f *pflag.FlagSet) func(context.Context, []string) error {
			author := f.StringP("author", "a", "", "who made it")
			message := f.StringP("message", "m", "", "what it is for")
			changes := f.StringArrayP("change", "c", nil, "Dockerfile instructions to apply")
			pause := f.BoolP("pause", "p", true, "let the container stand still meanwhile")
			index := f.Int("index", 0, "which of the service's containers (default: the first)")
			return func(ctx context.Context, args []string) error {
				if len(args) < 1 || len(args) > 2 {
					return wrongUse("commit", "commit takes a service and the image's name")
				}
				c, err := a.anyContainer(ctx, args[0], *index)
				if err != nil {
					return err
				}
				call := []string{"commit", "--author", *author, "--message", *message, boolFlag("pause", *pause)}
				for _, change := range *changes {
					call = append(call, "--change", change)
				}
				return become(append(append(call, c.ID), args[1:]...)...)
			}
		},
	}
}

func statsCommand() command {
	return command{
		name: "stats", dry: true, args: "[SERVICE]", short: "Show what the containers use, as it changes", example: "lus compose stats --no-stream",
		flags: func(a *app, f *pflag.FlagSet) func(context.Context, []string) error {
			all := f.BoolP("all", "a", false, "those that do not run too")
			format := f.String("format", "", "table, json, or a Go template")
			once := f.Bool("no-stream", false, "print once")
			full := f.Bool("no-trunc", false, "cut nothing off")
			return func(ctx context.Context, services []string) error {
				name, _, err := a.known(ctx, services, false)
				if err != nil {
					return err
				}
				list, err := a.containers(ctx, name, *all)
				if err != nil {
					return err
				}
				list = named(list, services)
				if len(list) == 0 {
					return errs.New(errs.NotFound, "project %s has no containers for this; `lus compose up -d` makes them", name)
				}
				call := []string{"stats", boolFlag("all", *all), boolFlag("no-stream", *once), boolFlag("no-trunc", *full)}
				if *format != "" {
					call = append(call, "--format", *format)
				}
				for _, c := range list {
					call = append(call, c.name())
				}
				return become(call...)
			}
		},
	}
}

func cpCommand() command {
	return command{
		name: "cp", args: "SERVICE:PATH DEST | SOURCE SERVICE:PATH", short: "Copy files out of a container or into the containers", example: "lus compose cp web:/etc/hostname .",
		flags: func(a *app, f *pflag.FlagSet) func(context.Context, []string) error {
			index := f.Int("index", 0, "which of the service's containers (default: the first, or all to copy into)")
			all := f.Bool("all", false, "the containers that run made too")
			archive := f.BoolP("archive", "a", false, "keep owner and group")
			follow := f.BoolP("follow-link", "L", false, "copy what a link points to")
			return func(ctx context.Context, args []string) error {
				if len(args) != 2 {
					return wrongUse("cp", "cp takes a source and a destination, one of them SERVICE:PATH")
				}
				flags := []string{boolFlag("archive", *archive), boolFlag("follow-link", *follow)}
				return a.copyFiles(ctx, args[0], args[1], *index, *all, flags)
			}
		},
	}
}

// inContainer splits SERVICE:PATH; a path that begins with / or . is the host's.
func inContainer(arg string) (service, path string, ok bool) {
	if strings.HasPrefix(arg, "/") || strings.HasPrefix(arg, ".") {
		return "", "", false
	}
	return strings.Cut(arg, ":")
}

func (a *app) copyFiles(ctx context.Context, from, to string, index int, all bool, flags []string) error {
	source, path, out := inContainer(from)
	target, place, in := inContainer(to)
	switch {
	case out && in:
		return errs.New(errs.Unsupported, "files are not copied from container to container: copy them to the host first")
	case !out && !in:
		return wrongUse("cp", "one of the two must be SERVICE:PATH")
	case out:
		c, err := a.anyContainer(ctx, source, index)
		if err != nil {
			return err
		}
		return become(append(append([]string{"cp"}, flags...), c.ID+":"+path, to)...)
	}
	name, err := a.projectName(ctx)
	if err != nil {
		return err
	}
	list, err := a.containers(ctx, name, true)
	if err != nil {
		return err
	}
	list = named(list, []string{target})
	if !all {
		list = lasting(list)
	}
	list = numbered(list, index)
	if len(list) == 0 {
		return noContainer(target, index)
	}
	for _, c := range list[:len(list)-1] {
		if err := a.lus(ctx, append(append([]string{"cp"}, flags...), from, c.ID+":"+place)...); err != nil {
			return err
		}
	}
	return become(append(append([]string{"cp"}, flags...), from, list[len(list)-1].ID+":"+place)...)
}
