package network

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/spf13/pflag"

	"lus/internal/base/errs"
	"lus/internal/cli/command"
	"lus/internal/client"
	"lus/internal/model/container"
	"lus/internal/model/network"
)

// createFlags are the flags of create.
type createFlags struct {
	driver, scope, ipamDriver, configFrom     string
	subnets, ranges, gateways, aux            []string
	opts, ipamOpts, labels                    []string
	internal, attachable, ingress, ipv4, ipv6 bool
	configOnly                                bool
	set                                       func(flag string) bool // whether it was typed
}

// createRequest is the body of POST /networks/create.
type createRequest struct {
	Name       string
	Driver     string
	Scope      string
	EnableIPv4 *bool `json:",omitempty"`
	EnableIPv6 *bool `json:",omitempty"`
	IPAM       *network.IPAM
	Internal   bool
	Attachable bool
	Ingress    bool
	ConfigOnly bool
	ConfigFrom *network.ConfigReference
	Options    map[string]string
	Labels     map[string]string
}

func createCommand() command.Command {
	return command.Command{
		Name: "create", Args: "NETWORK", Short: "Make a network on which containers find each other by name",
		Example: "network create --subnet 10.9.0.0/24 app", Min: 1, Max: 1,
		Flags: func(e *command.Env, f *pflag.FlagSet) command.Do {
			o := &createFlags{set: f.Changed}
			o.register(f)
			return func(ctx context.Context, args []string) error { return o.run(ctx, e, args[0]) }
		},
	}
}

func (o *createFlags) register(f *pflag.FlagSet) {
	f.StringVarP(&o.driver, "driver", "d", "bridge", "Kind of network: bridge, macvlan or ipvlan (with -o parent=INTERFACE)")
	command.ListVar(f, &o.subnets, "subnet", "Subnet, as 10.9.0.0/24; with --ipv6 one of each kind")
	command.ListVar(f, &o.ranges, "ip-range", "Part of the subnet to give addresses from")
	command.ListVar(f, &o.gateways, "gateway", "Gateway of the subnet")
	command.ListVar(f, &o.aux, "aux-address", "Address that is not given out: name=address")
	command.ListVarP(f, &o.opts, "opt", "o", "Option of the driver: key=value")
	f.StringVar(&o.ipamDriver, "ipam-driver", "default", "Driver of addresses")
	command.ListVar(f, &o.ipamOpts, "ipam-opt", "Option of the driver of addresses")
	command.ListVar(f, &o.labels, "label", "Set a label: key=value")
	f.BoolVar(&o.internal, "internal", false, "No way to the outside")
	f.BoolVar(&o.attachable, "attachable", false, "Containers may be attached by hand")
	f.BoolVar(&o.ingress, "ingress", false, "Make the swarm's ingress network")
	f.BoolVar(&o.ipv4, "ipv4", true, "Addresses of IPv4")
	f.BoolVar(&o.ipv6, "ipv6", false, "Addresses of IPv6 too; without a --subnet of it one is chosen")
	f.BoolVar(&o.configOnly, "config-only", false, "Only keep these settings, for networks that are made with --config-from; no container can be on it")
	f.StringVar(&o.configFrom, "config-from", "", "Take subnets, options, --ipv6 and labels from this network, which was made with --config-only")
	f.StringVar(&o.scope, "scope", "", "Scope of the network")
}

func (o *createFlags) run(ctx context.Context, e *command.Env, name string) error {
	req, err := o.request(name)
	if err != nil {
		return err
	}
	var out struct{ Id, Warning string }
	if err := e.Client.Call(ctx, client.Request{Method: "POST", Path: "/networks/create", Body: req}, &out); err != nil {
		return err
	}
	if out.Warning != "" {
		e.Warning(out.Warning)
	}
	fmt.Fprintln(e.Out, out.Id)
	return nil
}

func (o *createFlags) request(name string) (*createRequest, error) {
	ipam, err := o.ipam()
	if err != nil {
		return nil, err
	}
	req := &createRequest{
		Name: name, Driver: o.driver, Scope: o.scope, IPAM: ipam, Options: pairs(o.opts), Labels: pairs(o.labels),
		Internal: o.internal, Attachable: o.attachable, Ingress: o.ingress, ConfigOnly: o.configOnly,
	}
	if o.set("ipv4") {
		req.EnableIPv4 = &o.ipv4
	}
	if o.set("ipv6") {
		req.EnableIPv6 = &o.ipv6
	}
	if o.configFrom != "" {
		req.ConfigFrom = &network.ConfigReference{Network: o.configFrom}
	}
	return req, nil
}

// pairs are those of flags as docker's client sends them for networks: empty, and
// not null, where there are none. Inspect shows them so.
func pairs(list []string) map[string]string {
	if out := command.Pairs(list); out != nil {
		return out
	}
	return map[string]string{}
}

