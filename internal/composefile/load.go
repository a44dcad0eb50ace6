// Package composefile reads Compose files as the calling user, with that user's
// files and environment, resolves them with the specification's reference
// library, and says with file and line what is wrong in them.
package composefile

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/sirupsen/logrus"

	"lus/internal/base/errs"
	"lus/internal/model/compose"
)

// Options says which files to read and how.
type Options struct {
	Files    []string // empty: COMPOSE_FILE, else the default names, here or in a folder above
	Name     string   // empty: name: in the file, COMPOSE_PROJECT_NAME, else the folder's name
	Dir      string   // empty: the first file's folder
	EnvFiles []string
	Profiles []string
	Services []string // empty: all
	Together bool     // the services are to run side by side
	All      bool     // what no service uses is made too
	Access   Access   // for services that speak to the daemon
}

// Loaded is a project and what its reader should know.
type Loaded struct {
	Project  *compose.Project
	Services []string // that are switched on in the files, whichever were asked for
	Warnings []string
	source   *types.Project
	docs     func() documents
	trusted  bool // the schema had accepted it before and was left out
	recalled bool // nothing was read anew: all was as before
}

// reader reads one project.
type reader struct {
	Options
	options   *cli.ProjectOptions
	more      others
	trusted   bool            // the schema has accepted the same before
	recalled  bool            // the whole project is remembered
	variables map[string]bool // filled in so far
	extra     []cli.ProjectOptionsFn
}

// prepare finds the files and the environment.
func (r *reader) prepare() (*cli.ProjectOptions, error) {
	// The library warns through a global logger; what is worth saying is said
	// by notes() with file and line.
	logrus.SetOutput(io.Discard)
	r.variables, r.more = map[string]bool{}, others{}
	guard := &guard{more: &r.more}
	options, err := cli.NewProjectOptions(r.Files, append(r.extra,
		cli.WithWorkingDirectory(r.Dir),
		cli.WithOsEnv,
		cli.WithEnvFiles(r.EnvFiles...),
		cli.WithDotEnv,
		cli.WithConfigFileEnv,
		cli.WithDefaultConfigPath,
		cli.WithEnvFiles(r.EnvFiles...),
		cli.WithDotEnv,
		cli.WithDefaultProfiles(r.Profiles...),
		cli.WithName(r.Name),
		cli.WithLoadOptions(r.notice),
		cli.WithResourceLoader(guard),
	)...)
	if err != nil {
		return nil, notFound(err)
	}
	r.options, guard.options = options, options
	if err := tooLarge(files(options.ConfigPaths)); err != nil {
		return nil, err
	}
	options.WithListeners(r.more.listen)
	return options, nil
}

// Load reads and resolves a project. Its errors name file, line and key.
func Load(ctx context.Context, o Options) (*Loaded, error) {
	return bounded(ctx, func() (*Loaded, error) { return o.load(ctx) })
}

func (o Options) load(ctx context.Context) (*Loaded, error) {
	r := &reader{Options: o}
	p, err := r.read(ctx)
	if err != nil {
		return nil, r.failed(err)
	}
	all := p.ServiceNames()
	if len(o.Services) > 0 {
		if p, err = p.WithServicesEnabled(o.Services...); err == nil {
			p, err = p.WithSelectedServices(o.Services)
		}
		if err != nil {
			return nil, errs.With(errs.NotFound, err)
		}
	}
	// What no service uses is not made: neither its network nor its volume.
	if !o.All {
		p = p.WithoutUnnecessaryResources()
	}
	read := r.more.all(r.options)
	docs := sync.OnceValue(func() documents { return parse(read) })
	if err := check(p, read, docs); err != nil {
		return nil, err
	}
	if o.Together {
		if err := clash(p, docs); err != nil {
			return nil, err
		}
	}
	l, err := convert(p, o.Access, docs)
	if err == nil {
		if env := files(o.EnvFiles); len(env) > 0 {
			for i := range l.Project.Services {
				l.Project.Services[i].Create.Labels[compose.LabelEnvFiles] = strings.Join(env, ",")
			}
		}
		l.trusted, l.recalled, l.Services, l.docs = r.trusted, r.recalled, all, docs
	}
	return l, err
}

// failed explains an error of the library's.
func (r *reader) failed(err error) error {
	switch {
	case errs.KindOf(err) == errs.Invalid, r.options == nil:
		return err // ours already
	case len(r.options.ConfigPaths) == 0:
		return notFound(err)
	}
	return explain(err, r.more.all(r.options))
}

// ComposeVariables are the variables for Compose itself in the files of
// variables.
func (o Options) ComposeVariables(ctx context.Context) (map[string]string, error) {
	return bounded(ctx, func() (map[string]string, error) {
		out := map[string]string{}
		options, err := cli.NewProjectOptions(o.Files, cli.WithWorkingDirectory(o.Dir), cli.WithOsEnv, cli.WithEnvFiles(o.EnvFiles...), cli.WithDotEnv)
		if err != nil {
			return out, nil //nolint:nilerr // it is said when the project is loaded
		}
		for name, value := range options.Environment {
			if strings.HasPrefix(name, "COMPOSE_") {
				out[name] = value
			}
		}
		return out, nil
	})
}

// others are the files that a project's own files include or extend, as they
// are written there.
type others struct {
	written []string
	outside bool // there are some
}

func (o *others) listen(event string, data map[string]any) {
	switch event {
	case "extends":
		if file, ok := data["file"].(string); ok {
			o.written, o.outside = append(o.written, file), true
		}
	case "include":
		o.outside = true
		if paths, ok := data["path"].(types.StringList); ok {
			o.written = append(o.written, paths...)
		}
	}
}

// all are the project's own files and the others that can be found: a path is
// relative to the project's folder, or to that of the file it stands in.
func (o *others) all(options *cli.ProjectOptions) []string {
	out := files(options.ConfigPaths)
	dir, err := options.GetWorkingDir()
	if err != nil {
		return out
	}
	for _, name := range o.written {
		folders := []string{dir}
		for _, known := range out {
			folders = append(folders, filepath.Dir(known))
		}
		for _, folder := range folders {
			path := name
			if !filepath.IsAbs(name) {
				path = filepath.Join(folder, name)
			}
			if _, err := os.Stat(path); err == nil && !slices.Contains(out, path) {
				out = append(out, path)
				break
			}
		}
	}
	return out
}

func files(paths []string) []string {
	var out []string
	for _, p := range paths {
		if abs, err := filepath.Abs(p); err == nil && p != "-" {
			out = append(out, abs)
		}
	}
	return out
}

func notFound(err error) error {
	if !strings.Contains(err.Error(), "no configuration file provided") {
		return errs.With(errs.Invalid, err)
	}
	dir, _ := os.Getwd()
	return errs.New(errs.NotFound, "no configuration file provided: no compose.yaml, compose.yml, docker-compose.yml or docker-compose.yaml in %s or above; name one with -f", dir)
}
