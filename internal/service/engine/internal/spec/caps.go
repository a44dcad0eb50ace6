package spec

import (
	"slices"
	"strings"
	"sync"

	"github.com/moby/sys/capability"
	"github.com/opencontainers/runtime-spec/specs-go"

	"lus/internal/base/errs"
	"lus/internal/linux/runtime"
	"lus/internal/model/container"
)

// host is what this process itself may give away: known to the kernel and in
// its bounding set.
var host = sync.OnceValue(func() []string {
	var out []string
	known, err := capability.ListSupported()
	if err != nil {
		known = capability.ListKnown()
	}
	for _, c := range known {
		if ok, err := capability.GetBound(c); err == nil && ok {
			out = append(out, "CAP_"+strings.ToUpper(c.String()))
		}
	}
	return out
})

func capName(s string) string {
	s = strings.ToUpper(s)
	if s == "ALL" || strings.HasPrefix(s, "CAP_") {
		return s
	}
	return "CAP_" + s
}

// Caps is the set that h asks for. It is also the check of its words.
func Caps(h *container.HostConfig) ([]string, error) {
	add, err := capNames(h.CapAdd, "add")
	if err != nil {
		return nil, err
	}
	drop, err := capNames(h.CapDrop, "drop")
	if err != nil {
		return nil, err
	}
	if h.Privileged {
		return slices.Clone(host()), nil
	}
	base := runtime.DefaultCapabilities()
	switch {
	case slices.Contains(add, "ALL"):
		base = slices.Clone(host())
	case slices.Contains(drop, "ALL"):
		base = nil
		drop = nil
	}
	for _, c := range add {
		if c != "ALL" && !slices.Contains(base, c) {
			base = append(base, c)
		}
	}
	base = slices.DeleteFunc(base, func(c string) bool {
		return slices.Contains(drop, c) && !(slices.Contains(add, c))
	})
	// A default that this host cannot give is left out, as it must be.
	base = slices.DeleteFunc(base, func(c string) bool { return !slices.Contains(host(), c) })
	slices.Sort(base)
	return base, nil
}

func capNames(list []string, what string) ([]string, error) {
	known := capability.ListKnown()
	var out []string
	for _, s := range list {
		name := capName(s)
		if name == "ALL" {
			out = append(out, name)
			continue
		}
		if !slices.ContainsFunc(known, func(c capability.Cap) bool { return "CAP_"+strings.ToUpper(c.String()) == name }) {
			return nil, errs.New(errs.Invalid, "invalid Cap%s: unknown capability: %q", strings.ToUpper(what[:1])+what[1:], name)
		}
		if what == "add" && !slices.Contains(host(), name) {
			return nil, errs.New(errs.Invalid, "invalid CapAdd: capability not supported by your kernel or not available in the current environment: %q", name)
		}
		out = append(out, name)
	}
	return out, nil
}

func capabilities(h *container.HostConfig, uid uint32) (*specs.LinuxCapabilities, error) {
	set, err := Caps(h)
	if err != nil {
		return nil, err
	}
	return Capabilities(set, uid), nil
}

// Capabilities gives root the set, and others only the right to gain it by a
// setuid program.
func Capabilities(set []string, uid uint32) *specs.LinuxCapabilities {
	c := &specs.LinuxCapabilities{Bounding: set}
	if uid == 0 {
		c.Effective, c.Permitted = set, set
	}
	return c
}
