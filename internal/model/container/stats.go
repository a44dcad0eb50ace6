package container

import "time"

// Stats is the body of GET /containers/ID/stats: what a container used up to
// now, in Docker's words. The Pre fields are those of the sample before.
type Stats struct {
	Name      string                  `json:"name"`
	ID        string                  `json:"id"`
	Read      time.Time               `json:"read"`
	PreRead   time.Time               `json:"preread"`
	Pids      PidsStats               `json:"pids_stats"`
	Blkio     BlkioStats              `json:"blkio_stats"`
	NumProcs  uint32                  `json:"num_procs"` // Windows only
	Storage   struct{}                `json:"storage_stats"`
	CPU       CPUStats                `json:"cpu_stats"`
	PreCPU    CPUStats                `json:"precpu_stats"`
	Memory    MemoryStats             `json:"memory_stats"`
	Networks  map[string]NetworkStats `json:"networks,omitempty"`
	OSVersion string                  `json:"os_version,omitempty"` // Windows only
}

// PidsStats counts processes; a limit of 0 is none.
type PidsStats struct {
	Current uint64 `json:"current,omitempty"`
	Limit   uint64 `json:"limit,omitempty"`
}

// BlkioStats counts what devices did. The kernel's CFQ counters, which Docker
// names too, are gone from it.
type BlkioStats struct {
	ServiceBytes []BlkioEntry `json:"io_service_bytes_recursive"`
	Serviced     []BlkioEntry `json:"io_serviced_recursive"`
	Queued       []BlkioEntry `json:"io_queue_recursive"`
	ServiceTime  []BlkioEntry `json:"io_service_time_recursive"`
	WaitTime     []BlkioEntry `json:"io_wait_time_recursive"`
	Merged       []BlkioEntry `json:"io_merged_recursive"`
	Time         []BlkioEntry `json:"io_time_recursive"`
	Sectors      []BlkioEntry `json:"sectors_recursive"`
}

// BlkioEntry is one device's counter.
type BlkioEntry struct {
	Major uint64 `json:"major"`
	Minor uint64 `json:"minor"`
	Op    string `json:"op"`
	Value uint64 `json:"value"`
}

// CPUStats are processor times in nanoseconds. SystemUsage is the host's.
type CPUStats struct {
	Usage       CPUUsage   `json:"cpu_usage"`
	SystemUsage uint64     `json:"system_cpu_usage,omitempty"`
	OnlineCPUs  uint32     `json:"online_cpus,omitempty"`
	Throttling  Throttling `json:"throttling_data"`
}

// CPUUsage is a container's processor time.
type CPUUsage struct {
	Total  uint64   `json:"total_usage"`
	PerCPU []uint64 `json:"percpu_usage,omitempty"` // cgroup version 1 only
	Kernel uint64   `json:"usage_in_kernelmode"`
	User   uint64   `json:"usage_in_usermode"`
}

// Throttling tells how often the limit of processor time was met.
type Throttling struct {
	Periods          uint64 `json:"periods"`
	ThrottledPeriods uint64 `json:"throttled_periods"`
	ThrottledTime    uint64 `json:"throttled_time"`
}

// MemoryStats is memory in bytes; Stats are the kernel's own counters.
type MemoryStats struct {
	Usage    uint64            `json:"usage,omitempty"`
	MaxUsage uint64            `json:"max_usage,omitempty"` // cgroup version 1 only
	Stats    map[string]uint64 `json:"stats,omitempty"`
	Failcnt  uint64            `json:"failcnt,omitempty"` // cgroup version 1 only
	Limit    uint64            `json:"limit,omitempty"`
}

// NetworkStats counts what went over one interface.
type NetworkStats struct {
	RxBytes   uint64 `json:"rx_bytes"`
	RxPackets uint64 `json:"rx_packets"`
	RxErrors  uint64 `json:"rx_errors"`
	RxDropped uint64 `json:"rx_dropped"`
	TxBytes   uint64 `json:"tx_bytes"`
	TxPackets uint64 `json:"tx_packets"`
	TxErrors  uint64 `json:"tx_errors"`
	TxDropped uint64 `json:"tx_dropped"`
}
