package composefile

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
	"tags.cncf.io/container-device-interface/pkg/parser"

	"lus/internal/base/errs"
	"lus/internal/model/container"
)

func hostConfig(p *types.Project, s types.ServiceConfig) (*container.HostConfig, error) {
	restart, err := restartPolicy(s)
	if err != nil {
		return nil, err
	}
	ports, err := bindings(s.Ports)
	if err != nil {
		return nil, err
	}
	h := &container.HostConfig{
		PortBindings: ports, RestartPolicy: restart, Annotations: s.Annotations,
		CapAdd: s.CapAdd, CapDrop: s.CapDrop, CgroupnsMode: s.Cgroup,
		DNS: s.DNS, DNSOptions: s.DNSOpts, DNSSearch: s.DNSSearch,
		ExtraHosts: s.ExtraHosts.AsList(":"), GroupAdd: s.GroupAdd, IpcMode: s.Ipc,
		OomScoreAdj: int(s.OomScoreAdj), PidMode: s.Pid, Privileged: s.Privileged,
		ReadonlyRootfs: s.ReadOnly, SecurityOpt: s.SecurityOpt,
		UTSMode: s.Uts, UsernsMode: s.UserNSMode, ShmSize: int64(s.ShmSize), Sysctls: s.Sysctls,
		Runtime: s.Runtime, Isolation: s.Isolation, Init: s.Init, VolumesFrom: s.VolumesFrom,
		Resources: resources(s),
	}
	if s.Logging != nil {
		h.LogConfig = container.LogConfig{Type: s.Logging.Driver, Config: s.Logging.Options}
	}
	for _, t := range s.Tmpfs {
		path, opts, _ := strings.Cut(t, ":")
		if h.Tmpfs == nil {
			h.Tmpfs = map[string]string{}
		}
		h.Tmpfs[path] = opts
	}
	for _, name := range slices.Sorted(maps.Keys(s.Ulimits)) {
		u := s.Ulimits[name]
		soft, hard := int64(u.Soft), int64(u.Hard)
		if u.Single != 0 {
			soft, hard = int64(u.Single), int64(u.Single)
		}
		h.Ulimits = append(h.Ulimits, container.Ulimit{Name: name, Soft: soft, Hard: hard})
	}
	if h.Mounts, err = mounts(p, s); err != nil {
		return nil, err
	}
	return h, nil
}

func bindings(ports []types.ServicePortConfig) (container.PortMap, error) {
	out := container.PortMap{}
	for _, p := range ports {
		if p.Target == 0 || p.Target > 65535 {
			return nil, errs.New(errs.Invalid, "ports: %d is not a port", p.Target)
		}
		key := portKey(p)
		out[key] = append(out[key], container.PortBinding{HostIP: p.HostIP, HostPort: p.Published})
	}
	return out, nil
}

func restartPolicy(s types.ServiceConfig) (container.RestartPolicy, error) {
	if s.Restart != "" {
		name, count, has := strings.Cut(s.Restart, ":")
		r := container.RestartPolicy{Name: name}
		if has {
			n, err := strconv.Atoi(count)
			if err != nil || n < 0 {
				return r, errs.New(errs.Invalid, "restart: %q: the count must be a number, as in on-failure:3", s.Restart)
			}
			r.MaximumRetryCount = n
		}
		if !slices.Contains([]string{"no", "always", "on-failure", "unless-stopped"}, name) {
			return r, errs.New(errs.Invalid, "restart: %q: write no, always, on-failure[:count] or unless-stopped", s.Restart)
		}
		return r, nil
	}
	if s.Deploy == nil || s.Deploy.RestartPolicy == nil {
		return container.RestartPolicy{}, nil
	}
	policy := s.Deploy.RestartPolicy
	r := container.RestartPolicy{Name: map[string]string{"none": "no", "on-failure": "on-failure", "any": "always", "": "always"}[policy.Condition]}
	if policy.MaxAttempts != nil && r.Name == "on-failure" {
		r.MaximumRetryCount = int(min(*policy.MaxAttempts, 1<<30))
	}
	return r, nil
}

