package composefile

import (
	"maps"
	"slices"

	"github.com/compose-spec/compose-go/v2/types"

	"lus/internal/base/errs"
	"lus/internal/model/container"
)

// loginsSecret is the secret that a user's credentials are in a project.
const loginsSecret = "use_api_socket"

// Access is what use_api_socket gives a container.
type Access struct {
	Socket string                 // the daemon's, on this host; empty: it is reached otherwise
	Logins func() ([]byte, error) // the user's credentials, as Docker's config.json
}

// withSocket is the project with what use_api_socket stands for: a mount, a
// variable and a secret.
func withSocket(p *types.Project, a Access) (*types.Project, *complaint) {
	out := *p
	out.Services = maps.Clone(p.Services)
	out.Secrets = maps.Clone(p.Secrets)
	for name, s := range p.Services {
		specs := []*types.ContainerSpec{&s.ContainerSpec}
		s.PreStart = slices.Clone(s.PreStart)
		for i := range s.PreStart {
			specs = append(specs, &s.PreStart[i].ContainerSpec)
		}
		for _, spec := range specs {
			if !spec.UseAPISocket {
				continue
			}
			if err := a.known(&out); err != nil {
				return nil, &complaint{name, err}
			}
			a.give(spec)
		}
		out.Services[name] = s
	}
	return &out, nil
}

// known makes the credentials a secret of the project, once.
func (a Access) known(p *types.Project) error {
	if a.Socket == "" {
		return errs.New(errs.Unsupported, "use_api_socket: the daemon is not reached by a socket of this host: remove it, or unset LUS_HOST")
	}
	if _, ok := p.Secrets[loginsSecret]; ok {
		return nil
	}
	if p.Secrets == nil {
		p.Secrets = types.Secrets{}
	}
	text, err := a.Logins()
	if err != nil {
		return errs.New(errs.KindOf(err), "use_api_socket: %w", err)
	}
	p.Secrets[loginsSecret] = types.SecretConfig{Content: string(text)}
	return nil
}

// give gives one container the socket, and the credentials where it has none of
// its own.
func (a Access) give(spec *types.ContainerSpec) {
	spec.Volumes = append(slices.Clone(spec.Volumes), types.ServiceVolumeConfig{Type: types.VolumeTypeBind, Source: a.Socket, Target: container.SocketInside, Bind: &types.ServiceVolumeBind{}})
	if _, own := spec.Environment[container.LoginsVariable]; own {
		return
	}
	spec.Environment = maps.Clone(spec.Environment)
	if spec.Environment == nil {
		spec.Environment = types.MappingWithEquals{}
	}
	place := container.LoginsInside
	spec.Environment[container.LoginsVariable] = &place
	spec.Secrets = append(slices.Clone(spec.Secrets), types.ServiceSecretConfig{Source: loginsSecret, Target: container.LoginsInside + "/" + container.LoginsFile})
}
