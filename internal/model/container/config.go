// Package container holds the words for containers that every part of Lus
// shares: what was asked for (Config, HostConfig), what is (Container, State),
// and how ports and mounts are written. The JSON names are those of the Docker
// Engine API 1.51, so the same values travel from a client's request through
// the engine into its records and back.
package container

import (
	"encoding/json"
	"time"
)

// Config is what an image and its user say about the process to run.
type Config struct {
	Hostname     string              `json:"Hostname"`
	Domainname   string              `json:"Domainname"`
	User         string              `json:"User"`
	AttachStdin  bool                `json:"AttachStdin"`
	AttachStdout bool                `json:"AttachStdout"`
	AttachStderr bool                `json:"AttachStderr"`
	ExposedPorts map[string]struct{} `json:"ExposedPorts,omitempty"` // "80/tcp"
	Tty          bool                `json:"Tty"`
	OpenStdin    bool                `json:"OpenStdin"`
	StdinOnce    bool                `json:"StdinOnce"`
	Env          []string            `json:"Env"`
	Cmd          Strings             `json:"Cmd"`
	Healthcheck  *Healthcheck        `json:"Healthcheck,omitempty"`
	ArgsEscaped  bool                `json:"ArgsEscaped,omitempty"`
	Image        string              `json:"Image"` // as the user wrote it
	Volumes      map[string]struct{} `json:"Volumes"`
	WorkingDir   string              `json:"WorkingDir"`
	Entrypoint   Strings             `json:"Entrypoint"`
	NetworkOff   bool                `json:"NetworkDisabled,omitempty"`
	MacAddress   string              `json:"MacAddress,omitempty"`
	OnBuild      []string            `json:"OnBuild"`
	Labels       map[string]string   `json:"Labels"`
	StopSignal   string              `json:"StopSignal,omitempty"`
	StopTimeout  *int                `json:"StopTimeout,omitempty"` // seconds
	Shell        []string            `json:"Shell,omitempty"`
}

// Healthcheck is how to ask a container whether it is well. Durations are in
// nanoseconds on the wire, as in Docker; zero means inherit.
type Healthcheck struct {
	Test          []string      `json:"Test,omitempty"` // {"NONE"}, {"CMD", args...} or {"CMD-SHELL", line}
	Interval      time.Duration `json:"Interval,omitempty"`
	Timeout       time.Duration `json:"Timeout,omitempty"`
	StartPeriod   time.Duration `json:"StartPeriod,omitempty"`
	StartInterval time.Duration `json:"StartInterval,omitempty"`
	Retries       int           `json:"Retries,omitempty"`
}

// Strings is a list that may also arrive as a single string. It stays null
// where nothing was said, which differs from an empty list.
type Strings []string

// UnmarshalJSON takes a list, a single string, or null.
func (s *Strings) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		var one string
		if err := json.Unmarshal(b, &one); err != nil {
			return err
		}
		*s = Strings{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(s))
}

