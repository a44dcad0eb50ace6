package compose

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"lus/internal/base/errs"
	"lus/internal/model/compose"
	"lus/internal/model/container"
	"lus/internal/model/filter"
	"lus/internal/model/network"
)

// A network whose definition in the file changed is made anew. Whoever is on it,
// running or not, is taken off it and put on the new one with the names it had:
// nothing has to be stopped for that.

// renewNetwork makes a network anew; connectContainer puts a container on one
// that it should be on and is not.
const (
	renewNetwork     compose.Action = "recreate network"
	connectContainer compose.Action = "connect"
)

// networkDifferences tells by the keys of the file what of a network is to be
// otherwise. What the file does not ask for may be as the engine chose it.
func networkDifferences(have, asked *network.Network) []string {
	var out []string
	put := func(key, old, new string) {
		if old != new {
			out = append(out, difference{key, old, new}.String())
		}
	}
	put("driver", have.Driver, asked.Driver)
	put("internal", fmt.Sprint(have.Internal), fmt.Sprint(asked.Internal))
	put("enable_ipv6", fmt.Sprint(have.EnableIPv6), fmt.Sprint(asked.EnableIPv6))
	out = append(out, mapDifferences("driver_opts", have.Options, asked.Options)...)
	own := func(labels map[string]string) map[string]string {
		labels = maps.Clone(labels)
		maps.DeleteFunc(labels, func(name, _ string) bool { return strings.HasPrefix(name, "com.docker.compose.") })
		return labels
	}
	out = append(out, mapDifferences("labels", own(have.Labels), own(asked.Labels))...)
	put("ipam.config", pools(have), pools(asked))
	return out
}

func mapDifferences(key string, old, new map[string]string) []string {
	all := maps.Clone(old)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, new)
	var out []string
	for _, name := range slices.Sorted(maps.Keys(all)) {
		was, had := old[name]
		is, has := new[name]
		if was == is && had == has {
			continue
		}
		d := difference{key: key + "." + name}
		if had {
			d.old = shownValue(name, was)
		}
		if has {
			d.new = shownValue(name, is)
		}
		out = append(out, d.String())
	}
	return out
}

// pools writes a network's addresses in one way; nothing where they are, or may
// be, whatever the engine chooses.
func pools(n *network.Network) string {
	var out []string
	asked := n.AskedPools()
	// A file may write them in any order.
	slices.SortStableFunc(asked, func(a, b network.Pool) int {
		return cmp.Compare(strings.Count(a.Subnet, ":"), strings.Count(b.Subnet, ":"))
	})
	for _, p := range asked {
		if p.Subnet == "" {
			continue
		}
		text, gateway := p.Subnet, p.Gateway
		if subnet, err := netip.ParsePrefix(p.Subnet); err == nil {
			text = subnet.Masked().String()
			if gateway == subnet.Masked().Addr().Next().String() {
				gateway = "" // what it is where nobody says so
			}
		}
		if gateway != "" {
			text += " gateway " + gateway
		}
		if within, err := netip.ParsePrefix(p.IPRange); err == nil {
			text += " ip_range " + within.Masked().String()
		}
		for _, name := range slices.Sorted(maps.Keys(p.Aux)) {
			text += " " + name + "=" + p.Aux[name]
		}
		out = append(out, text)
	}
	return strings.Join(out, ", ")
}

// changed plans what a change of a network's definition asks for.
func (u *upPlan) changed(have *network.Network, n *compose.Network) {
	why := networkDifferences(have, &n.Network)
	switch {
	case n.External || len(why) == 0:
	case u.req.NoRecreate:
		u.warnings = append(u.warnings, fmt.Sprintf("network %s is otherwise in the file (%s) and is kept: leave out --no-recreate to make it anew", n.Network.Name, strings.Join(why, ", ")))
	default:
		st := u.add(&step{action: renewNetwork, kind: "Network", name: n.Network.Name, network: &n.Network, former: have, reasons: why})
		u.ready, u.renewed = append(u.ready, st), append(u.renewed, st)
	}
}

