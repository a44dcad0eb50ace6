package container

import (
	"encoding/csv"
	"net/netip"
	"reflect"
	"strconv"
	"strings"

	"lus/internal/model/container"
)

func (o *options) fillPorts(req *container.CreateRequest) error {
	h := req.HostConfig
	h.PublishAllPorts = o.publishAll
	h.PortBindings = container.PortMap{}
	exposed := map[string]struct{}{}
	for _, p := range o.publish {
		ports, err := container.ParsePublish(p)
		if err != nil {
			return invalid("%w", err)
		}
		for _, port := range ports {
			b := container.PortBinding{}
			if port.HostIP.IsValid() {
				b.HostIP = port.HostIP.String()
			}
			if port.HostLo != 0 {
				b.HostPort = strconv.Itoa(int(port.HostLo))
			}
			if port.HostHi != port.HostLo {
				b.HostPort += "-" + strconv.Itoa(int(port.HostHi))
			}
			key := port.String()
			exposed[key] = struct{}{}
			h.PortBindings[key] = append(h.PortBindings[key], b)
		}
	}
	for _, e := range o.expose {
		if strings.Contains(e, ":") {
			return invalid("invalid port format for --expose: %s", e)
		}
		ports, err := container.ParsePublish(e)
		if err != nil {
			return invalid("invalid range format for --expose: %w", err)
		}
		for _, port := range ports {
			exposed[port.String()] = struct{}{}
		}
	}
	if len(exposed) > 0 {
		req.ExposedPorts = exposed
	}
	return nil
}

func (o *options) fillNetworks(req *container.CreateRequest) error {
	h := req.HostConfig
	h.DNS, h.DNSSearch, h.DNSOptions = o.dns, o.dnsSearch, o.dnsOptions
	for _, a := range o.dns {
		if _, err := netip.ParseAddr(a); err != nil {
			return invalid("%s is not an ip address", a)
		}
	}
	for _, host := range o.hosts {
		name, addr, ok := cutAny(host, "=:")
		if !ok || name == "" {
			return invalid("bad format for add-host: %q: write host:address", host)
		}
		addr = strings.TrimSuffix(strings.TrimPrefix(addr, "["), "]")
		if addr != "host-gateway" {
			if _, err := netip.ParseAddr(addr); err != nil {
				return invalid("invalid IP address in add-host: %q", addr)
			}
		}
		h.ExtraHosts = append(h.ExtraHosts, name+":"+addr)
	}
	for _, l := range o.links {
		if err := checkLink(l); err != nil {
			return err
		}
	}
	h.Links = o.links
	endpoints := map[string]*container.Endpoint{}
	for i, text := range o.networks {
		name, e, err := endpoint(text)
		if err != nil {
			return err
		}
		if _, twice := endpoints[name]; twice {
			return invalid("conflicting options: network %q is specified multiple times", name)
		}
		endpoints[name] = e
		if i == 0 {
			h.NetworkMode = name
		}
	}
	if len(o.networks) == 0 {
		h.NetworkMode = "default"
		endpoints["default"] = &container.Endpoint{}
	}
	if err := o.shorthand(endpoints[h.NetworkMode], h.NetworkMode); err != nil {
		return err
	}
	if e := endpoints[h.NetworkMode]; strings.HasPrefix(h.NetworkMode, "container:") && reflect.DeepEqual(e, &container.Endpoint{}) {
		delete(endpoints, h.NetworkMode) // another's network is not one to be on
	}
	req.MacAddress = o.mac
	req.NetworkingConfig = &container.NetworkingConfig{EndpointsConfig: endpoints}
	return nil
}

// shorthand puts the flags about one network to the first one.
func (o *options) shorthand(e *container.Endpoint, name string) error {
	own := name != "default" && name != "bridge" && name != "host" && name != "none" && !strings.HasPrefix(name, "container:")
	if len(o.aliases) > 0 {
		if !own {
			return invalid("network-scoped aliases are only supported for user-defined networks: add --network NAME")
		}
		if len(e.Aliases) > 0 {
			return invalid("conflicting options: cannot specify both --network-alias and per-network alias")
		}
		e.Aliases = o.aliases
	}
	if own {
		e.Links = o.links
	}
	if o.ip != "" || o.ip6 != "" || len(o.linkLocal) > 0 {
		for _, a := range append([]string{o.ip, o.ip6}, o.linkLocal...) {
			if a == "" {
				continue
			}
			if _, err := netip.ParseAddr(a); err != nil {
				return invalid("%s is not an ip address", a)
			}
		}
		if e.IPAMConfig != nil {
			return invalid("conflicting options: cannot specify both --ip and per-network IP address")
		}
		e.IPAMConfig = &container.EndpointIPAM{IPv4Address: o.ip, IPv6Address: o.ip6, LinkLocalIPs: o.linkLocal}
	}
	if o.mac != "" && e.MacAddress == "" {
		e.MacAddress = o.mac
	}
	return nil
}

// checkLink wants CONTAINER or CONTAINER:ALIAS.
func checkLink(l string) error {
	switch {
	case l == "":
		return invalid(`invalid argument "" for "--link" flag: empty string specified for links`)
	case strings.Count(l, ":") > 1:
		return invalid(`invalid argument %q for "--link" flag: bad format for links: %s`, l, l)
	}
	return nil
}

// endpoint reads a network's name, or name=...,alias=...,ip=....
func endpoint(text string) (string, *container.Endpoint, error) {
	e := &container.Endpoint{}
	if !strings.Contains(text, "=") {
		return strings.TrimSpace(text), e, nil
	}
	fields, err := csv.NewReader(strings.NewReader(text)).Read()
	if err != nil {
		return "", nil, invalid("invalid argument %q for --network: %v", text, err)
	}
	name := ""
	ipam := func() *container.EndpointIPAM {
		if e.IPAMConfig == nil {
			e.IPAMConfig = &container.EndpointIPAM{}
		}
		return e.IPAMConfig
	}
	for _, f := range fields {
		key, value, ok := strings.Cut(strings.TrimSpace(f), "=")
		if !ok {
			return "", nil, invalid("invalid argument %q for --network: invalid field %s: must be key=value", text, f)
		}
		switch strings.ToLower(key) {
		case "name":
			name = value
		case "alias":
			e.Aliases = append(e.Aliases, value)
		case "ip":
			ipam().IPv4Address = value
		case "ip6":
			ipam().IPv6Address = value
		case "link-local-ip":
			ipam().LinkLocalIPs = append(ipam().LinkLocalIPs, value)
		case "mac-address":
			e.MacAddress = value
		case "driver-opt":
			k, v, _ := strings.Cut(value, "=")
			if e.DriverOpts == nil {
				e.DriverOpts = map[string]string{}
			}
			e.DriverOpts[k] = v
		case "gw-priority":
			if e.GwPriority, err = strconv.Atoi(value); err != nil {
				return "", nil, invalid("invalid argument %q for --network: gw-priority must be a number", text)
			}
		default:
			return "", nil, invalid("invalid argument %q for --network: invalid field key %s", text, key)
		}
	}
	if name == "" {
		return "", nil, invalid("invalid argument %q for --network: it has no name=", text)
	}
	return name, e, nil
}
