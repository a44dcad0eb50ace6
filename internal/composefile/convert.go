package composefile

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"

	"lus/internal/base/errs"
	"lus/internal/model/compose"
	"lus/internal/model/network"
	"lus/internal/model/volume"
)

// convert turns the library's project into ours. What a single host cannot
// honour is refused where silence would harm, else told in Warnings.
func convert(p *types.Project, access Access, docs func() documents) (*Loaded, error) {
	warnings, err := judge(p, docs)
	if err != nil {
		return nil, err
	}
	out := &compose.Project{Name: p.Name, WorkingDir: p.WorkingDir, ConfigFiles: p.ComposeFiles}
	out.Known = append(p.ServiceNames(), p.DisabledServiceNames()...)
	slices.Sort(out.Known)
	l := &Loaded{Project: out, source: p, Warnings: warnings}
	p, socketless := withSocket(p, access)
	if socketless != nil {
		return nil, located(socketless, docs)
	}
	linked, clash := links(p)
	if clash != nil {
		return nil, located(clash, docs)
	}
	for _, key := range slices.Sorted(maps.Keys(p.Networks)) {
		out.Networks = append(out.Networks, projectNetwork(p, key))
	}
	for _, key := range slices.Sorted(maps.Keys(p.Volumes)) {
		out.Volumes = append(out.Volumes, projectVolume(p, key))
	}
	taken := map[string]string{} // container_name -> service
	for _, name := range slices.Sorted(maps.Keys(p.Services)) {
		s, err := projectService(p, p.Services[name], linked[name])
		if err == nil && s.ContainerName != "" {
			if other, ok := taken[s.ContainerName]; ok {
				err = errs.New(errs.Invalid, "container_name: %q is the name of service %s's container too", s.ContainerName, other)
			}
			taken[s.ContainerName] = name
		}
		if err != nil {
			return nil, located(&complaint{service: name, err: err}, docs)
		}
		out.Services = append(out.Services, *s)
	}
	var wrong *complaint
	if out.Bases, err = bases(p); errors.As(err, &wrong) {
		return nil, located(wrong, docs)
	}
	return l, err
}

// complaint is what is wrong with a service; its text begins with the key.
type complaint struct {
	service string
	err     error
}

func (c *complaint) Error() string { return "services." + c.service + "." + c.err.Error() }
func (c *complaint) Unwrap() error { return c.err }

// located puts file and line before a complaint.
func located(c *complaint, docs func() documents) error {
	key, _, _ := strings.Cut(c.err.Error(), ":")
	f := docs().at("services", c.service, key)
	f.text = c.Error()
	return errs.New(errs.KindOf(c.err), "%s", f)
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

// labelVersion is the version of Compose whose labels these are.
const labelVersion = "2"

func labels(own types.Labels, project, kind, key string) map[string]string {
	out := map[string]string{compose.LabelProject: project, kind: key, compose.LabelVersion: labelVersion}
	maps.Copy(out, own)
	return out
}

// projectService is one service; linked are the names by which links: of others
// call it.
func projectService(p *types.Project, s types.ServiceConfig, linked []string) (*compose.Service, error) {
	out := &compose.Service{
		Name: s.Name, ContainerName: s.ContainerName, Scale: s.GetScale(),
		Image: s.Image, Platform: s.Platform, Quiet: s.Attach != nil && !*s.Attach,
	}
	var err error
	if out.PullPolicy, out.RefreshAfter, err = pullPolicy(s); err != nil {
		return nil, err
	}
	out.Image = imageOf(p, s)
	if out.ContainerName != "" && out.Scale > 1 {
		return nil, errs.New(errs.Invalid, "container_name %q can be given to one container only: remove it, or scale to 1", s.ContainerName)
	}
	if s.Build != nil {
		b, err := buildRequest(p, s, out.Image)
		if err != nil {
			return nil, err
		}
		out.Build, out.BuildFrom = b, buildFrom(s)
	}
	for _, name := range slices.Sorted(maps.Keys(s.DependsOn)) {
		d := s.DependsOn[name]
		out.DependsOn = append(out.DependsOn, compose.Dependency{
			Service: name, Condition: cmp.Or(d.Condition, compose.ServiceStarted), Restart: d.Restart, Required: d.Required,
		})
	}
	create, err := createRequest(p, s, out.Image, linked)
	if err != nil {
		return nil, err
	}
	out.Create = *create
	if s.Deploy != nil {
		if out.Update, err = update(s.Deploy.UpdateConfig, "update_config"); err != nil {
			return nil, err
		}
		if out.Rollback, err = update(s.Deploy.RollbackConfig, "rollback_config"); err != nil {
			return nil, err
		}
	}
	out.Contents = contents(p, s)
	if out.Files, err = copiedFiles(p, s); err != nil {
		return nil, err
	}
	out.PostStart, out.PreStop = hooks(s.PostStart), hooks(s.PreStop)
	if out.PreStart, err = preStart(p, s); err != nil {
		return nil, err
	}
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
		Files                                []compose.File    `json:",omitempty"`
		Contents                             []compose.Content `json:",omitempty"`
		// What ran before a container is part of how it came to be.
		PreStart []compose.PreStart `json:",omitempty"`
	}{s.Name, s.ContainerName, s.Image, s.Platform, s.Create, s.Files, s.Contents, s.PreStart})
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
