package compose

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"lus/internal/base/errs"
	"lus/internal/client"
	"lus/internal/composefile"
)

// configFlags are the flags of config.
type configFlags struct {
	quiet, services, images, volumes, networks, models, profiles, variables, environment bool
	noInterpolate, noNormalize, noPaths, noConsistency, noEnv                            bool
	digests, lock                                                                        bool
	hash, format, output                                                                 string
}

func configCommand() command {
	return command{
		name: "config", dry: true, args: "[SERVICE...]", short: "Check the file and print it resolved", example: "lus compose config --services",
		flags: func(a *app, f *pflag.FlagSet) func(context.Context, []string) error {
			o := &configFlags{}
			f.BoolVarP(&o.quiet, "quiet", "q", false, "check only")
			f.BoolVar(&o.services, "services", false, "names of the services only")
			f.BoolVar(&o.images, "images", false, "names of the images only")
			f.BoolVar(&o.volumes, "volumes", false, "names of the volumes only")
			f.BoolVar(&o.networks, "networks", false, "names of the networks only")
			f.BoolVar(&o.models, "models", false, "names of the models only")
			f.BoolVar(&o.profiles, "profiles", false, "names of the profiles only")
			f.BoolVar(&o.variables, "variables", false, "the variables that the files use, and their defaults")
			f.BoolVar(&o.environment, "environment", false, "the variables that are filled in from")
			f.StringVar(&o.hash, "hash", "", "sums of the services with these names (a,b), or of all (*)")
			f.StringVar(&o.format, "format", "", "yaml (default) or json; with --variables table, yaml or json")
			f.StringVarP(&o.output, "output", "o", "", "write into this file")
			f.BoolVar(&o.noInterpolate, "no-interpolate", false, "leave variables as they are written")
			f.BoolVar(&o.noNormalize, "no-normalize", false, "add no defaults")
			f.BoolVar(&o.noPaths, "no-path-resolution", false, "leave paths as they are written")
			f.BoolVar(&o.noConsistency, "no-consistency", false, "do not check that what is named exists")
			f.BoolVar(&o.noEnv, "no-env-resolution", false, "leave env_file as it is written")
			f.BoolVar(&o.digests, "resolve-image-digests", false, "pin images to the digests that their registries give")
			f.BoolVar(&o.lock, "lock-image-digests", false, "print only the images, pinned to their digests, as a file to merge")
			return func(ctx context.Context, args []string) error { return a.config(ctx, o, args) }
		},
	}
}

func (a *app) config(ctx context.Context, o *configFlags, services []string) error {
	var text []byte
	var err error
	switch {
	case o.variables:
		return a.variables(ctx, o.format)
	case !slices.Contains([]string{"", "yaml", "json"}, o.format):
		return wrongUse("config", "unknown format %q: write yaml or json", o.format)
	case o.noInterpolate:
		if o.digests || o.lock {
			return wrongUse("config", "images whose names are not filled in have no digests: leave out --no-interpolate")
		}
		text, err = a.model(ctx, o)
	default:
		var p *composefile.Shown
		if p, err = a.resolved(ctx, o, services); err != nil || o.quiet {
			return err
		}
		if o.parts() {
			return a.parts(ctx, p, o)
		}
		text, err = p.Text(o.format)
	}
	if err != nil || o.quiet {
		return err
	}
	if o.output != "" {
		if err := os.WriteFile(o.output, text, 0o644); err != nil { //nolint:gosec // what the umask leaves, as the shell's > would
			return errs.New(errs.Invalid, "cannot write %s: %w", o.output, err)
		}
		return nil
	}
	_, err = fmt.Fprintln(a.Out, strings.TrimRight(string(text), "\n"))
	return err
}

// parts says that names are asked for rather than the file.
func (o *configFlags) parts() bool {
	return o.services || o.images || o.volumes || o.networks || o.models || o.profiles || o.environment || o.hash != ""
}

// reading is how far the flags let the files be worked out.
func (o *configFlags) reading() composefile.Reading {
	return composefile.Reading{
		NoInterpolation: o.noInterpolate, NoNormalization: o.noNormalize, NoPaths: o.noPaths, NoConsistency: o.noConsistency, NoEnv: o.noEnv,
	}
}