func resources(s types.ServiceConfig) container.Resources {
	r := container.Resources{
		CPUShares: s.CPUShares, Memory: int64(s.MemLimit), NanoCPUs: int64(float64(s.CPUS) * 1e9),
		CPUPeriod: s.CPUPeriod, CPUQuota: s.CPUQuota,
		CPURealtimePeriod: s.CPURTPeriod, CPURealtimeRuntime: s.CPURTRuntime, CpusetCpus: s.CPUSet,
		DeviceCgroupRules: s.DeviceCgroupRules, MemoryReservation: int64(s.MemReservation), MemorySwap: int64(s.MemSwapLimit),
	}
	if s.MemSwappiness != 0 {
		n := int64(s.MemSwappiness)
		r.MemorySwappiness = &n
	}
	if s.PidsLimit != 0 {
		n := s.PidsLimit
		r.PidsLimit = &n
	}
	if s.OomKillDisable {
		yes := true
		r.OomKillDisable = &yes
	}
	if s.BlkioConfig != nil {
		r.BlkioWeight, r.BlkioDevices = s.BlkioConfig.Weight, blkio(s.BlkioConfig)
	}
	var named []string
	for _, d := range s.Devices {
		if parser.IsQualifiedName(d.Source) {
			named = append(named, d.Source)
			continue
		}
		r.Devices = append(r.Devices, container.Device{PathOnHost: d.Source, PathInContainer: d.Target, CgroupPermissions: cmp.Or(d.Permissions, "rwm")})
	}
	if len(named) > 0 {
		r.DeviceRequests = []container.DeviceRequest{{Driver: "cdi", DeviceIDs: named}}
	}
	for _, g := range s.Gpus {
		g.Capabilities = append(slices.Clone(g.Capabilities), "gpu")
		r.DeviceRequests = append(r.DeviceRequests, deviceRequest(g))
	}
	if s.Deploy == nil {
		return r
	}
	if l := s.Deploy.Resources.Limits; l != nil {
		r.NanoCPUs = cmp.Or(int64(float64(l.NanoCPUs)*1e9), r.NanoCPUs)
		r.Memory = cmp.Or(int64(l.MemoryBytes), r.Memory)
		if l.Pids != 0 {
			n := l.Pids
			r.PidsLimit = &n
		}
	}
	if v := s.Deploy.Resources.Reservations; v != nil {
		for _, d := range v.Devices {
			r.DeviceRequests = append(r.DeviceRequests, deviceRequest(d))
		}
		r.MemoryReservation = cmp.Or(int64(v.MemoryBytes), r.MemoryReservation)
	}
	return r
}

// deviceRequest asks for devices by their number or their names.
func deviceRequest(d types.DeviceRequest) container.DeviceRequest {
	return container.DeviceRequest{Driver: d.Driver, Count: int(d.Count), DeviceIDs: d.IDs, Capabilities: [][]string{d.Capabilities}}
}

func blkio(b *types.BlkioConfig) container.BlkioDevices {
	var out container.BlkioDevices
	for _, d := range b.WeightDevice {
		out.BlkioWeightDevice = append(out.BlkioWeightDevice, container.DeviceWeight{Path: d.Path, Weight: d.Weight})
	}
	for _, l := range []struct {
		from []types.ThrottleDevice
		to   *[]container.DeviceRate
	}{
		{b.DeviceReadBps, &out.BlkioDeviceReadBps}, {b.DeviceWriteBps, &out.BlkioDeviceWriteBps},
		{b.DeviceReadIOps, &out.BlkioDeviceReadIOps}, {b.DeviceWriteIOps, &out.BlkioDeviceWriteIOps},
	} {
		for _, d := range l.from {
			*l.to = append(*l.to, container.DeviceRate{Path: d.Path, Rate: uint64(max(0, d.Rate))})
		}
	}
	return out
}

func mounts(p *types.Project, s types.ServiceConfig) ([]container.Mount, error) {
	var out []container.Mount
	for _, v := range s.Volumes {
		m := container.Mount{Type: v.Type, Source: v.Source, Target: v.Target, ReadOnly: v.ReadOnly, Consistency: v.Consistency}
		switch v.Type {
		case types.VolumeTypeVolume:
			if v.Source != "" {
				m.Source = p.Volumes[v.Source].Name
			}
			if v.Volume != nil {
				m.VolumeOptions = &container.VolumeOptions{NoCopy: v.Volume.NoCopy, Subpath: v.Volume.Subpath, Labels: v.Volume.Labels}
			}
		case types.VolumeTypeBind:
			m.BindOptions = &container.BindOptions{CreateMountpoint: v.Bind == nil || bool(v.Bind.CreateHostPath)}
			if v.Bind != nil {
				m.BindOptions.Propagation = v.Bind.Propagation
				m.BindOptions.NonRecursive = v.Bind.Recursive == "disabled"
				m.BindOptions.ReadOnlyNonRecursive = v.Bind.Recursive == "writable"
				m.BindOptions.ReadOnlyForceRecursive = v.Bind.Recursive == "readonly"
			}
		case types.VolumeTypeTmpfs:
			if v.Tmpfs != nil {
				m.TmpfsOptions = &container.TmpfsOptions{SizeBytes: int64(v.Tmpfs.Size), Mode: v.Tmpfs.Mode}
			}
		case types.VolumeTypeImage:
			if v.Image != nil && v.Image.SubPath != "" {
				m.ImageOptions = &container.ImageOptions{Subpath: v.Image.SubPath}
			}
		default:
			return nil, errs.New(errs.Unsupported, "volumes: type %s cannot be mounted here; use volume, bind, tmpfs or image", v.Type)
		}
		out = append(out, m)
	}
	return append(out, fileMounts(p, s)...), nil
}
