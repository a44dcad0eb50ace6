package composefile

import (
	"cmp"
	"slices"
	"strconv"

	"github.com/compose-spec/compose-go/v2/types"

	"lus/internal/base/errs"
	"lus/internal/model/compose"
)

// preStart are the containers that run before a service. The library has given
// each what the service has and the hook does not say otherwise.
func preStart(p *types.Project, s types.ServiceConfig) ([]compose.PreStart, error) {
	var out []compose.PreStart
	for i, h := range s.PreStart {
		hook, err := oneBefore(p, s, h)
		if err != nil {
			return nil, errs.New(errs.KindOf(err), "pre_start: %d: %w", i, err)
		}
		hook.Create.Labels[compose.LabelHookIndex] = strconv.Itoa(i)
		out = append(out, *hook)
	}
	return out, nil
}

func oneBefore(p *types.Project, s types.ServiceConfig, h types.PreStartHook) (*compose.PreStart, error) {
	own := types.ServiceConfig{Name: s.Name, ContainerSpec: h.ContainerSpec}
	own.Networks = withoutNames(own.Networks, s.Networks)
	if own.MacAddress == s.MacAddress {
		own.MacAddress = ""
	}
	out := &compose.PreStart{Image: cmp.Or(own.Image, imageOf(p, s)), Platform: own.Platform, PerReplica: h.PerReplica}
	var err error
	if out.PullPolicy, out.RefreshAfter, err = pullPolicy(own); err != nil {
		return nil, err
	}
	create, err := createRequest(p, own, out.Image, nil)
	if err != nil {
		return nil, err
	}
	delete(create.Labels, compose.LabelOneoff)
	create.Labels[compose.LabelHook] = "pre_start"
	out.Create, out.Contents = *create, contents(p, own)
	out.Files, err = copiedFiles(p, own)
	return out, err
}

// withoutNames are a hook's networks less what can be one container's alone: the
// address that the service has, and the names by which others reach it.
func withoutNames(hook, service map[string]*types.ServiceNetworkConfig) map[string]*types.ServiceNetworkConfig {
	out := map[string]*types.ServiceNetworkConfig{}
	no := false
	for key, n := range hook {
		own := types.ServiceNetworkConfig{}
		if n != nil {
			own = *n
		}
		own.UseServiceNameAlias = &no
		if of := service[key]; of != nil {
			own.Aliases = slices.DeleteFunc(slices.Clone(own.Aliases), func(a string) bool { return slices.Contains(of.Aliases, a) })
			if own.Ipv4Address == of.Ipv4Address {
				own.Ipv4Address = ""
			}
			if own.MacAddress == of.MacAddress {
				own.MacAddress = ""
			}
		}
		out[key] = &own
	}
	return out
}
