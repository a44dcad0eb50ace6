package composefile

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"slices"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/dotenv"
	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/template"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	"go.yaml.in/yaml/v3"

	"lus/internal/base/errs"
)

// Reading says how far files are worked out that are shown rather than run.
type Reading struct {
	NoInterpolation, NoNormalization, NoPaths, NoConsistency, NoEnv bool
}

// options are these in the library's words.
func (r Reading) options() []cli.ProjectOptionsFn {
	out := []cli.ProjectOptionsFn{
		cli.WithInterpolation(!r.NoInterpolation), cli.WithResolvedPaths(!r.NoPaths),
		cli.WithNormalization(!r.NoNormalization), cli.WithConsistency(!r.NoConsistency),
	}
	if r.NoEnv {
		return append(out, cli.WithoutEnvironmentResolution)
	}
	return append(out, cli.WithDiscardEnvFile)
}

// Shown is a project for those who want to see what is in it.
type Shown struct{ p *types.Project }

// Shown is the project as it is run.
func (l *Loaded) Shown() *Shown { return &Shown{l.source} }

// Show reads a project as far as it is asked to be worked out.
func (o Options) Show(ctx context.Context, how Reading) (*Shown, error) {
	return bounded(ctx, func() (*Shown, error) { return o.shown(ctx, how) })
}

func (o Options) shown(ctx context.Context, how Reading) (*Shown, error) {
	r := &reader{Options: o, extra: how.options()}
	options, err := r.prepare()
	if err != nil {
		return nil, err
	}
	p, err := options.LoadProject(ctx)
	if err != nil {
		return nil, r.failed(err)
	}
	if len(o.Services) > 0 {
		if p, err = p.WithSelectedServices(o.Services); err != nil {
			return nil, errs.With(errs.NotFound, err)
		}
	}
	if !o.All {
		p = p.WithoutUnnecessaryResources()
	}
	return &Shown{p}, nil
}

// Text is the project as a file, in JSON or else in YAML. Dollar signs are
// doubled, so that reading it again gives the same.
func (s *Shown) Text(format string) (text []byte, err error) {
	if format == "json" {
		text, err = json.MarshalIndent(s.p, "", "  ")
	} else {
		text, err = s.p.MarshalYAML()
	}
	return bytes.ReplaceAll(text, []byte("$"), []byte("$$")), err
}

// Pinned is the project with each image by the digest that resolve gives.
func (s *Shown) Pinned(resolve func(reference.Named) (digest.Digest, error)) (*Shown, error) {
	p, err := s.p.WithImagesResolved(resolve)
	return &Shown{p}, err
}

// ImagesOnly leaves the images of a project and nothing else.
func (s *Shown) ImagesOnly() *Shown {
	out := &types.Project{Services: types.Services{}}
	for name, svc := range s.p.Services {
		out.Services[name] = types.ServiceConfig{ContainerSpec: types.ContainerSpec{Image: svc.Image}}
	}
	return &Shown{out}
}

// Services are the names of what is switched on.
func (s *Shown) Services() []string { return s.p.ServiceNames() }

// Images are the images of the services, in the order of these.
func (s *Shown) Images() []string {
	var out []string
	for _, name := range s.p.ServiceNames() {
		out = append(out, imageOf(s.p, s.p.Services[name]))
	}
	return out
}

// Volumes are the names of the volumes in the file.
func (s *Shown) Volumes() []string { return slices.Sorted(maps.Keys(s.p.Volumes)) }

// Networks are the names of the networks in the file.
func (s *Shown) Networks() []string { return slices.Sorted(maps.Keys(s.p.Networks)) }

// Models are the names of the models in the file.
func (s *Shown) Models() []string { return slices.Sorted(maps.Keys(s.p.Models)) }

// Profiles are all profiles that a service belongs to.
func (s *Shown) Profiles() []string {
	var out []string
	for _, svc := range s.p.AllServices() {
		out = append(out, svc.Profiles...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Environment is what variables are filled in from, as NAME=value.
func (s *Shown) Environment() []string {
	out := s.p.Environment.Values()
	slices.Sort(out)
	return out
}

// Tree is the merged files.
type Tree struct{ root map[string]any }

// Tree reads and merges the files.
func (o Options) Tree(ctx context.Context, how Reading) (Tree, error) {
	return bounded(ctx, func() (Tree, error) { return o.merged(ctx, how.options()...) })
}

func (o Options) merged(ctx context.Context, extra ...cli.ProjectOptionsFn) (Tree, error) {
	r := &reader{Options: o, extra: extra}
	options, err := r.prepare()
	if err != nil {
		return Tree{}, err
	}
	root, err := options.LoadModel(ctx)
	if err != nil {
		return Tree{}, r.failed(err)
	}
	return Tree{root}, nil
}

// Names are the keys below one of the file's own.
func (t Tree) Names(key string) []string {
	names, _ := t.root[key].(map[string]any)
	return slices.Sorted(maps.Keys(names))
}

// Text is the tree as a file, in JSON or else in YAML.
func (t Tree) Text(format string) ([]byte, error) {
	if format == "json" {
		return json.MarshalIndent(t.root, "", "  ")
	}
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	err := enc.Encode(t.root)
	return b.Bytes(), err
}

// Variable is one that the files want filled in.
type Variable struct {
	Name          string
	DefaultValue  string
	PresenceValue string
	Required      bool
}

// Variables are all that the files want filled in, by name.
func (o Options) Variables(ctx context.Context) (map[string]Variable, error) {
	how := Reading{NoInterpolation: true, NoEnv: true, NoConsistency: true}
	extra := append(how.options(), cli.WithLoadOptions(loader.WithSkipValidation))
	t, err := bounded(ctx, func() (Tree, error) { return o.merged(ctx, extra...) })
	if err != nil {
		return nil, err
	}
	out := map[string]Variable{}
	for name, v := range template.ExtractVariables(t.root, template.DefaultPattern) {
		out[name] = Variable(v)
	}
	return out, nil
}

// EnvFiles are the variables in files of NAME=value, by name.
func EnvFiles(ctx context.Context, names []string) ([]string, error) {
	vars, err := bounded(ctx, func() (map[string]string, error) {
		vars, err := dotenv.GetEnvFromFile(map[string]string{}, names)
		return vars, errs.With(errs.Invalid, err)
	})
	if err != nil {
		return nil, err
	}
	var out []string
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		out = append(out, name+"="+vars[name])
	}
	return out, nil
}
