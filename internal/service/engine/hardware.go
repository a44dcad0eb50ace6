package engine

import (
	"net"
	"strings"
	"unicode"

	"github.com/opencontainers/runtime-spec/specs-go"

	"lus/internal/base/errs"
	"lus/internal/model/container"
	model "lus/internal/model/network"
	"lus/internal/service/engine/internal/spec"
)

// giveDevices adds the devices that the container asks for by name to its spec.
// name is of the runtime, empty for our own.
func (e *Engine) giveDevices(s *specs.Spec, rec *container.Container, name string) error {
	if len(rec.HostConfig.DeviceRequests) == 0 {
		return nil
	}
	if e.Devices == nil {
		return errs.New(errs.Unsupported, "devices cannot be asked for by name here: pass their nodes")
	}
	names, err := spec.Named(rec.HostConfig, e.Devices.Names(), e.Devices.Folders())
	if err != nil || len(names) == 0 {
		return err
	}
	if err := e.Devices.Inject(s, names); err != nil {
		return err
	}
	if s.Hooks != nil && name == "" {
		return errs.New(errs.Unsupported, "the specification of %s has programs run when a container starts, which the runtime lus does not do: add --runtime runc", strings.Join(names, ", "))
	}
	return nil
}

// optIfName is the option of a place on a network that names the interface.
const optIfName = "com.docker.network.endpoint.ifname"

// hardwareAddress checks an address of one's own choice.
func hardwareAddress(n *model.Network, text string) (string, error) {
	mac, err := net.ParseMAC(text)
	switch {
	case err != nil || len(mac) != 6:
		return "", errs.New(errs.Invalid, "%q is not a MAC address: write one as 02:42:ac:11:65:43", text)
	case mac[0]&1 != 0:
		return "", errs.New(errs.Invalid, "MAC address %s is one of a group: its first byte must be even", mac)
	case strings.Trim(mac.String(), "0:") == "":
		return "", errs.New(errs.Invalid, "MAC address %s is that of nobody", mac)
	case n.Driver == "ipvlan":
		return "", errs.New(errs.Invalid, "on an ipvlan network all containers have the MAC address of the host's interface: leave %s out", mac)
	case !onWire(n):
		return "", errs.New(errs.Invalid, "containers get no interface on network %s, so that there is none to have MAC address %s", n.Name, mac)
	}
	return mac.String(), nil
}

// endpointOptions checks the options of a place on a network.
func endpointOptions(n *model.Network, asked map[string]string) error {
	for key, value := range asked {
		switch {
		case key != optIfName:
			return errs.New(errs.Unsupported, "the option %s of a place on network %s is not supported: only %s is", key, n.Name, optIfName)
		case !onWire(n):
			return errs.New(errs.Invalid, "containers get no interface on network %s that could be called %s", n.Name, value)
		case value == "" || len(value) > 15 || value == "." || value == ".." || value == "lo" || strings.ContainsFunc(value, badInName):
			return errs.New(errs.Invalid, "%q cannot be the name of an interface: at most 15 characters, without spaces, slashes and colons", value)
		}
	}
	return nil
}

func badInName(r rune) bool { return r == '/' || r == ':' || unicode.IsSpace(r) || r < ' ' || r > '~' }

// ifNames refuses two interfaces of one name. Those that nobody named are eth0,
// eth1 and so on, less what is taken.
func ifNames(places map[string]*container.Endpoint) error {
	taken := map[string]string{}
	for network, ep := range places {
		name := ep.DriverOpts[optIfName]
		if name == "" {
			continue
		}
		if other := taken[name]; other != "" {
			return errs.New(errs.Invalid, "the interfaces on networks %s and %s cannot both be called %s", min(network, other), max(network, other), name)
		}
		taken[name] = network
	}
	return nil
}

// nameInterfaces gives each place its interface's name.
func nameInterfaces(rec *container.Container, places []place) {
	taken := map[string]bool{}
	for _, ep := range rec.Networks {
		taken[ep.DriverOpts[optIfName]] = true
	}
	next := 0
	for i := range places {
		places[i].ep.IfName = rec.Networks[places[i].name].DriverOpts[optIfName]
		for places[i].ep.IfName == "" {
			if name := eth(next); !taken[name] {
				places[i].ep.IfName = name
			}
			next++
		}
	}
}
