package composefile

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"

	"lus/internal/base/errs"
	"lus/internal/model/build"
)

// buildRequest is how a service's image is built.
func buildRequest(p *types.Project, s types.ServiceConfig, tag string) (*build.Request, error) {
	b := s.Build
	r := &build.Request{
		Dockerfile: b.Dockerfile, DockerfileText: []byte(b.DockerfileInline),
		Tags: append([]string{tag}, b.Tags...), Args: map[string]*string{}, Labels: b.Labels,
		Target: b.Target, NoCache: b.NoCache, Pull: b.Pull, ShmSize: int64(b.ShmSize),
		NetworkMode: b.Network, ExtraHosts: b.ExtraHosts.AsList(":"),
	}
	if len(b.Platforms) > 1 {
		return nil, errs.New(errs.Unsupported, "build: platforms: images of several platforms are not built yet; leave one")
	}
	if len(b.Platforms) == 1 {
		r.Platform = b.Platforms[0]
	}
	maps.Copy(r.Args, b.Args)
	for name, u := range b.Ulimits {
		soft, hard := u.Soft, u.Hard
		if u.Single != 0 {
			soft, hard = u.Single, u.Single
		}
		r.Ulimits = append(r.Ulimits, fmt.Sprintf("%s=%d:%d", name, soft, hard))
	}
	slices.Sort(r.Ulimits)
	if err := borrowed(p, b, r); err != nil {
		return nil, err
	}
	switch {
	case strings.Contains(b.Context, "://") || strings.HasPrefix(b.Context, "git@"):
		r.Remote = b.Context
	case filepath.IsAbs(b.Context):
		r.ContextDir = b.Context
	default:
		return nil, errs.New(errs.Invalid, "build: context %q is neither a folder nor a URL", b.Context)
	}
	return r, nil
}

// borrowed are the things of the user that a build may use: files of secrets,
// keys, and other folders and images.
func borrowed(p *types.Project, b *types.BuildConfig, r *build.Request) error {
	for _, s := range b.Secrets {
		text, err := os.ReadFile(p.Secrets[s.Source].File)
		if err != nil {
			return errs.New(errs.Invalid, "build: secret %s: %w", s.Source, err)
		}
		if r.Secrets == nil {
			r.Secrets = map[string][]byte{}
		}
		r.Secrets[cmp.Or(s.Target, s.Source)] = text
	}
	for _, k := range b.SSH {
		path := cmp.Or(k.Path, os.Getenv("SSH_AUTH_SOCK"))
		if path == "" {
			return errs.New(errs.Invalid, "build: ssh: %s names no key and no SSH agent runs (SSH_AUTH_SOCK): name a key, or start the agent", k.ID)
		}
		if r.SSH == nil {
			r.SSH = map[string][]string{}
		}
		r.SSH[k.ID] = append(r.SSH[k.ID], path)
	}
	for name, from := range b.AdditionalContexts {
		if strings.HasPrefix(from, types.ServicePrefix) {
			return errs.New(errs.Unsupported, "build: additional_contexts: %s: the image of another service cannot be a context yet: give a folder or a URL", name)
		}
	}
	r.Contexts = b.AdditionalContexts
	return nil
}
