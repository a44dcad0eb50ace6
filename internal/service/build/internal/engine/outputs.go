package engine

import (
	"encoding/json"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	ccontent "github.com/containerd/containerd/v2/core/content"
	localstore "github.com/containerd/containerd/v2/plugins/content/local"
	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/moby/buildkit/cache/remotecache"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/ociindex"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	"github.com/moby/buildkit/session"
	sessioncontent "github.com/moby/buildkit/session/content"
	"github.com/moby/buildkit/session/filesync"
	"github.com/moby/buildkit/session/secrets/secretsprovider"
	"github.com/moby/buildkit/session/sshforward/sshprovider"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"lus/internal/base/errs"
	"lus/internal/model/build"
	"lus/internal/service/build/internal/export"
)

// attrDest is where an output goes on this host.
const attrDest = "dest"

// exporters are the job's outputs in BuildKit's words. Where each goes on this
// host is the session's to know.
func exporters(j *Job) []*controlapi.Exporter {
	outputs := j.Outputs
	if len(outputs) == 0 {
		outputs = []build.Output{{Type: client.ExporterImage}}
	}
	var out []*controlapi.Exporter
	for _, o := range outputs {
		if o.Type == "cacheonly" {
			continue
		}
		attrs := maps.Clone(o.Attrs)
		if attrs == nil {
			attrs = map[string]string{}
		}
		dest := attrs[attrDest]
		delete(attrs, attrDest)
		kind := o.Type
		switch {
		case kind == "registry":
			kind, attrs[string(exptypes.OptKeyPush)] = client.ExporterImage, "true"
		case kind == client.ExporterDocker && dest == "":
			kind = client.ExporterImage
		}
		if kind != client.ExporterLocal && kind != client.ExporterTar && attrs[export.AttrNames] == "" {
			attrs[export.AttrNames] = strings.Join(j.Names, ",")
		}
		out = append(out, &controlapi.Exporter{Type: kind, Attrs: attrs})
	}
	return out
}

func makesImage(list []*controlapi.Exporter) bool {
	return slices.ContainsFunc(list, func(e *controlapi.Exporter) bool {
		return e.Type == client.ExporterImage || e.Type == mobyExporter
	})
}

// allowMore lets a build reach its secrets, agents, outputs and caches.
func allowMore(s *session.Session, j *Job, c *caches) error {
	if len(j.Secrets) > 0 {
		s.Allow(secretsprovider.FromMap(j.Secrets))
	}
	if len(j.SSH) > 0 {
		var agents []sshprovider.AgentConfig
		for id, paths := range j.SSH {
			agents = append(agents, sshprovider.AgentConfig{ID: id, Paths: paths})
		}
		p, err := sshprovider.NewSSHAgentProvider(agents)
		if err != nil {
			return errs.New(errs.Invalid, "the agent or key for ssh: %w", err)
		}
		s.Allow(p)
	}
	if len(c.stores) > 0 {
		s.Allow(sessioncontent.NewAttachable(c.stores))
	}
	targets, err := targets(j)
	if len(targets) > 0 {
		s.Allow(filesync.NewFSSyncTarget(targets...))
	}
	return err
}

// targets are the outputs that go to files of this host, under the numbers
// that exporters gave them.
func targets(j *Job) (out []filesync.FSSyncTarget, err error) {
	n := 0
	for _, o := range j.Outputs {
		dest := o.Attrs[attrDest]
		switch o.Type {
		case "cacheonly":
			continue
		case client.ExporterLocal, client.ExporterTar, client.ExporterOCI:
			if dest == "" {
				return nil, errs.New(errs.Invalid, "an output of type %s needs a place: write dest=PATH", o.Type)
			}
		case client.ExporterDocker, client.ExporterImage, "registry":
		default:
			return nil, errs.New(errs.Invalid, "invalid output type %q: it can be image, registry, docker, oci, local, tar or cacheonly", o.Type)
		}
		if dest != "" && !filepath.IsAbs(dest) {
			return nil, errs.New(errs.Invalid, "the output's path %q is not absolute", dest)
		}
		switch {
		case o.Type == client.ExporterLocal:
			out = append(out, filesync.WithFSSyncDir(n, dest))
		case dest != "":
			out = append(out, filesync.WithFSSync(n, func(map[string]string) (io.WriteCloser, error) { return os.Create(dest) }))
		}
		n++
	}
	return out, nil
}

// caches are the places beside the store that a build's cache comes from and
// goes to. Folders are content stores, which the session serves.
type caches struct {
	from, to []*controlapi.CacheOptionsEntry
	stores   map[string]ccontent.Store
	tags     map[string]string // folder -> tag
}

func openCaches(j *Job) (*caches, error) {
	c := &caches{stores: map[string]ccontent.Store{}, tags: map[string]string{}}
	for _, o := range j.CacheTo {
		if o.Type == "local" {
			if err := c.open(o, attrDest, true); err != nil {
				return nil, err
			}
			c.tags[o.Attrs[attrDest]] = tagOf(o)
		}
		c.to = append(c.to, &controlapi.CacheOptionsEntry{Type: o.Type, Attrs: o.Attrs})
	}
	for _, o := range j.CacheFrom {
		e := &controlapi.CacheOptionsEntry{Type: o.Type, Attrs: maps.Clone(o.Attrs)}
		if o.Type == "local" {
			dir := o.Attrs["src"]
			if _, err := os.Stat(filepath.Join(dir, ocispec.ImageIndexFile)); err != nil {
				continue // nothing was kept there yet
			}
			if err := c.open(o, "src", false); err != nil {
				return nil, err
			}
			desc, err := ociindex.NewStoreIndex(dir).Get(tagOf(o))
			if err != nil || desc == nil {
				continue
			}
			e.Attrs["digest"] = desc.Digest.String()
		}
		c.from = append(c.from, e)
	}
	return c, nil
}

func tagOf(o build.Output) string {
	if t := o.Attrs["tag"]; t != "" {
		return t
	}
	return "latest"
}

func (c *caches) open(o build.Output, key string, create bool) error {
	dir := o.Attrs[key]
	if !filepath.IsAbs(dir) {
		return errs.New(errs.Invalid, "a local cache needs a folder: write %s=PATH", key)
	}
	if create {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return errs.New(errs.Invalid, "the cache's folder: %w", err)
		}
	}
	st, err := localstore.NewStore(dir)
	if err != nil {
		return errs.New(errs.Invalid, "the cache's folder: %w", err)
	}
	c.stores["local:"+dir] = st
	return nil
}

// written names in the folders what was exported to them.
func (c *caches) written(answer map[string]string) error {
	text := answer[remotecache.ExporterResponseManifestDesc]
	if text == "" {
		return nil
	}
	var desc ocispec.Descriptor
	if err := json.Unmarshal([]byte(text), &desc); err != nil {
		return err
	}
	for dir, tag := range c.tags {
		if err := ociindex.NewStoreIndex(dir).Put(desc, ociindex.Tag(tag)); err != nil {
			return errs.New(errs.Internal, "naming the cache in %s: %w", dir, err)
		}
	}
	return nil
}
