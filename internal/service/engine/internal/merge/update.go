package merge

import (
	"lus/internal/base/errs"
	"lus/internal/model/container"
)

// Resources returns have with the limits that asked names; zero and nil leave
// what was there. What no running container can get is refused.
func Resources(have, asked *container.Resources) (*container.Resources, error) {
	switch {
	case len(asked.Devices) > 0 || len(asked.DeviceCgroupRules) > 0 || len(asked.DeviceRequests) > 0:
		return nil, errs.New(errs.Unsupported, "the devices of a container cannot be changed: make a new one")
	case len(asked.Ulimits) > 0:
		return nil, errs.New(errs.Unsupported, "the ulimits of a container cannot be changed: make a new one")
	case asked.CgroupParent != "":
		return nil, errs.New(errs.Unsupported, "the parent cgroup of a container cannot be changed: make a new one")
	case asked.OomKillDisable != nil && *asked.OomKillDisable:
		return nil, errs.New(errs.Unsupported, "whether the kernel kills a container without memory cannot be changed: make a new one")
	case asked.MemorySwappiness != nil && *asked.MemorySwappiness != -1:
		return nil, errs.New(errs.Unsupported, "the swappiness of a container cannot be changed: make a new one")
	case asked.NanoCPUs > 0 && (have.CPUPeriod > 0 || have.CPUQuota > 0):
		return nil, errs.New(errs.Invalid, "Conflicting options: Nano CPUs cannot be updated as CPU Period or CPU Quota has already been set")
	case (asked.CPUPeriod > 0 || asked.CPUQuota > 0) && have.NanoCPUs > 0:
		return nil, errs.New(errs.Invalid, "Conflicting options: CPU Period and CPU Quota cannot be updated as NanoCPUs has already been set")
	case asked.Memory > 0 && have.MemorySwap > 0 && asked.Memory > have.MemorySwap && asked.MemorySwap == 0:
		return nil, errs.New(errs.Invalid, "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time")
	}
	r := *have
	for to, from := range map[*int64]int64{
		&r.CPUShares: asked.CPUShares, &r.Memory: asked.Memory, &r.MemorySwap: asked.MemorySwap, &r.MemoryReservation: asked.MemoryReservation,
		&r.NanoCPUs: asked.NanoCPUs, &r.CPUPeriod: asked.CPUPeriod, &r.CPUQuota: asked.CPUQuota,
		&r.CPURealtimePeriod: asked.CPURealtimePeriod, &r.CPURealtimeRuntime: asked.CPURealtimeRuntime,
	} {
		if from != 0 {
			*to = from
		}
	}
	if asked.CpusetCpus != "" {
		r.CpusetCpus = asked.CpusetCpus
	}
	if asked.CpusetMems != "" {
		r.CpusetMems = asked.CpusetMems
	}
	if asked.BlkioWeight != 0 {
		r.BlkioWeight = asked.BlkioWeight
	}
	if asked.PidsLimit != nil {
		limit := *asked.PidsLimit
		r.PidsLimit = &limit
	}
	return &r, nil
}
