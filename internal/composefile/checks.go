package composefile

import (
	"fmt"
	"maps"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/distribution/reference"

	"lus/internal/base/errs"
	"lus/internal/model/compose"
)

// check finds what the library and its schema let pass and what could not be
// carried out: it is said with file and line before anything is made.
func check(p *types.Project, files []string, docs func() documents) error {
	for _, f := range []func(*types.Project) *misplaced{imageNames, containerNames, publishedPorts, exposedPorts, mountPoints, subnets, addresses} {
		if m := f(p); m != nil {
			at := docs().at(m.path...)
			at.text, at.hint = m.text, m.hint
			return errs.New(errs.Invalid, "%s", at)
		}
	}
	return volumeModes(p, files, docs)
}

// misplaced is something wrong at a place of the file.
type misplaced struct {
	path       []string
	text, hint string
}

func services(p *types.Project) []string { return slices.Sorted(maps.Keys(p.Services)) }

func imageNames(p *types.Project) *misplaced {
	for _, name := range services(p) {
		image := p.Services[name].Image
		if image == "" {
			continue
		}
		if _, err := reference.ParseAnyReference(image); err != nil {
			return &misplaced{
				[]string{"services", name, "image"},
				fmt.Sprintf("services.%s.image: %q is not the name of an image: %v", name, image, err),
				"write [registry/]name[:tag], in lower case, as nginx:1.27",
			}
		}
	}
	return nil
}

