package compose

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"lus/internal/model/compose"
)

// buildFlags are the flags of build.
type buildFlags struct {
	req               compose.BuildRequest
	quiet, push, deps bool
	args, ssh         []string
	unknown           map[string]*string
}

// notHere are flags of docker compose's that ask for what is not to be had.
func notHere() map[string]string {
	return map[string]string{
		"print":      "no bake file is made: `lus compose config` shows what is built",
		"builder":    "images are built by the daemon itself",
		"memory":     "build steps have no limits of their own: limit the daemon as a whole",
		"provenance": "images of this store hold no attestations; `lus build --output type=oci,dest=FILE` makes one that does",
		"sbom":       "images of this store hold no attestations; `lus build --output type=oci,dest=FILE` makes one that does",
	}
}

func buildCommand() command {
	return command{
		name: "build", dry: true, args: "[SERVICE...]", short: "Build the services' images",
		example: "lus compose build web",
		flags: func(a *app, f *pflag.FlagSet) func(context.Context, []string) error {
			o := &buildFlags{unknown: map[string]*string{}}
			f.BoolVar(&o.req.NoCache, "no-cache", false, "build every step anew")
			f.BoolVar(&o.req.Pull, "pull", false, "look for newer base images")
			f.BoolVarP(&o.quiet, "quiet", "q", false, "print nothing but errors")
			f.BoolVar(&o.push, "push", false, "send the images to the registries in their names")
			f.BoolVar(&o.deps, "with-dependencies", false, "what the services depend on too")
			f.StringArrayVar(&o.args, "build-arg", nil, "NAME=VALUE for ARG instructions")
			f.StringArrayVar(&o.ssh, "ssh", nil, "keys or agents for RUN --mount=type=ssh: default, or ID=PATH")
			f.BoolVar(&o.req.Check, "check", false, "check the Dockerfiles and build nothing")
			outdated(f, "parallel", "compress", "force-rm", "no-rm")
			progress := f.String("progress", "", "the same as before the verb")
			_ = f.MarkHidden("progress")
			for name := range notHere() {
				o.unknown[name] = f.String(name, "", "not to be had")
				f.Lookup(name).NoOptDefVal = map[bool]string{true: "true"}[name == "print"]
				_ = f.MarkHidden(name)
			}
			return func(ctx context.Context, services []string) error {
				for name, value := range o.unknown {
					if *value != "" {
						return wrongUse("build", "--%s: %s: leave it out", name, notHere()[name])
					}
				}
				if *progress != "" {
					if a.progress = *progress; !slices.Contains(progressWords(), *progress) {
						return wrongUse("build", "--progress %q: write %s", *progress, strings.Join(progressWords(), ", "))
					}
				}
				return a.build(ctx, o, services)
			}
		},
	}
}

// outdated registers switches that docker compose takes and ignores.
func outdated(f *pflag.FlagSet, names ...string) {
	for _, name := range names {
		f.Bool(name, false, "has no effect any more")
		_ = f.MarkDeprecated(name, "it has no effect any more")
	}
}

func (a *app) build(ctx context.Context, o *buildFlags, services []string) error {
	l, err := a.project(ctx, services)
	if err != nil {
		return err
	}
	if err := buildArgs(l.Project, o.args); err != nil {
		return err
	}
	if err := buildKeys(l.Project, o.ssh); err != nil {
		return err
	}
	if err := a.credentials(l.Project); err != nil {
		return err
	}
	if !o.deps {
		alone(l.Project, services)
	}
	if !slices.ContainsFunc(slices.Concat(l.Project.Services, l.Project.Bases), func(s compose.Service) bool { return s.Build != nil }) {
		fmt.Fprintln(a.Err, "warning: nothing is built: no service has build:")
	}
	o.req.Project, o.req.Services = l.Project, services
	p := a.printer()
	p.quiet = p.quiet || o.quiet
	if err := a.stream(ctx, "build", &o.req, p); err != nil || !o.push {
		return err
	}
	return a.push(ctx, l.Project, services, pushFlags{quiet: o.quiet, deps: o.deps})
}

// buildKeys adds what --ssh names to every build.
func buildKeys(p *compose.Project, keys []string) error {
	for _, key := range keys {
		id, path, _ := strings.Cut(cmp.Or(key, "default"), "=")
		if path == "" {
			path = os.Getenv("SSH_AUTH_SOCK")
		}
		if id == "" || path == "" {
			return wrongUse("build", "--ssh %q names no key, and no SSH agent runs (SSH_AUTH_SOCK): write ID=PATH, or start the agent", key)
		}
		abs, err := filepath.Abs(path)
		if err != nil {
			return err
		}
		for _, s := range slices.Concat(p.Services, p.Bases) {
			if s.Build != nil {
				if s.Build.SSH == nil {
					s.Build.SSH = map[string][]string{}
				}
				s.Build.SSH[id] = []string{abs}
			}
		}
	}
	return nil
}

func buildArgs(p *compose.Project, args []string) error {
	for _, arg := range args {
		name, value, ok := strings.Cut(arg, "=")
		if !ok {
			value, ok = os.LookupEnv(name)
		}
		if !ok || name == "" {
			return &usageError{fmt.Sprintf("--build-arg %q has no value: write NAME=VALUE, or set %s in the environment", arg, name), "See 'lus compose build --help'.\n"}
		}
		for _, s := range slices.Concat(p.Services, p.Bases) {
			if s.Build != nil {
				s.Build.Args[name] = &value
			}
		}
	}
	return nil
}