// resolved is the project as it would be run, or as far as the flags let it be
// worked out.
func (a *app) resolved(ctx context.Context, o *configFlags, services []string) (*composefile.Shown, error) {
	p, err := a.shown(ctx, o, services)
	if err != nil || !o.digests && !o.lock {
		return p, err
	}
	p, err = p.Pinned(func(named reference.Named) (digest.Digest, error) { return a.digest(ctx, named) })
	if err == nil && o.lock {
		p = p.ImagesOnly()
	}
	return p, err
}

func (a *app) shown(ctx context.Context, o *configFlags, services []string) (*composefile.Shown, error) {
	if how := o.reading(); how != (composefile.Reading{}) {
		return a.options(services).Show(ctx, how)
	}
	l, err := a.project(ctx, services)
	if err != nil {
		return nil, err
	}
	return l.Shown(), nil
}

// digest asks the image's registry what the name stands for now.
func (a *app) digest(ctx context.Context, named reference.Named) (digest.Digest, error) {
	r := client.Request{Method: "GET", Path: "/distribution/" + named.String() + "/json"}
	if auth, err := client.Credentials(reference.Domain(named)); err != nil {
		return "", err
	} else if auth != nil {
		data, err := json.Marshal(auth)
		if err != nil {
			return "", err
		}
		r.Header = map[string]string{"X-Registry-Auth": base64.URLEncoding.EncodeToString(data)}
	}
	resp, err := a.daemon.Send(ctx, r)
	if err != nil {
		return "", fmt.Errorf("image %s: %w", reference.FamiliarString(named), err)
	}
	found, err := decode[struct {
		Descriptor struct{ Digest digest.Digest }
	}](resp.Body)
	return found.Descriptor.Digest, err
}

// model is the merged files with their variables as written.
func (a *app) model(ctx context.Context, o *configFlags) ([]byte, error) {
	tree, err := a.options(nil).Tree(ctx, o.reading())
	if err != nil {
		return nil, err
	}
	if o.services || o.volumes || o.networks {
		key := map[bool]string{o.services: "services", o.volumes: "volumes", o.networks: "networks"}[true]
		return []byte(strings.Join(tree.Names(key), "\n")), nil
	}
	return tree.Text(o.format)
}

// variables lists what the files would have filled in.
func (a *app) variables(ctx context.Context, format string) error {
	found, err := a.options(nil).Variables(ctx)
	if err != nil {
		return err
	}
	switch cmp.Or(format, "table") {
	case "json":
		return printJSON(a.Out, found)
	case "yaml":
		text, err := yaml.Marshal(found)
		if err == nil {
			_, err = a.Out.Write(text)
		}
		return err
	case "table":
		var rows [][]string
		for _, name := range slices.Sorted(maps.Keys(found)) {
			v := found[name]
			rows = append(rows, []string{name, fmt.Sprint(v.Required), v.DefaultValue, v.PresenceValue})
		}
		return table(a.Out, "NAME\tREQUIRED\tDEFAULT VALUE\tALTERNATE VALUE", rows)
	}
	return wrongUse("config", "unknown format %q: write table, yaml or json", format)
}

// parts prints one kind of thing that a project has, one a line.
func (a *app) parts(ctx context.Context, p *composefile.Shown, o *configFlags) error {
	for _, part := range []struct {
		asked bool
		names func() []string
	}{
		{o.services, p.Services}, {o.images, p.Images}, {o.volumes, p.Volumes}, {o.networks, p.Networks},
		{o.models, p.Models}, {o.profiles, p.Profiles}, {o.environment, p.Environment},
	} {
		if part.asked {
			return a.lines(part.names())
		}
	}
	l, err := a.quietly(ctx) // the sums are of what is run
	if err != nil {
		return err
	}
	var lines []string
	wanted := strings.Split(o.hash, ",")
	for _, s := range l.Project.Services {
		if o.hash == "*" || slices.Contains(wanted, s.Name) {
			lines = append(lines, s.Name+" "+s.Hash)
		}
	}
	return a.lines(lines)
}
