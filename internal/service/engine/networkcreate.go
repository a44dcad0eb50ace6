package engine

import (
	"context"
	"slices"
	"strings"

	"lus/internal/base/errs"
	"lus/internal/base/ids"
	"lus/internal/linux/network"
	model "lus/internal/model/network"
	"lus/internal/service/engine/internal/names"
)

// complete fills in what inspect shows of a network and nobody said.
func complete(n *model.Network) {
	n.Scope = "local"
	if n.IPAM.Driver == "" {
		n.IPAM.Driver = "default"
	}
	if n.IPAM.Config == nil {
		n.IPAM.Config = []model.Pool{}
	}
	if n.Options == nil {
		n.Options = map[string]string{}
	}
	if n.Labels == nil {
		n.Labels = map[string]string{}
	}
	n.Containers = map[string]model.Attached{}
}

// CreateNetwork makes a network.
func (e *Engine) CreateNetwork(ctx context.Context, asked *model.Network) (id, warning string, err error) {
	n := *asked
	if err := checkNetwork(&n); err != nil {
		return "", "", err
	}
	e.netOp.Lock()
	defer e.netOp.Unlock()
	if e.named(n.Name) != nil {
		return "", "", errs.New(errs.Conflict, "network with name %s already exists", n.Name)
	}
	if err := e.takeConfig(&n); err != nil {
		return "", "", err
	}
	complete(&n)
	n.ID, n.Created, n.EnableIPv4 = ids.New(), e.Now(), true
	if n.ConfigOnly {
		err = e.saveNetwork(ctx, &n)
	} else {
		err = e.lay(ctx, &n)
	}
	if err != nil {
		return "", "", err
	}
	e.mu.Lock()
	e.networks[n.ID] = &n
	e.mu.Unlock()
	e.tellNetwork(&n, "create", "")
	return n.ID, "", nil
}

// named is the network of this name; nil where there is none.
func (e *Engine) named(name string) *model.Network {
	e.mu.RLock()
	defer e.mu.RUnlock()
	for _, n := range e.networks {
		if n.Name == name {
			return n
		}
	}
	return nil
}

// lay makes the kernel's part of a network, and keeps its record.
func (e *Engine) lay(ctx context.Context, n *model.Network) error {
	n.IPAM.Config = slices.Clone(n.IPAM.Config)
	n.SubnetChosen = !slices.ContainsFunc(n.IPAM.Config, func(p model.Pool) bool { return p.Subnet != "" && !p.IsIPv6() })
	n.Subnet6Chosen = n.EnableIPv6 && !slices.ContainsFunc(n.IPAM.Config, model.Pool.IsIPv6)
	if err := e.Network.Ensure(ctx, n); err != nil {
		return err
	}
	err := e.saveNetwork(ctx, n)
	if err == nil {
		return nil
	}
	if rerr := e.Network.Remove(ctx, n); rerr != nil {
		e.Log.Error("undoing a network", "network", n.Name, "err", rerr)
	}
	return err
}

func checkNetwork(n *model.Network) error {
	if err := names.Check("network", n.Name); err != nil {
		return err
	}
	if n.Name == "default" || strings.HasPrefix(n.Name, "container:") {
		return errs.New(errs.Denied, "operation is not permitted on predefined %s network", n.Name)
	}
	if err := checkIPAM(n); err != nil {
		return err
	}
	if n.ConfigOnly {
		return checkConfigOnly(n)
	}
	switch {
	case n.Driver == "":
		n.Driver = "bridge"
	case n.Driver == "overlay":
		return errs.New(errs.Unavailable, "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this node to swarm and try again.")
	case n.Driver == "host" || n.Driver == "null":
		return errs.New(errs.Denied, "only one instance of %q network is allowed", n.Driver)
	case !onWire(n):
		return errs.New(errs.NotFound, "could not resolve driver %s in registry: Lus has the drivers bridge, macvlan and ipvlan", n.Driver)
	}
	switch {
	case n.Ingress:
		return errs.New(errs.Unsupported, "ingress networks belong to swarm, which Lus has not")
	case n.Scope != "" && n.Scope != "local":
		return errs.New(errs.Unsupported, "networks of scope %q belong to swarm, which Lus has not", n.Scope)
	case n.ConfigFrom.Network != "":
		return checkConfigFrom(n)
	}
	return network.CheckOptions(n)
}

func checkIPAM(n *model.Network) error {
	switch {
	case n.IPAM.Driver != "" && n.IPAM.Driver != "default":
		return errs.New(errs.NotFound, "IPAM driver %q not found: Lus has the driver default", n.IPAM.Driver)
	case len(n.IPAM.Options) > 0:
		return errs.New(errs.Unsupported, "IPAM options are not supported")
	}
	return nil
}
