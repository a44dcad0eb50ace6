package spec

import (
	"os"

	"lus/internal/model/container"
)

// Warnings are what was asked for and has no effect on this host, or a dangerous
// one, as Docker words it.
func Warnings(h *container.HostConfig) []string {
	_, err := os.Stat("/sys/fs/cgroup/cgroup.controllers")
	return warnings(h, kernel{v2: err == nil, swap: swapLimits()})
}

// kernel is what the host's kernel can limit.
type kernel struct{ v2, swap bool }

func warnings(h *container.HostConfig, has kernel) []string {
	out := []string{}
	warn := func(text string, is bool) {
		if is {
			out = append(out, text)
		}
	}
	warn("Your kernel does not support swap limit capabilities or the cgroup is not mounted. Memory limited without swap.",
		h.Memory > 0 && h.MemorySwap == 0 && !has.swap) // where swap was named, the start fails
	warn("Your kernel does not support memory swappiness capabilities or the cgroup is not mounted. Memory swappiness discarded.",
		h.MemorySwappiness != nil && *h.MemorySwappiness >= 0 && has.v2)
	undying := h.OomKillDisable != nil && *h.OomKillDisable
	warn("Your kernel does not support OomKillDisable. OomKillDisable discarded.", undying && has.v2)
	warn("OOM killer is disabled for the container, but no memory limit is set, this can result in the system running out of resources.",
		undying && !has.v2 && h.Memory == 0)
	warn("Published ports are discarded when using host network mode", h.NetworkMode == "host" && len(h.PortBindings) > 0)
	return out
}
