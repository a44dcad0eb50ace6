package composefile

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"

	"lus/internal/base/errs"
	"lus/internal/model/build"
	"lus/internal/model/compose"
)

// buildRequest is how a service's image is built.
func buildRequest(p *types.Project, s types.ServiceConfig, tag string) (*build.Request, error) {
	b := s.Build
	r := &build.Request{
		Dockerfile: b.Dockerfile, DockerfileText: []byte(b.DockerfileInline),
		Tags: append([]string{tag}, b.Tags...), Args: map[string]*string{},
		Target: b.Target, NoCache: b.NoCache, Pull: b.Pull, ShmSize: int64(b.ShmSize),
		NoCacheFilter: b.NoCacheFilter, Allow: slices.Clone(b.Entitlements),
		NetworkMode: b.Network, ExtraHosts: b.ExtraHosts.AsList(":"),
	}
	if b.Privileged && !slices.Contains(r.Allow, "security.insecure") {
		r.Allow = append(r.Allow, "security.insecure")
	}
	if len(b.Platforms) > 1 {
		return nil, errs.New(errs.Unsupported, "build: platforms: images of several platforms are not built yet; leave one")
	}
	if len(b.Platforms) == 1 {
		r.Platform = b.Platforms[0]
	}
	maps.Copy(r.Args, b.Args)
	r.Labels = map[string]string{compose.LabelProject: p.Name, compose.LabelService: s.Name, compose.LabelVersion: labelVersion}
	maps.Copy(r.Labels, b.Labels)
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
		text, err := buildSecret(p, s.Source)
		if err != nil {
			return err
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
		if other, ok := strings.CutPrefix(from, types.ServicePrefix); ok {
			of := p.AllServices()[other]
			from = "docker-image://" + imageOf(p, of)
			if of.Build != nil {
				r.Here = append(r.Here, name)
			}
		}
		if r.Contexts == nil {
			r.Contexts = map[string]string{}
		}
		r.Contexts[name] = from
	}
	slices.Sort(r.Here)
	var err error
	if r.CacheFrom, err = caches("cache_from", b.CacheFrom); err == nil {
		r.CacheTo, err = caches("cache_to", b.CacheTo)
	}
	return err
}

// buildSecret is what a secret of a build holds.
func buildSecret(p *types.Project, name string) ([]byte, error) {
	s := types.FileObjectConfig(p.Secrets[name])
	text, err := value(p, "secret", name, s)
	if s.File != "" {
		text, err = start(s.File, maxSecret+1)
	}
	switch {
	case err != nil:
		return nil, errs.New(errs.Invalid, "build: secret %s: %w", name, err)
	case len(text) > maxSecret:
		return nil, errs.New(errs.Invalid, "build: secret %s has more than %d KB: copy it in, or mount it from a context of its own", name, maxSecret>>10)
	}
	return text, nil
}

// start is what a file begins with; it may be a pipe.
func start(path string, most int64) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, most))
}

// imageOf is the image that a service runs or builds.
func imageOf(p *types.Project, s types.ServiceConfig) string {
	return cmp.Or(s.Image, p.Name+"-"+s.Name)
}

// buildFrom are the services whose images the build of a service uses.
func buildFrom(s types.ServiceConfig) []string {
	var out []string
	if s.Build == nil {
		return nil
	}
	for _, from := range s.Build.AdditionalContexts {
		if other, ok := strings.CutPrefix(from, types.ServicePrefix); ok {
			out = append(out, other)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// bases are the services that do not run and from whose images those that do are
// built, and so on.
func bases(p *types.Project) ([]compose.Service, error) {
	var out []compose.Service
	all := p.AllServices()
	const visiting, visited = 1, 2
	state := map[string]int{}
	var visit func(name string) error
	visit = func(name string) error {
		switch state[name] {
		case visited:
			return nil
		case visiting:
			return &complaint{name, errs.New(errs.Invalid, "build: additional_contexts: its image is built from itself: break the circle")}
		}
		state[name] = visiting
		s := all[name]
		for _, other := range buildFrom(s) {
			if err := visit(other); err != nil {
				return err
			}
		}
		state[name] = visited
		if _, runs := p.Services[name]; runs || s.Build == nil {
			return nil
		}
		image := imageOf(p, s)
		b, err := buildRequest(p, s, image)
		if err != nil {
			return &complaint{name, err}
		}
		out = append(out, compose.Service{Name: name, Image: image, Platform: s.Platform, Build: b, BuildFrom: buildFrom(s), PullPolicy: s.PullPolicy})
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(p.Services)) {
		if err := visit(name); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// caches reads type=registry,ref=NAME, or a name alone, which means the same.
func caches(key string, list []string) ([]build.Output, error) {
	var out []build.Output
	for _, text := range list {
		if !strings.Contains(text, "=") {
			out = append(out, build.Output{Type: "registry", Attrs: map[string]string{"ref": text}})
			continue
		}
		o := build.Output{Attrs: map[string]string{}}
		for field := range strings.SplitSeq(text, ",") {
			name, value, ok := strings.Cut(field, "=")
			switch {
			case !ok:
				return nil, errs.New(errs.Invalid, "build: %s: %q: write type=TYPE and NAME=VALUE, with commas between", key, text)
			case name == "type":
				o.Type = value
				continue
			case o.Type == "local" && (name == "src" || name == "dest"):
				abs, err := filepath.Abs(value)
				if err != nil {
					return nil, err
				}
				value = abs
			}
			o.Attrs[name] = value
		}
		if o.Type == "" {
			return nil, errs.New(errs.Invalid, "build: %s: %q has no type: write type=registry,ref=NAME or type=local,...", key, text)
		}
		out = append(out, o)
	}
	return out, nil
}
