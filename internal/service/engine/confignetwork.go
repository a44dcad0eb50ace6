package engine

import (
	"maps"
	"slices"

	"lus/internal/base/errs"
	"lus/internal/linux/network"
	model "lus/internal/model/network"
)

// A configuration network (ConfigOnly) has no part in the kernel: it keeps the
// settings of networks that are made from it (ConfigFrom). What its driver is
// called keeps all else from taking it for one that containers can be on.
const configDriver = "null"

// checkConfigOnly refuses what a configuration network cannot keep: what is not
// the same for all that are made from it.
func checkConfigOnly(n *model.Network) error {
	switch {
	case n.Ingress || n.Internal || n.Attachable || n.Scope != "":
		return errs.New(errs.Denied, "configuration network can only contain network specific fields. Network operator fields like [ ingress | internal | attachable | scope ] are not supported.")
	case n.ConfigFrom.Network != "":
		return errs.New(errs.Denied, "a configuration network cannot depend on another configuration network")
	}
	if err := network.CheckPools(n); err != nil {
		return err
	}
	n.Driver = configDriver
	return nil
}

// checkConfigFrom refuses settings of a network's own beside those that it takes
// from another.
func checkConfigFrom(n *model.Network) error {
	switch {
	case n.EnableIPv6 || len(n.Labels) > 0 || len(n.IPAM.Config) > 0:
		return errs.New(errs.Denied, "user specified configurations are not supported if the network depends on a configuration network")
	case len(n.Options) > 0:
		return errs.New(errs.Denied, "network driver options are not supported if the network depends on a configuration network")
	}
	return nil
}

// takeConfig gives a network the settings of the one that it is made from, if any.
func (e *Engine) takeConfig(n *model.Network) error {
	name := n.ConfigFrom.Network
	if name == "" {
		return nil
	}
	from := e.named(name)
	if from == nil || !from.ConfigOnly {
		return errs.New(errs.NotFound, "configuration network %q does not exist", name)
	}
	n.EnableIPv6 = from.EnableIPv6
	n.Labels, n.Options = maps.Clone(from.Labels), maps.Clone(from.Options)
	n.IPAM.Config = slices.Clone(from.IPAM.Config)
	return network.CheckOptions(n)
}

// checkConfigUnused refuses to remove settings that a network was made from.
func (e *Engine) checkConfigUnused(n *model.Network) error {
	if !n.ConfigOnly {
		return nil
	}
	e.mu.RLock()
	defer e.mu.RUnlock()
	for _, other := range e.networks {
		if other.ConfigFrom.Network == n.Name {
			return errs.New(errs.Denied, "error while removing network: configuration network %q is in use by network %s", n.Name, other.Name)
		}
	}
	return nil
}

// joinable refuses a network that no container can be on.
func joinable(n *model.Network) error {
	if n.ConfigOnly {
		return errs.New(errs.Denied, "cannot create endpoint on configuration-only network")
	}
	return nil
}