// leaving notes for the networks that are made anew which containers are not
// there for long: they need not fit the new one.
func (u *upPlan) leaving() {
	gone := map[string]bool{}
	for _, st := range u.steps {
		if st.action == compose.RemoveContainer {
			gone[st.old.ID] = true
		}
		for _, r := range st.replicas {
			gone[r.old.ID] = true
		}
	}
	for _, st := range u.renewed {
		st.leaving = gone
	}
}

// connect plans that a container which stays gets on the networks that it should
// be on: somebody took it off, or an end came between.
func (u *upPlan) connect(s *compose.Service, c *container.Container) []*step {
	out := slices.Clone(u.renewed)
	if s.Create.NetworkingConfig == nil {
		return out
	}
	endpoints := s.Create.NetworkingConfig.EndpointsConfig
	for _, name := range slices.Sorted(maps.Keys(endpoints)) {
		if c.Networks[name] != nil {
			continue
		}
		out = append(out, u.add(&step{
			action: connectContainer, kind: "Container", name: c.Name, old: c, after: u.ready,
			network: &network.Network{Name: name}, endpoint: endpoints[name], reasons: []string{"it is not on network " + name},
		}))
	}
	return out
}

// renew makes a network anew. It is not left half done: where the new one cannot
// be made, the old one is made again.
func (r *runner) renew(ctx context.Context, st *step) error {
	ctx = context.WithoutCancel(ctx)
	on, err := r.Engine.ListContainers(ctx, container.ListOptions{All: true, Filters: filter.Filters{"network": {st.former.ID}}})
	if err != nil {
		return err
	}
	var taken []*container.Container
	for _, c := range on {
		if err = ignore(r.Engine.DisconnectNetwork(ctx, st.former.ID, c.ID, true), errs.NotFound, errs.Denied); err != nil {
			break
		}
		taken = append(taken, c)
	}
	if err == nil {
		err = r.exchange(ctx, st)
	}
	for _, c := range taken {
		if cerr := r.putBack(ctx, st, c); cerr != nil {
			err = errors.Join(err, about("container", c.Name, cerr))
		}
	}
	return err
}

// exchange makes the new network in place of the old one.
func (r *runner) exchange(ctx context.Context, st *step) error {
	if err := r.Engine.RemoveNetwork(ctx, st.former.ID); err != nil {
		return err
	}
	n := *st.network
	_, warning, err := r.Engine.CreateNetwork(ctx, &n)
	if warning != "" {
		r.tell(compose.Event{Warning: warning})
	}
	if err == nil {
		return nil
	}
	old := *st.former
	old.IPAM.Config = old.AskedPools()
	if _, _, back := r.Engine.CreateNetwork(ctx, &old); back != nil {
		return errors.Join(err, fmt.Errorf("and it could not be made as it was: %w", back))
	}
	return fmt.Errorf("%w; it is as it was", err)
}

// putBack puts a container on the network that has the name of the one it was on.
func (r *runner) putBack(ctx context.Context, st *step, c *container.Container) error {
	was := c.Networks[st.former.Name]
	if was == nil {
		return nil
	}
	ep := &container.Endpoint{
		IPAMConfig: was.IPAMConfig, Links: was.Links, Aliases: was.Aliases, DriverOpts: was.DriverOpts, GwPriority: was.GwPriority, MacAddress: was.WantedMAC,
	}
	err := r.Engine.ConnectNetwork(ctx, st.name, c.ID, ep)
	if err != nil && ep.IPAMConfig != nil {
		// Its address is none of the new network's.
		ep.IPAMConfig = nil
		if again := r.Engine.ConnectNetwork(ctx, st.name, c.ID, ep); again == nil {
			if !st.leaving[c.ID] {
				r.tell(compose.Event{Warning: fmt.Sprintf("container %s has another address on network %s: %v", c.Name, st.name, err)})
			}
			return nil
		}
	}
	if st.leaving[c.ID] {
		return nil
	}
	return ignore(err, errs.NotFound)
}
