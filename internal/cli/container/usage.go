package container

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/docker/go-units"

	"lus/internal/cli/output"
	"lus/internal/model/container"
)

// usage is a line of stats; its methods are the fields of templates.
type usage struct {
	asked string // as the user called it
	s     container.Stats
	trunc bool
}

func (u usage) Container() string { return u.asked }
func (u usage) Name() string      { return strings.TrimPrefix(u.s.Name, "/") }

func (u usage) ID() string {
	if u.trunc {
		return u.s.ID[:min(12, len(u.s.ID))]
	}
	return u.s.ID
}

// CPUPerc is the share of one processor since the sample before, so two busy
// ones are 200%.
func (u usage) CPUPerc() string {
	cpu, pre := u.s.CPU, u.s.PreCPU
	used := float64(cpu.Usage.Total) - float64(pre.Usage.Total)
	all := float64(cpu.SystemUsage) - float64(pre.SystemUsage)
	if used <= 0 || all <= 0 || pre.SystemUsage == 0 {
		return percent(0)
	}
	return percent(used / all * float64(cpu.OnlineCPUs) * 100)
}

func percent(p float64) string { return strconv.FormatFloat(p, 'f', 2, 64) + "%" }

// memory is what is in use without the part of the cache that could go at
// once; the kernel calls that part total_inactive_file in cgroup version 1 and
// inactive_file in version 2.
func (u usage) memory() float64 {
	m := u.s.Memory
	for _, key := range []string{"total_inactive_file", "inactive_file"} {
		if idle, ok := m.Stats[key]; ok {
			if idle < m.Usage {
				return float64(m.Usage - idle)
			}
			break
		}
	}
	return float64(m.Usage)
}

func (u usage) MemUsage() string {
	return units.BytesSize(u.memory()) + " / " + units.BytesSize(float64(u.s.Memory.Limit))
}

func (u usage) MemPerc() string {
	if u.s.Memory.Limit == 0 {
		return percent(0)
	}
	return percent(u.memory() / float64(u.s.Memory.Limit) * 100)
}

func (u usage) NetIO() string {
	var in, out float64
	for _, n := range u.s.Networks {
		in, out = in+float64(n.RxBytes), out+float64(n.TxBytes)
	}
	return both(in, out)
}

func (u usage) BlockIO() string {
	var read, written float64
	for _, b := range u.s.Blkio.ServiceBytes {
		switch {
		case strings.EqualFold(b.Op, "read"):
			read += float64(b.Value)
		case strings.EqualFold(b.Op, "write"):
			written += float64(b.Value)
		}
	}
	return both(read, written)
}

func both(a, b float64) string {
	return fmt.Sprintf("%s / %s", units.HumanSizeWithPrecision(a, 3), units.HumanSizeWithPrecision(b, 3))
}

func (u usage) PIDs() string { return strconv.FormatUint(u.s.Pids.Current, 10) }

const usageColumns = "{{.ID}}\t{{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}\t{{.MemPerc}}\t{{.NetIO}}\t{{.BlockIO}}\t{{.PIDs}}"

func usageHeaders() output.Headers {
	return output.Headers{
		"Container": "CONTAINER", "ID": "CONTAINER ID", "Name": "NAME", "CPUPerc": "CPU %", "MemUsage": "MEM USAGE / LIMIT",
		"MemPerc": "MEM %", "NetIO": "NET I/O", "BlockIO": "BLOCK I/O", "PIDs": "PIDS",
	}
}
