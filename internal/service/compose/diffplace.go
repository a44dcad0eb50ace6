package compose

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"lus/internal/model/container"
)

// placeOn writes a service's place on a network with the words of the file. Its
// own name, which it has on each, is left out.
func placeOn(service string, e *container.Endpoint) string {
	if e == nil {
		return "joined"
	}
	var out []string
	put := func(key string, values ...string) {
		values = slices.DeleteFunc(slices.Clone(values), func(v string) bool { return v == "" })
		if len(values) > 0 {
			out = append(out, key+" "+strings.Join(values, ", "))
		}
	}
	put("aliases", slices.DeleteFunc(slices.Clone(e.Aliases), func(a string) bool { return a == service })...)
	put("links", e.Links...)
	if a := e.IPAMConfig; a != nil {
		put("ipv4_address", a.IPv4Address)
		put("ipv6_address", a.IPv6Address)
		put("link_local_ips", a.LinkLocalIPs...)
	}
	put("mac_address", e.MacAddress)
	if e.GwPriority != 0 {
		put("gw_priority", fmt.Sprint(e.GwPriority))
	}
	var opts []string
	for _, name := range slices.Sorted(maps.Keys(e.DriverOpts)) {
		opts = append(opts, name+"="+shownValue(name, e.DriverOpts[name]))
	}
	put("driver_opts", opts...)
	if len(out) == 0 {
		return "joined"
	}
	return strings.Join(out, "; ")
}