// ipam puts ranges, gateways and reserved addresses to the subnet they lie in.
func (o *createFlags) ipam() (*network.IPAM, error) {
	i := &network.IPAM{Driver: o.ipamDriver, Options: pairs(o.ipamOpts), Config: []network.Pool{}}
	for _, s := range o.subnets {
		i.Config = append(i.Config, network.Pool{Subnet: s})
	}
	if len(o.ranges) > len(o.subnets) || len(o.gateways) > len(o.subnets) {
		return nil, errs.New(errs.Invalid, "every --ip-range and --gateway needs a --subnet to lie in")
	}
	for _, r := range o.ranges {
		within, err := netip.ParsePrefix(r)
		if err != nil {
			return nil, errs.New(errs.Invalid, "invalid --ip-range %q: write a network such as 10.9.0.128/25", r)
		}
		p, err := holding(i.Config, within.Addr(), "range "+r)
		if err == nil && p.IPRange != "" {
			err = errs.New(errs.Invalid, "cannot configure multiple ranges (%s, %s) on the same subnet (%s)", p.IPRange, r, p.Subnet)
		}
		if err != nil {
			return nil, err
		}
		p.IPRange = r
	}
	for _, g := range o.gateways {
		p, err := holdingText(i.Config, g, "gateway "+g)
		if err == nil && p.Gateway != "" {
			err = errs.New(errs.Invalid, "cannot configure multiple gateways (%s, %s) for the same subnet (%s)", p.Gateway, g, p.Subnet)
		}
		if err != nil {
			return nil, err
		}
		p.Gateway = g
	}
	for name, a := range command.Pairs(o.aux) {
		if len(o.subnets) == 0 {
			return nil, errs.New(errs.Invalid, "--aux-address needs a --subnet to lie in")
		}
		p, err := holdingText(i.Config, a, "aux-address "+a)
		if err != nil {
			return nil, err
		}
		if p.Aux == nil {
			p.Aux = map[string]string{}
		}
		p.Aux[name] = a
	}
	return i, nil
}

func holdingText(pools []network.Pool, ip, what string) (*network.Pool, error) {
	addr, err := netip.ParseAddr(ip)
	if err != nil {
		return nil, errs.New(errs.Invalid, "invalid %s: it is no IP address", what)
	}
	return holding(pools, addr, what)
}

// holding is the pool that an address lies in.
func holding(pools []network.Pool, ip netip.Addr, what string) (*network.Pool, error) {
	for i := range pools {
		if subnet, err := netip.ParsePrefix(pools[i].Subnet); err == nil && subnet.Contains(ip) {
			return &pools[i], nil
		}
	}
	return nil, errs.New(errs.Invalid, "no matching subnet for %s", what)
}

func connectCommand() command.Command {
	return command.Command{
		Name: "connect", Args: "NETWORK CONTAINER", Short: "Connect a container to a network",
		Example: "network connect --alias db app mysql", Min: 2, Max: 2,
		Flags: func(e *command.Env, f *pflag.FlagSet) command.Do {
			aliases := f.StringArray("alias", nil, "Add a name on the network")
			ip := f.String("ip", "", "IPv4 address, as 172.30.100.104")
			ip6 := f.String("ip6", "", "IPv6 address, as 2001:db8::33")
			linkLocal := f.StringArray("link-local-ip", nil, "Link-local address")
			links := f.StringArray("link", nil, "Find another container by a name: container:alias")
			opts := f.StringArray("driver-opt", nil, "Option of the driver: key=value")
			priority := f.Int("gw-priority", 0, "The network of the highest gives the default gateway")
			return func(ctx context.Context, args []string) error {
				end := &container.Endpoint{Aliases: *aliases, Links: *links, DriverOpts: pairs(*opts), GwPriority: *priority}
				if *ip != "" || *ip6 != "" || len(*linkLocal) > 0 {
					end.IPAMConfig = &container.EndpointIPAM{IPv4Address: *ip, IPv6Address: *ip6, LinkLocalIPs: *linkLocal}
				}
				body := map[string]any{"Container": args[1], "EndpointConfig": end}
				return e.Client.Call(ctx, client.Request{Method: "POST", Path: path(args[0]) + "/connect", Body: body}, nil)
			}
		},
	}
}

func disconnectCommand() command.Command {
	return command.Command{
		Name: "disconnect", Args: "NETWORK CONTAINER", Short: "Take a container off a network",
		Example: "network disconnect app mysql", Min: 2, Max: 2,
		Flags: func(e *command.Env, f *pflag.FlagSet) command.Do {
			force := f.BoolP("force", "f", false, "Also where the container is in the way of it")
			return func(ctx context.Context, args []string) error {
				body := map[string]any{"Container": args[1], "Force": *force}
				return e.Client.Call(ctx, client.Request{Method: "POST", Path: path(args[0]) + "/disconnect", Body: body}, nil)
			}
		},
	}
}
