package composefile

import (
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"

	"lus/internal/base/errs"
)

// maxFile bounds a Compose file: what is larger is something else.
const maxFile = 16 << 20

// tooLarge refuses files that nobody has written by hand.
func tooLarge(files []string) error {
	for _, f := range files {
		if info, err := os.Stat(f); err == nil && info.Size() > maxFile {
			return errs.New(errs.Invalid, "%s: this has %d MB, and no Compose file is read beyond %d: name another with -f", f, info.Size()>>20, maxFile>>20)
		}
	}
	return nil
}

// clash finds two services that publish one port of the host, which only the
// first to start would get. Where a service leaves a choice (a range), or the
// services are not to run together, nothing is said.
func clash(p *types.Project, docs func() documents) error {
	type holder struct {
		ip, service string
	}
	held := map[string][]holder{} // port/protocol
	for _, name := range slices.Sorted(maps.Keys(p.Services)) {
		for i, port := range p.Services[name].Ports {
			if n, err := strconv.ParseUint(port.Published, 10, 16); err != nil || n == 0 {
				continue
			}
			key := port.Published + "/" + port.Protocol
			for _, h := range held[key] {
				if meet(h.ip, port.HostIP) {
					f := docs().at("services", name, "ports", strconv.Itoa(i))
					f.text = "services." + name + ".ports: port " + key + " of the host is published by service " + h.service + " too"
					if h.service == name {
						f.text = "services." + name + ".ports: port " + key + " of the host is published twice"
					}
					f.hint = "give one of them another port, or let Lus choose: write the container's port alone"
					return errs.New(errs.Invalid, "%s", f)
				}
			}
			held[key] = append(held[key], holder{port.HostIP, name})
		}
	}
	return nil
}

// meet reports whether two addresses of the host cannot have the same port.
func meet(a, b string) bool {
	everywhere := func(ip string) bool { return ip == "0.0.0.0" || ip == "::" }
	switch {
	case a == "" || b == "" || a == b:
		return true
	case strings.Contains(a, ":") != strings.Contains(b, ":"):
		return false // one is of IPv6
	}
	return everywhere(a) || everywhere(b)
}
