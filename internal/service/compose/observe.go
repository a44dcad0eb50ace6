package compose

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"

	"lus/internal/model/compose"
	"lus/internal/model/container"
	"lus/internal/model/filter"
	"lus/internal/model/network"
	"lus/internal/model/volume"
)

// observed is what there is of a project.
type observed struct {
	containers map[string][]*container.Container // by service, by number
	networks   map[string]*network.Network       // by name: all there are
	volumes    map[string]*volume.Volume         // by name: all there are
}

// observe asks the engine; with once also for the containers of `compose run`.
// Networks and volumes are taken whole: a project may
// name ones that are not its own.
func (s *Service) observe(ctx context.Context, project string, once bool) (*observed, error) {
	o := &observed{
		containers: map[string][]*container.Container{},
		networks:   map[string]*network.Network{},
		volumes:    map[string]*volume.Volume{},
	}
	list, err := s.Engine.ListContainers(ctx, container.ListOptions{
		All: true, Filters: filter.Filters{"label": {compose.LabelProject + "=" + project}},
	})
	if err != nil {
		return nil, err
	}
	for _, c := range list {
		if (c.Config.Labels[compose.LabelOneoff] == "True" || c.Config.Labels[compose.LabelHook] != "") && !once {
			continue
		}
		service := c.Config.Labels[compose.LabelService]
		o.containers[service] = append(o.containers[service], c)
	}
	for _, cs := range o.containers {
		slices.SortFunc(cs, func(a, b *container.Container) int {
			return cmp.Or(cmp.Compare(number(a), number(b)), a.Created.Compare(b.Created))
		})
	}
	networks, err := s.Engine.ListNetworks(ctx, nil)
	if err != nil {
		return nil, err
	}
	for _, n := range networks {
		o.networks[n.Name] = n
	}
	volumes, err := s.Engine.ListVolumes(ctx, nil)
	if err != nil {
		return nil, err
	}
	for _, v := range volumes {
		o.volumes[v.Name] = v
	}
	return o, nil
}

// ids are the containers by service and number.
func (o *observed) ids() map[string]string {
	out := map[string]string{}
	for service, cs := range o.containers {
		for _, c := range cs {
			out[numbered(service, number(c))] = c.ID
		}
	}
	return out
}

func number(c *container.Container) int {
	n, err := strconv.Atoi(c.Config.Labels[compose.LabelNumber])
	if err != nil {
		return 0
	}
	return n
}

// dependsOn reads what a running container's service depends on from its label.
func dependsOn(c *container.Container) []string {
	var out []string
	for part := range strings.SplitSeq(c.Config.Labels[compose.LabelDependsOn], ",") {
		if name, _, _ := strings.Cut(part, ":"); name != "" {
			out = append(out, name)
		}
	}
	return out
}
