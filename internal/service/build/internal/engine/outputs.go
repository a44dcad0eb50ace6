package engine

import (
	"cmp"
	"encoding/base64"
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

// stdout is the place of an output that goes to the client's standard output.
const stdout = "-"

// open is a writer that others close.
type open struct{ io.Writer }

// Close implements io.Closer.
func (open) Close() error { return nil }

// attrDest is where an output goes on this host.
const attrDest = "dest"

// places are the outputs that go somewhere. An OCI layout comes last: of what
// exporters tell, it is the last one's that is known.
func (j *Job) places() []build.Output {
	var out, layouts []build.Output
	for _, o := range j.Outputs {
		switch {
		case o.Type == "cacheonly":
		case asLayout(o):
			layouts = append(layouts, o)
		default:
			out = append(out, o)
		}
	}
	return append(out, layouts...)
}

// exporters are the job's outputs in BuildKit's words. Where each goes on this
// host is the session's to know.
func exporters(j *Job) []*controlapi.Exporter {
	outputs := j.places()
	if len(j.Outputs) == 0 {
		outputs = []build.Output{{Type: client.ExporterImage}}
	}
	var out []*controlapi.Exporter
	for _, o := range outputs {
		attrs := annotated(o.Attrs, j.Attrs["platform"])
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
	if err := c.layouts(j); err != nil {
		return err
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
	for n, o := range j.places() {
		dest := o.Attrs[attrDest]
		switch o.Type {
		case client.ExporterLocal, client.ExporterTar, client.ExporterOCI:
			if dest == "" {
				return nil, errs.New(errs.Invalid, "an output of type %s needs a place: write dest=PATH", o.Type)
			}
		case client.ExporterDocker, client.ExporterImage, "registry":
		default:
			return nil, errs.New(errs.Invalid, "invalid output type %q: it can be image, registry, docker, oci, local, tar or cacheonly", o.Type)
		}
		if asLayout(o) {
			continue // the session's content store takes it
		}
		if dest == stdout {
			if o.Type == client.ExporterLocal {
				return nil, errs.New(errs.Invalid, "an output of type local is a folder, which standard output cannot be: write type=tar,dest=-")
			}
			if j.Stdout == nil {
				return nil, errs.New(errs.Invalid, "this client has no standard output: write dest=PATH")
			}
			w := open{j.Stdout}
			out = append(out, filesync.WithFSSync(n, func(map[string]string) (io.WriteCloser, error) { return w, nil }))
			continue
		}
		if dest != "" && !filepath.IsAbs(dest) {
			return nil, errs.New(errs.Invalid, "the output's path %q is not absolute", dest)
		}
		switch {
		case o.Type == client.ExporterLocal:
			to, err := folderTarget(n, o)
			if err != nil {
				return nil, err
			}
			out = append(out, to)
		case dest != "":
			out = append(out, filesync.WithFSSync(n, func(map[string]string) (io.WriteCloser, error) { return os.Create(dest) }))
		}
	}
	return out, nil
}

// folderTarget is the folder that an output goes to, beside what is there or
// instead of it.
func folderTarget(n int, o build.Output) (filesync.FSSyncTarget, error) {
	switch mode, err := client.ParseLocalExporterMode(o.Attrs["mode"]); {
	case err != nil:
		return nil, errs.New(errs.Invalid, "invalid mode %q of an output of type local: it can be copy or delete", o.Attrs["mode"])
	case mode == client.LocalExporterModeDelete:
		return filesync.WithFSSyncDirDelete(n, o.Attrs[attrDest]), nil
	}
	return filesync.WithFSSyncDir(n, o.Attrs[attrDest]), nil
}

// caches are the places beside the store that a build's cache comes from and
// goes to. Folders are content stores, which the session serves.
type caches struct {
	from, to []*controlapi.CacheOptionsEntry
	stores   map[string]ccontent.Store
	tags     map[string]string // folder -> tag
	layout   string            // the folder with an OCI layout that the result goes to
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
			kept, err := c.source(o)
			if err != nil {
				return nil, err
			}
			if kept == "" {
				continue
			}
			e.Attrs["digest"] = kept
		}
		c.from = append(c.from, e)
	}
	return c, nil
}

// source opens a folder with a cache and finds the digest of the one that is
// meant; it is empty where nothing was kept yet.
func (c *caches) source(o build.Output) (digest string, err error) {
	dir := o.Attrs["src"]
	if _, err := os.Stat(filepath.Join(dir, ocispec.ImageIndexFile)); err != nil {
		return "", nil //nolint:nilerr // that is how a folder begins
	}
	if err := c.open(o, "src", false); err != nil {
		return "", err
	}
	if given := o.Attrs["digest"]; given != "" {
		return given, nil
	}
	if desc, err := ociindex.NewStoreIndex(dir).Get(tagOf(o)); err == nil && desc != nil {
		return desc.Digest.String(), nil
	}
	return "", nil
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

// asLayout reports whether an output is a folder with an OCI layout.
func asLayout(o build.Output) bool {
	return (o.Type == client.ExporterOCI || o.Type == client.ExporterDocker) && o.Attrs["tar"] == "false" && o.Attrs[attrDest] != ""
}

// exportStore is the name under which BuildKit asks for the content store that
// takes a result.
const exportStore = "export"

// layouts opens OCI layouts that stand as contexts, and the one that the result
// goes to.
func (c *caches) layouts(j *Job) error {
	for _, o := range j.Outputs {
		if !asLayout(o) {
			continue
		}
		dir := o.Attrs[attrDest]
		if !filepath.IsAbs(dir) || c.layout != "" {
			return errs.New(errs.Invalid, "an OCI layout goes to one folder: write type=%s,tar=false,dest=PATH once", o.Type)
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return errs.New(errs.Invalid, "the OCI layout's folder: %w", err)
		}
		st, err := localstore.NewStore(dir)
		if err != nil {
			return errs.New(errs.Invalid, "the OCI layout's folder: %w", err)
		}
		c.layout, c.stores[exportStore] = dir, st
	}
	for id, dir := range j.Layouts {
		st, err := localstore.NewStore(dir)
		if err != nil {
			return errs.New(errs.Invalid, "the OCI layout %s: %w", dir, err)
		}
		c.stores["oci:"+id] = st
	}
	return nil
}

// exported names in the OCI layout what was written there.
func (c *caches) exported(answer map[string]string) error {
	if c.layout == "" {
		return nil
	}
	text, err := base64.StdEncoding.DecodeString(answer[exptypes.ExporterImageDescriptorKey])
	if err != nil || len(text) == 0 {
		return errs.New(errs.Internal, "the build did not tell what it wrote to %s", c.layout)
	}
	var desc ocispec.Descriptor
	if err := json.Unmarshal(text, &desc); err != nil {
		return err
	}
	names := []ociindex.NameOrTag{ociindex.Tag("latest")}
	if list := answer["image.name"]; list != "" {
		names = nil
		for name := range strings.SplitSeq(list, ",") {
			names = append(names, ociindex.Name(name))
		}
	}
	if err := ociindex.NewStoreIndex(c.layout).Put(desc, names...); err != nil {
		return errs.New(errs.Internal, "naming the image in %s: %w", c.layout, err)
	}
	return nil
}

// LayoutDigest is what a tag of an OCI layout stands for; an empty tag is
// latest, or the only one there is.
func LayoutDigest(dir, tag string) (string, error) {
	if _, err := os.Stat(filepath.Join(dir, ocispec.ImageIndexFile)); err != nil {
		return "", errs.New(errs.Invalid, "%s is no OCI layout: %w", dir, err)
	}
	index := ociindex.NewStoreIndex(dir)
	desc, err := index.Get(cmp.Or(tag, "latest"))
	if err == nil && desc == nil && tag == "" {
		desc, err = index.GetSingle()
	}
	switch {
	case err != nil:
		return "", errs.New(errs.Invalid, "the OCI layout %s: %w", dir, err)
	case desc == nil:
		return "", errs.New(errs.NotFound, "the OCI layout %s has no image %q: name one as oci-layout://%s:TAG", dir, cmp.Or(tag, "latest"), dir)
	}
	return desc.Digest.String(), nil
}

// written names in the folders what was exported to them.
func (c *caches) written(answer map[string]string) error {
	if err := c.exported(answer); err != nil {
		return err
	}
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
