package composefile

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"

	"lus/internal/base/errs"
	"lus/internal/model/build"
	"lus/internal/model/compose"
	"lus/internal/model/network"
	"lus/internal/model/volume"
)

// convert turns the library's project into ours. What a single host cannot
// honour is refused where silence would harm, else told in Warnings.
func convert(p *types.Project) (*Loaded, error) {
	out := &compose.Project{Name: p.Name, WorkingDir: p.WorkingDir, ConfigFiles: p.ComposeFiles}
	docs := parse(p.ComposeFiles)
	l := &Loaded{Project: out, source: p, Warnings: notes(p, docs)}
	for _, key := range slices.Sorted(maps.Keys(p.Networks)) {
		out.Networks = append(out.Networks, projectNetwork(p, key))
	}
	for _, key := range slices.Sorted(maps.Keys(p.Volumes)) {
		out.Volumes = append(out.Volumes, projectVolume(p, key))
	}
	taken := map[string]string{} // container_name -> service
	for _, name := range slices.Sorted(maps.Keys(p.Services)) {
		s, err := projectService(p, p.Services[name])
		if err == nil && s.ContainerName != "" {
			if other, ok := taken[s.ContainerName]; ok {
				err = errs.New(errs.Invalid, "container_name: %q is the name of service %s's container too", s.ContainerName, other)
			}
			taken[s.ContainerName] = name
		}
		if err != nil {
			// What complains begins with the key it complains of.
			key, _, _ := strings.Cut(err.Error(), ":")
			f := docs.at("services", name, key)
			return nil, errs.New(errs.KindOf(err), "%s:%d: services.%s.%w\n  %d | %s", f.file, f.line, name, err, f.line, lineOf(f.file, f.line))
		}
		out.Services = append(out.Services, *s)
	}
	return l, nil
}

func projectNetwork(p *types.Project, key string) compose.Network {
	n := p.Networks[key]
	out := compose.Network{Key: key, External: bool(n.External), Network: network.Network{
		Name: n.Name, Driver: cmp.Or(n.Driver, network.Bridge), Internal: n.Internal, Attachable: n.Attachable,
		EnableIPv4: n.EnableIPv4 == nil || *n.EnableIPv4,
		EnableIPv6: n.EnableIPv6 != nil && *n.EnableIPv6,
		Options:    n.DriverOpts,
		IPAM:       network.IPAM{Driver: cmp.Or(n.Ipam.Driver, "default"), Options: n.Ipam.Options},
		Labels:     labels(n.Labels, p.Name, compose.LabelNetwork, key),
	}}
	for _, pool := range n.Ipam.Config {
		out.Network.IPAM.Config = append(out.Network.IPAM.Config, network.Pool{
			Subnet: pool.Subnet, IPRange: pool.IPRange, Gateway: pool.Gateway, Aux: pool.AuxiliaryAddresses,
		})
	}
	return out
}

func projectVolume(p *types.Project, key string) compose.Volume {
	v := p.Volumes[key]
	return compose.Volume{Key: key, External: bool(v.External), Volume: volume.CreateRequest{
		Name: v.Name, Driver: cmp.Or(v.Driver, "local"), DriverOpts: v.DriverOpts,
		Labels: labels(v.Labels, p.Name, compose.LabelVolume, key),
	}}
}

func labels(own types.Labels, project, kind, key string) map[string]string {
	out := map[string]string{compose.LabelProject: project, kind: key, compose.LabelVersion: "2"}
	maps.Copy(out, own)
	return out
}

func projectService(p *types.Project, s types.ServiceConfig) (*compose.Service, error) {
	if s.Provider != nil {
		return nil, errs.New(errs.Unsupported, "provider: services run by a provider's plugin cannot be had here")
	}
	out := &compose.Service{
		Name: s.Name, ContainerName: s.ContainerName, Scale: s.GetScale(),
		Image: s.Image, Platform: s.Platform, PullPolicy: s.PullPolicy,
	}
	if out.Image == "" {
		out.Image = p.Name + "-" + s.Name
	}
	if out.ContainerName != "" && out.Scale > 1 {
		return nil, errs.New(errs.Invalid, "container_name %q can be given to one container only: remove it, or scale to 1", s.ContainerName)
	}
	if s.Build != nil {
		b, err := buildRequest(s, out.Image)
		if err != nil {
			return nil, err
		}
		out.Build = b
	}
	for _, name := range slices.Sorted(maps.Keys(s.DependsOn)) {
		d := s.DependsOn[name]
		out.DependsOn = append(out.DependsOn, compose.Dependency{
			Service: name, Condition: cmp.Or(d.Condition, compose.ServiceStarted), Restart: d.Restart, Required: d.Required,
		})
	}
	create, err := createRequest(p, s, out.Image)
	if err != nil {
		return nil, err
	}
	out.Create = *create
	if out.Hash, err = hash(out); err != nil {
		return nil, err
	}
	out.Create.Labels[compose.LabelConfigHash] = out.Hash
	out.Create.Labels[compose.LabelDependsOn] = dependsLabel(out.DependsOn)
	out.Create.Labels[compose.LabelConfigFiles] = strings.Join(p.ComposeFiles, ",")
	out.Create.Labels[compose.LabelWorkingDir] = p.WorkingDir
	return out, nil
}

// hash changes with everything a container of the service is made from; how
// many there are, what they wait for and how the image is built is not part.
func hash(s *compose.Service) (string, error) {
	data, err := json.Marshal(struct {
		Name, ContainerName, Image, Platform string
		Create                               any
	}{s.Name, s.ContainerName, s.Image, s.Platform, s.Create})
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:]), nil
}

func dependsLabel(deps []compose.Dependency) string {
	var parts []string
	for _, d := range deps {
		parts = append(parts, fmt.Sprintf("%s:%s:%t", d.Service, d.Condition, d.Restart))
	}
	return strings.Join(parts, ",")
}

func buildRequest(s types.ServiceConfig, tag string) (*build.Request, error) {
	b := s.Build
	if len(b.Secrets) > 0 || len(b.SSH) > 0 || len(b.AdditionalContexts) > 0 {
		return nil, errs.New(errs.Unsupported, "build: secrets, ssh and additional_contexts are not carried out yet; remove them, or build the image beforehand and name it with image:")
	}
	if b.Privileged || len(b.Entitlements) > 0 {
		return nil, errs.New(errs.Unsupported, "build: privileged builds are not carried out; remove privileged and entitlements")
	}
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
