package build

import (
	"context"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/distribution/reference"
	"github.com/docker/go-units"

	"lus/internal/base/errs"
	"lus/internal/model/build"
	"lus/internal/service/build/internal/engine"
)

// job turns a request into the frontend's words. Cleanup removes what the job
// needs on the disk while it runs.
func (s *Service) job(ctx context.Context, req *build.Request) (_ *engine.Job, cleanup func(), err error) {
	j := &engine.Job{
		Attrs: map[string]string{}, Auth: req.Auth, Secrets: req.Secrets, SSH: req.SSH,
		Outputs: req.Outputs, CacheFrom: req.CacheFrom, CacheTo: req.CacheTo, Session: req.Session, Trace: req.Trace,
		Stdout: req.Stdout, Allow: slices.Clone(req.Allow), Layouts: map[string]string{},
	}
	if j.Names, err = names(req.Tags); err != nil {
		return nil, nil, err
	}
	if err := s.options(j, req); err != nil {
		return nil, nil, err
	}
	cleanup, err = s.context(ctx, j, req)
	if err != nil {
		return nil, nil, err
	}
	if err := contexts(j, req); err != nil {
		cleanup()
		return nil, nil, err
	}
	return j, cleanup, nil
}

// names are the full references of tags.
func names(tags []string) ([]string, error) {
	var out []string
	for _, t := range tags {
		named, err := reference.ParseNormalizedNamed(t)
		if err != nil {
			return nil, errs.New(errs.Invalid, "invalid tag %q: %w", t, err)
		}
		if _, ok := named.(reference.Digested); ok {
			return nil, errs.New(errs.Invalid, "invalid tag %q: an image cannot be built under a digest, give it a name like app:latest", t)
		}
		full := reference.TagNameOnly(named).String()
		if !slices.Contains(out, full) {
			out = append(out, full)
		}
	}
	return out, nil
}

// options sets all that does not concern the context.
func (s *Service) options(j *engine.Job, req *build.Request) error {
	for _, k := range slices.Sorted(maps.Keys(req.Args)) {
		if v := req.Args[k]; v != nil {
			j.Attrs["build-arg:"+k] = *v
		}
	}
	for k, v := range req.Labels {
		j.Attrs["label:"+k] = v
	}
	if inlineCache(req) {
		j.CacheTo = append(slices.Clone(j.CacheTo), build.Output{Type: cacheInline})
	}
	j.Attrs["image-resolve-mode"] = "local"
	if req.Pull {
		j.Attrs["image-resolve-mode"] = "pull"
	}
	if req.NoCache {
		j.Attrs["no-cache"] = ""
	}
	if !req.NoCache && len(req.NoCacheFilter) > 0 {
		j.Attrs["no-cache"] = strings.Join(req.NoCacheFilter, ",")
	}
	setIf(j.Attrs, "cgroup-parent", req.CgroupParent)
	if err := question(j, req.Call); err != nil {
		return err
	}
	if err := attests(j, req.Attests); err != nil {
		return err
	}
	setIf(j.Attrs, "target", req.Target)
	setIf(j.Attrs, "platform", req.Platform)
	if strings.Contains(req.Platform, ",") {
		return errs.New(errs.Unsupported, "platforms %s: build for one platform at a time", req.Platform)
	}
	if req.ShmSize < 0 {
		return errs.New(errs.Invalid, "invalid size %d for /dev/shm: it cannot be negative", req.ShmSize)
	}
	if req.ShmSize > 0 {
		j.Attrs["shm-size"] = strconv.FormatInt(req.ShmSize, 10)
	}
	if err := networkMode(j, req.NetworkMode); err != nil {
		return err
	}
	hosts, err := s.extraHosts(req.ExtraHosts)
	if err != nil {
		return err
	}
	setIf(j.Attrs, "add-hosts", hosts)
	limits, err := ulimits(req.Ulimits)
	if err != nil {
		return err
	}
	setIf(j.Attrs, "ulimit", limits)
	return nil
}

// cacheInline is the cache that goes with the image.
const cacheInline = "inline"

// inlineCache reports whether the argument asks for a cache in the image by which
// Docker's clients did so before there were caches elsewhere.
func inlineCache(req *build.Request) bool {
	v := req.Args["BUILDKIT_INLINE_CACHE"]
	if v == nil || slices.ContainsFunc(req.CacheTo, func(o build.Output) bool { return o.Type == cacheInline }) {
		return false
	}
	on, err := strconv.ParseBool(*v)
	return err == nil && on
}

// What can be asked about a Dockerfile.
const (
	callCheck   = "check"
	callOutline = "outline"
	callTargets = "targets"
)

// question is the call in BuildKit's words.
func question(j *engine.Job, call string) error {
	switch call {
	case "", "build":
	case callCheck:
		j.Question = "frontend.lint"
	case callOutline:
		j.Question = "frontend.outline"
	case callTargets:
		j.Question = "frontend.targets"
	default:
		return errs.New(errs.Invalid, "invalid call %q: it can be build, check, outline or targets", call)
	}
	return nil
}

// attests are attestations to make, where a result can hold them.
func attests(j *engine.Job, asked map[string]string) error {
	for kind, parameters := range asked {
		switch kind {
		case "provenance", "sbom":
			j.Attrs["attest:"+kind] = parameters
		default:
			return errs.New(errs.Invalid, "invalid attestation type %q: it can be provenance or sbom", kind)
		}
	}
	return nil
}

// ulimits checks "nofile=1024:2048" and joins them as the frontend wants them.
func ulimits(list []string) (string, error) {
	var out []string
	for _, l := range list {
		u, err := units.ParseUlimit(l)
		if err != nil {
			return "", errs.New(errs.Invalid, "invalid ulimit %q: write it as nofile=1024:2048", l)
		}
		out = append(out, u.String())
	}
	return strings.Join(out, ","), nil
}

func setIf(m map[string]string, k, v string) {
	if v != "" {
		m[k] = v
	}
}

func networkMode(j *engine.Job, mode string) error {
	switch mode {
	case "", "default", "bridge":
	case "none":
		j.Attrs["force-network-mode"] = "none"
	case "host":
		j.Attrs["force-network-mode"] = "host"
		j.Allow = append(j.Allow, allowHostNetwork)
	default:
		return errs.New(errs.Invalid, "invalid network %q for a build: it can be default, none or host", mode)
	}
	return nil
}

// hostGateway stands for this host's address in a list of hosts.
const hostGateway = "host-gateway"

// extraHosts checks "name:address" and "name=address" and joins them as the
// frontend wants them.
func (s *Service) extraHosts(list []string) (string, error) {
	var out []string
	for _, h := range list {
		name, address, ok := strings.Cut(h, "=")
		if !ok {
			name, address, ok = strings.Cut(h, ":")
		}
		if address == hostGateway && s.d.Gateway != nil {
			address = s.d.Gateway()
		}
		ip := net.ParseIP(strings.Trim(address, "[]"))
		if !ok || ip == nil || name == "" || strings.ContainsAny(name, " \t\n\",") {
			return "", errs.New(errs.Invalid, "invalid host %q: write it as name:address, as in db:10.0.0.7", h)
		}
		out = append(out, name+"="+ip.String())
	}
	return strings.Join(out, ","), nil
}