func containerNames(p *types.Project) *misplaced {
	for _, name := range services(p) {
		c := p.Services[name].ContainerName
		first := strings.Trim(c[:min(1, len(c))], "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
		if c != "" && (len(c) < 2 || first != "" || strings.Trim(c, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") != "") {
			return &misplaced{
				[]string{"services", name, "container_name"},
				fmt.Sprintf("services.%s.container_name: %q cannot be the name of a container", name, c),
				"a name begins with a letter or digit and has letters, digits, dots, hyphens and underscores, two at least",
			}
		}
	}
	return nil
}

func exposedPorts(p *types.Project) *misplaced {
	for _, name := range services(p) {
		for i, port := range p.Services[name].Expose {
			number, _, _ := strings.Cut(port, "/")
			if lo, _, ok := portRange(number); !ok || lo == 0 {
				return &misplaced{
					[]string{"services", name, "expose", strconv.Itoa(i)},
					fmt.Sprintf("services.%s.expose: %q is not a port of the container", name, port),
					"write a number from 1 to 65535, or a range as 8080-8082",
				}
			}
		}
	}
	return nil
}

func mountPoints(p *types.Project) *misplaced {
	for _, name := range services(p) {
		for i, v := range p.Services[name].Volumes {
			if !path.IsAbs(v.Target) {
				return &misplaced{
					[]string{"services", name, "volumes", strconv.Itoa(i)},
					fmt.Sprintf("services.%s.volumes: %q is no place in a container", name, v.Target),
					targetHint(v.Target),
				}
			}
		}
	}
	return nil
}

// targetHint says how a place in a container is written. The specification takes
// "v:/data" for a path on drive v of Windows, so a volume cannot be named v.
func targetHint(target string) string {
	if len(target) > 2 && target[1] == ':' && target[2] == '/' {
		return "one letter and a colon are read as a drive of Windows: a volume's name has two characters or more"
	}
	return "write its whole path, as ./data:/data"
}

// portRange reads a published port: 8080, or 8080-8082. No port at all is 0-0.
func portRange(text string) (lo, hi int, ok bool) {
	if text == "" {
		return 0, 0, true
	}
	first, last, isRange := strings.Cut(text, "-")
	if !isRange {
		last = first
	}
	a, err1 := strconv.ParseUint(first, 10, 16)
	b, err2 := strconv.ParseUint(last, 10, 16)
	return int(a), int(b), err1 == nil && err2 == nil && a <= b
}

func publishedPorts(p *types.Project) *misplaced {
	for _, name := range services(p) {
		for i, port := range p.Services[name].Ports {
			if _, _, ok := portRange(port.Published); !ok {
				return &misplaced{
					[]string{"services", name, "ports", strconv.Itoa(i), "published"},
					fmt.Sprintf("services.%s.ports: %q is not a port of the host", name, port.Published),
					"write a number from 1 to 65535, or a range as 8080-8082",
				}
			}
		}
	}
	return nil
}

func subnets(p *types.Project) *misplaced {
	for _, key := range slices.Sorted(maps.Keys(p.Networks)) {
		first := map[bool]string{} // of either version of IP
		external := bool(p.Networks[key].External)
		for i, pool := range p.Networks[key].Ipam.Config {
			at := []string{"networks", key, "ipam", "config", strconv.Itoa(i)}
			if pool == nil || pool.Subnet == "" {
				continue
			}
			net, err := netip.ParsePrefix(pool.Subnet)
			if err != nil {
				return &misplaced{append(at, "subnet"), fmt.Sprintf("networks.%s.ipam: subnet %q is not a range of addresses", key, pool.Subnet), "write an address and how many bits are fixed, as 172.30.0.0/24"}
			}
			six := net.Addr().Is6()
			if six && !speaksIPv6(p, key) {
				return &misplaced{append(at, "subnet"), fmt.Sprintf("networks.%s.ipam: %s is a subnet of IPv6, which the network does not speak", key, pool.Subnet), "add enable_ipv6: true to the network, or remove the subnet"}
			}
			if first[six] != "" && !external {
				return &misplaced{append(at, "subnet"), fmt.Sprintf("networks.%s.ipam: %s is a second subnet, beside %s, and a network has one here (as Docker's bridge has)", key, pool.Subnet, first[six]), "make one larger subnet of them, or two networks"}
			}
			first[six] = pool.Subnet
			if gw, err := netip.ParseAddr(pool.Gateway); pool.Gateway != "" && (err != nil || !net.Contains(gw)) {
				return &misplaced{append(at, "gateway"), fmt.Sprintf("networks.%s.ipam: gateway %s is not an address of subnet %s", key, pool.Gateway, pool.Subnet), "choose one inside of it, or leave it out"}
			}
		}
	}
	return nil
}

// addresses finds fixed addresses that their networks do not have, or two
// services that want one.
func addresses(p *types.Project) *misplaced {
	taken := map[string]string{} // network and address -> service
	for _, name := range services(p) {
		s := p.Services[name]
		for _, key := range slices.Sorted(maps.Keys(s.Networks)) {
			n := s.Networks[key]
			if n == nil {
				continue
			}
			for _, a := range []fixed{{"ipv4_address", n.Ipv4Address, "IPv4", "172.30.0.5"}, {"ipv6_address", n.Ipv6Address, "IPv6", "fd00:30::5"}} {
				if bad := a.check(p, name, key, taken); bad != nil {
					return bad
				}
			}
		}
	}
	return nil
}

// fixed is an address of a service's own choice.
type fixed struct{ key, text, version, example string }

func (a fixed) check(p *types.Project, service, network string, taken map[string]string) *misplaced {
	if a.text == "" {
		return nil
	}
	say := func(hint, format string, args ...any) *misplaced {
		at := []string{"services", service, "networks", network, a.key}
		return &misplaced{at, fmt.Sprintf("services.%s.networks.%s: ", service, network) + fmt.Sprintf(format, args...), hint}
	}
	ip, err := netip.ParseAddr(a.text)
	six := a.version == "IPv6"
	switch {
	case err != nil || ip.Is4In6() || ip.Is6() != six:
		return say("write one as "+a.example, "%q is not an %s address", a.text, a.version)
	case six && !speaksIPv6(p, network):
		return say("add enable_ipv6: true to the network", "network %s does not speak IPv6", network)
	}
	for _, pool := range p.Networks[network].Ipam.Config {
		if net, err := netip.ParsePrefix(pool.Subnet); err == nil && net.Addr().Is6() == six && !net.Contains(ip) {
			return say("choose an address inside of the subnet", "address %s is not in subnet %s", ip, pool.Subnet)
		}
	}
	if other := taken[network+" "+ip.String()]; other != "" {
		return say("give one of them another address", "address %s is that of service %s too", ip, other)
	}
	taken[network+" "+ip.String()] = service
	return nil
}

// speaksIPv6 tells whether a network has IPv6, or may have: one that somebody
// else made.
func speaksIPv6(p *types.Project, network string) bool {
	n := p.Networks[network]
	return bool(n.External) || n.EnableIPv6 != nil && *n.EnableIPv6
}

// Room finds services that want to run more containers than there are ports for
// them in a range of the host's. One port alone they share.
func (l *Loaded) Room() error {
	for _, s := range l.Project.Services {
		if s.Scale < 2 {
			continue
		}
		for _, key := range slices.Sorted(maps.Keys(s.Create.HostConfig.PortBindings)) {
			for _, b := range s.Create.HostConfig.PortBindings[key] {
				lo, hi, ok := portRange(b.HostPort)
				if !ok || lo == 0 || lo == hi || hi-lo+1 >= s.Scale {
					continue
				}
				f := l.docs().at("services", s.Name, "ports")
				f.text = fmt.Sprintf("services.%s.ports: %s", s.Name, tooFew(s, b.HostPort, hi-lo+1))
				f.hint = fmt.Sprintf("scale to %d, widen the range, or write the container's port alone: then Lus chooses a free one for each", hi-lo+1)
				return errs.New(errs.Invalid, "%s", f)
			}
		}
	}
	return nil
}

func tooFew(s compose.Service, ports string, n int) string {
	return fmt.Sprintf("%d containers cannot share the range %s of the host, which has %d ports", s.Scale, ports, n)
}
