package executor

import (
	"context"
	"slices"
	"strings"

	"github.com/moby/buildkit/executor"
	"github.com/moby/buildkit/solver/pb"
	"github.com/opencontainers/runtime-spec/specs-go"

	"lus/internal/linux/runtime"
)

// spec compiles what BuildKit asks for into an OCI spec: every container's
// defaults, and what the step changes of them.
func (b *bundle) spec(ctx context.Context, s *step, meta executor.Meta, mounts []executor.Mount) (*specs.Spec, error) {
	u, err := lookUpUser(s.rootfs, meta.User)
	if err != nil {
		return nil, err
	}
	files, err := b.networkFiles(meta)
	if err != nil {
		return nil, err
	}
	asked, err := b.mounts(ctx, mounts)
	if err != nil {
		return nil, err
	}
	spec := runtime.Default()
	spec.Hostname = hostname(meta)
	spec.Mounts = lastWins(slices.Concat(spec.Mounts, files, asked))
	process(spec.Process, meta, u)
	if meta.NetMode == pb.NetMode_HOST {
		spec.Linux.Namespaces = slices.DeleteFunc(spec.Linux.Namespaces, func(n specs.LinuxNamespace) bool {
			return n.Type == specs.NetworkNamespace
		})
	}
	limit(spec.Linux.Resources, meta.LinuxResources)
	if insecure(meta) {
		if err := privileges(spec); err != nil {
			return nil, err
		}
	}
	return spec, nil
}

func process(p *specs.Process, meta executor.Meta, u specs.User) {
	p.Args, p.Env, p.User = meta.Args, meta.Env, u
	if meta.Cwd != "" {
		p.Cwd = meta.Cwd
	}
	if u.UID != 0 {
		p.Capabilities.Permitted, p.Capabilities.Effective = nil, nil
	}
	for _, l := range meta.Ulimit {
		if l != nil {
			p.Rlimits = append(p.Rlimits, specs.POSIXRlimit{
				Type: "RLIMIT_" + strings.ToUpper(l.Name), Hard: uint64(l.Hard), Soft: uint64(l.Soft),
			})
		}
	}
}

// limit sets the limits asked for.
func limit(out *specs.LinuxResources, r *pb.LinuxResources) {
	if r == nil {
		return
	}
	if r.Memory != 0 || r.MemorySwap != 0 {
		out.Memory = &specs.LinuxMemory{Limit: orNil(r.Memory), Swap: orNil(r.MemorySwap)}
	}
	out.CPU = &specs.LinuxCPU{
		Shares: orNil(r.CpuShares), Quota: orNil(r.CpuQuota), Period: orNil(r.CpuPeriod),
		Cpus: r.CpusetCpus, Mems: r.CpusetMems,
	}
}

// orNil is a pointer to v, nil for "not given".
func orNil[T comparable](v T) *T {
	var none T
	if v == none {
		return nil
	}
	return &v
}

// lastWins drops a mount whose destination comes again: a step that mounts
// over /dev/shm or /etc/hosts means its own.
func lastWins(mounts []specs.Mount) []specs.Mount {
	last := map[string]int{}
	for i, m := range mounts {
		last[m.Destination] = i
	}
	var out []specs.Mount
	for i, m := range mounts {
		if last[m.Destination] == i {
			out = append(out, m)
		}
	}
	return out
}