// HostConfig is what the user says about the container's surroundings.
type HostConfig struct {
	Binds           []string          `json:"Binds"` // "src:dst[:opts]"
	ContainerIDFile string            `json:"ContainerIDFile"`
	LogConfig       LogConfig         `json:"LogConfig"`
	NetworkMode     string            `json:"NetworkMode"` // default, bridge, none, host, container:ID, or a network's name
	PortBindings    PortMap           `json:"PortBindings"`
	RestartPolicy   RestartPolicy     `json:"RestartPolicy"`
	AutoRemove      bool              `json:"AutoRemove"`
	VolumeDriver    string            `json:"VolumeDriver"`
	VolumesFrom     []string          `json:"VolumesFrom"`
	ConsoleSize     [2]uint           `json:"ConsoleSize"` // height, width
	Annotations     map[string]string `json:"Annotations,omitempty"`
	CapAdd          Strings           `json:"CapAdd"`
	CapDrop         Strings           `json:"CapDrop"`
	CgroupnsMode    string            `json:"CgroupnsMode"`
	DNS             []string          `json:"Dns"`
	DNSOptions      []string          `json:"DnsOptions"`
	DNSSearch       []string          `json:"DnsSearch"`
	ExtraHosts      []string          `json:"ExtraHosts"` // "name:address"
	GroupAdd        []string          `json:"GroupAdd"`
	IpcMode         string            `json:"IpcMode"`
	Cgroup          string            `json:"Cgroup"`
	Links           []string          `json:"Links"`
	OomScoreAdj     int               `json:"OomScoreAdj"`
	PidMode         string            `json:"PidMode"`
	Privileged      bool              `json:"Privileged"`
	PublishAllPorts bool              `json:"PublishAllPorts"`
	ReadonlyRootfs  bool              `json:"ReadonlyRootfs"`
	SecurityOpt     []string          `json:"SecurityOpt"`
	StorageOpt      map[string]string `json:"StorageOpt,omitempty"`
	Tmpfs           map[string]string `json:"Tmpfs,omitempty"` // path -> options
	UTSMode         string            `json:"UTSMode"`
	UsernsMode      string            `json:"UsernsMode"`
	ShmSize         int64             `json:"ShmSize"` // bytes
	Sysctls         map[string]string `json:"Sysctls,omitempty"`
	Runtime         string            `json:"Runtime"`
	Isolation       string            `json:"Isolation"`
	Resources
	Mounts        []Mount  `json:"Mounts,omitempty"`
	MaskedPaths   []string `json:"MaskedPaths"`
	ReadonlyPaths []string `json:"ReadonlyPaths"`
	Init          *bool    `json:"Init,omitempty"`
	// ServiceGroup names the service that the container is one of several of: they
	// share published ports and are found under one name. Not in Docker's API.
	ServiceGroup string `json:"ServiceGroup,omitempty"`
}

// Resources are the limits of a container; zero means unlimited.
type Resources struct {
	CPUShares    int64  `json:"CpuShares"`
	Memory       int64  `json:"Memory"`   // bytes
	NanoCPUs     int64  `json:"NanoCpus"` // 1e9 is one CPU
	CgroupParent string `json:"CgroupParent"`
	BlkioWeight  uint16 `json:"BlkioWeight"`
	BlkioDevices
	CPUPeriod          int64           `json:"CpuPeriod"`
	CPUQuota           int64           `json:"CpuQuota"`
	CPURealtimePeriod  int64           `json:"CpuRealtimePeriod"`
	CPURealtimeRuntime int64           `json:"CpuRealtimeRuntime"`
	CpusetCpus         string          `json:"CpusetCpus"`
	CpusetMems         string          `json:"CpusetMems"`
	Devices            []Device        `json:"Devices"`
	DeviceCgroupRules  []string        `json:"DeviceCgroupRules"`
	DeviceRequests     []DeviceRequest `json:"DeviceRequests"`
	MemoryReservation  int64           `json:"MemoryReservation"`
	MemorySwap         int64           `json:"MemorySwap"` // memory plus swap; -1 is unlimited swap
	MemorySwappiness   *int64          `json:"MemorySwappiness"`
	OomKillDisable     *bool           `json:"OomKillDisable"`
	PidsLimit          *int64          `json:"PidsLimit"`
	Ulimits            []Ulimit        `json:"Ulimits"`
}

// BlkioDevices are limits of single block devices.
type BlkioDevices struct {
	BlkioWeightDevice    []DeviceWeight `json:"BlkioWeightDevice"`
	BlkioDeviceReadBps   []DeviceRate   `json:"BlkioDeviceReadBps"`
	BlkioDeviceWriteBps  []DeviceRate   `json:"BlkioDeviceWriteBps"`
	BlkioDeviceReadIOps  []DeviceRate   `json:"BlkioDeviceReadIOps"`
	BlkioDeviceWriteIOps []DeviceRate   `json:"BlkioDeviceWriteIOps"`
}

