// Package composefile is lus-compose: it reads Compose files as the calling
// user, with that user's files and environment, resolves them with the
// specification's reference library, and sends the result to the daemon. It is
// the only package that links that library.
package composefile

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/sirupsen/logrus"

	"lus/internal/base/errs"
	"lus/internal/model/compose"
)

// LoadOptions says which files to read and how.
type LoadOptions struct {
	Files    []string // empty: COMPOSE_FILE, else the default names, here or in a folder above
	Name     string   // empty: name: in the file, COMPOSE_PROJECT_NAME, else the folder's name
	Dir      string   // empty: the first file's folder
	EnvFiles []string
	Profiles []string
	Services []string // empty: all
}

// Loaded is a project and what its reader should know.
type Loaded struct {
	Project  *compose.Project
	Warnings []string
	source   *types.Project
}

// Load reads and resolves a project. Its errors name file, line and key.
func Load(ctx context.Context, o LoadOptions) (*Loaded, error) {
	// The library warns through a global logger; what is worth saying is said
	// by notes() with file and line.
	logrus.SetOutput(io.Discard)
	options, err := cli.NewProjectOptions(o.Files,
		cli.WithWorkingDirectory(o.Dir),
		cli.WithOsEnv,
		cli.WithEnvFiles(o.EnvFiles...),
		cli.WithDotEnv,
		cli.WithConfigFileEnv,
		cli.WithDefaultConfigPath,
		cli.WithEnvFiles(o.EnvFiles...),
		cli.WithDotEnv,
		cli.WithDefaultProfiles(o.Profiles...),
		cli.WithName(o.Name),
	)
	if err != nil {
		return nil, notFound(err)
	}
	p, err := options.LoadProject(ctx)
	if err != nil && len(options.ConfigPaths) == 0 {
		return nil, notFound(err)
	}
	if err != nil {
		return nil, explain(err, files(options.ConfigPaths))
	}
	if len(o.Services) > 0 {
		if p, err = p.WithServicesEnabled(o.Services...); err == nil {
			p, err = p.WithSelectedServices(o.Services)
		}
		if err != nil {
			return nil, errs.With(errs.NotFound, err)
		}
	}
	return convert(p)
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