// DeviceWeight is a block device's share.
type DeviceWeight struct {
	Path   string `json:"Path"`
	Weight uint16 `json:"Weight"`
}

// DeviceRate is a block device's limit, in bytes or operations a second.
type DeviceRate struct {
	Path string `json:"Path"`
	Rate uint64 `json:"Rate"`
}

// Device is a device node of the host to be had inside.
type Device struct {
	PathOnHost        string `json:"PathOnHost"`
	PathInContainer   string `json:"PathInContainer"`
	CgroupPermissions string `json:"CgroupPermissions"` // of r, w, m
}

// DeviceRequest asks a device driver (a GPU's) for devices.
type DeviceRequest struct {
	Driver       string            `json:"Driver"`
	Count        int               `json:"Count"`
	DeviceIDs    []string          `json:"DeviceIDs"`
	Capabilities [][]string        `json:"Capabilities"`
	Options      map[string]string `json:"Options"`
}

// Ulimit is a resource limit of the process (setrlimit).
type Ulimit struct {
	Name string `json:"Name"`
	Hard int64  `json:"Hard"`
	Soft int64  `json:"Soft"`
}

// LogConfig says where output goes. Config knows max-size, max-file,
// mode, labels and env.
type LogConfig struct {
	Type   string            `json:"Type"`
	Config map[string]string `json:"Config"`
}

// RestartPolicy says when a container is started again by itself.
type RestartPolicy struct {
	Name              string `json:"Name"` // "", no, always, unless-stopped, on-failure
	MaximumRetryCount int    `json:"MaximumRetryCount"`
}

// Mount is something shown inside the container, as --mount asks for it.
type Mount struct {
	Type          string         `json:"Type"` // bind, volume, tmpfs, image
	Source        string         `json:"Source,omitempty"`
	Target        string         `json:"Target"`
	ReadOnly      bool           `json:"ReadOnly,omitempty"`
	Consistency   string         `json:"Consistency,omitempty"`
	BindOptions   *BindOptions   `json:"BindOptions,omitempty"`
	VolumeOptions *VolumeOptions `json:"VolumeOptions,omitempty"`
	TmpfsOptions  *TmpfsOptions  `json:"TmpfsOptions,omitempty"`
	ImageOptions  *ImageOptions  `json:"ImageOptions,omitempty"`
}

// ImageOptions are the options of a mount of an image's files.
type ImageOptions struct {
	Subpath string `json:"Subpath,omitempty"`
}

// BindOptions are the options of a bind mount.
type BindOptions struct {
	Propagation            string `json:"Propagation,omitempty"`
	NonRecursive           bool   `json:"NonRecursive,omitempty"`
	CreateMountpoint       bool   `json:"CreateMountpoint,omitempty"`
	ReadOnlyNonRecursive   bool   `json:"ReadOnlyNonRecursive,omitempty"`
	ReadOnlyForceRecursive bool   `json:"ReadOnlyForceRecursive,omitempty"`
}

// VolumeOptions are the options of a volume mount.
type VolumeOptions struct {
	NoCopy       bool              `json:"NoCopy,omitempty"`
	Labels       map[string]string `json:"Labels,omitempty"`
	Subpath      string            `json:"Subpath,omitempty"`
	DriverConfig *Driver           `json:"DriverConfig,omitempty"`
}

// Driver names a volume driver and its options.
type Driver struct {
	Name    string            `json:"Name,omitempty"`
	Options map[string]string `json:"Options,omitempty"`
}

// TmpfsOptions are the options of a tmpfs mount.
type TmpfsOptions struct {
	SizeBytes int64      `json:"SizeBytes,omitempty"`
	Mode      uint32     `json:"Mode,omitempty"`
	Options   [][]string `json:"Options,omitempty"`
}
