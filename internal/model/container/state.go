package container

import (
	"io"
	"time"
)

// The states a container can be in, in Docker's words.
const (
	Created    = "created"
	Running    = "running"
	Paused     = "paused"
	Restarting = "restarting"
	Removing   = "removing"
	Exited     = "exited"
	Dead       = "dead"
)

// The states of a container's health.
const (
	NoHealthcheck = "none"
	Starting      = "starting"
	Healthy       = "healthy"
	Unhealthy     = "unhealthy"
)

// RestartUnhealthy is the annotation or label that, being true, has a container
// restarted when it becomes unhealthy. Docker has no such option, so any client
// can ask for it, and so can an image.
const RestartUnhealthy = "org.lus.restart-unhealthy"

// Container is the engine's record of one container: what was asked for and
// what became of it. It is what the engine keeps, and what inspect is made of.
type Container struct {
	ID              string // 64 hexadecimal digits
	Name            string // without a slash
	Created         time.Time
	Path            string   // the program
	Args            []string // its arguments
	Image           string   // digest of the image's config, sha256:...
	Config          *Config
	HostConfig      *HostConfig
	State           State
	RestartCount    int
	ManuallyStopped bool   // by stop or kill: unless-stopped leaves it alone
	StopNote        string // why the last stop took all the time it was given
	Draining        bool   // new connections go to others of its ServiceGroup
	Mounts          []MountPoint
	Networks        map[string]*Endpoint // by the network's name
	Ports           PortMap              // what is published now; empty while stopped
	Driver          string               // storage driver, "overlay2"
	AppArmorProfile string               // unconfined, or a profile's name; empty where the host has no AppArmor
	LogPath         string
	HostnamePath    string
	HostsPath       string
	ResolvConfPath  string
	ExecIDs         []string
	SizeRw          *int64 // only where asked for
	SizeRootFs      *int64 // only where asked for
	Root            Root   `json:"-"` // only inspect tells it
	// LinkNames are what others' links call it, as PARENT/ALIAS; only a list
	// tells them.
	LinkNames []string `json:"-"`
}

// Root are the folders of the host that a container's files are put together
// from. Merged shows them together while the container runs.
type Root struct {
	Lower               []string // the image's, topmost first
	Upper, Work, Merged string
}

// State is what a container is doing. Times are zero where nothing happened yet.
type State struct {
	Status     string
	Pid        int
	ExitCode   int
	Error      string // why it could not be started
	OOMKilled  bool
	StartedAt  time.Time
	FinishedAt time.Time
	Health     *Health // nil without a healthcheck
}

// Running reports whether the container has a process (paused counts).
func (s State) Running() bool { return s.Status == Running || s.Status == Paused }

// Health is the outcome of the last healthchecks.
type Health struct {
	Status        string         `json:"Status"`
	FailingStreak int            `json:"FailingStreak"`
	Log           []HealthResult `json:"Log"` // the last five
}

// HealthResult is one healthcheck's outcome.
type HealthResult struct {
	Start    time.Time `json:"Start"`
	End      time.Time `json:"End"`
	ExitCode int       `json:"ExitCode"`
	Output   string    `json:"Output"` // at most 4096 bytes
}

// MountPoint is a mount as it was made.
type MountPoint struct {
	Type        string `json:"Type"` // bind, volume, tmpfs
	Name        string `json:"Name,omitempty"`
	Source      string `json:"Source"`
	Destination string `json:"Destination"`
	Driver      string `json:"Driver,omitempty"`
	Mode        string `json:"Mode"`
	RW          bool   `json:"RW"`
	Propagation string `json:"Propagation"`
}

// Endpoint is a container's place on one network: what was asked for, and what
// it got. Addresses are empty while the container is stopped.
type Endpoint struct {
	IPAMConfig          *EndpointIPAM     `json:"IPAMConfig"`
	Links               []string          `json:"Links"`
	Aliases             []string          `json:"Aliases"`
	DriverOpts          map[string]string `json:"DriverOpts"`
	GwPriority          int               `json:"GwPriority"`
	NetworkID           string            `json:"NetworkID"`
	EndpointID          string            `json:"EndpointID"`
	Gateway             string            `json:"Gateway"`
	IPAddress           string            `json:"IPAddress"`
	MacAddress          string            `json:"MacAddress"`
	WantedMAC           string            `json:"WantedMac,omitempty"` // asked for; it outlives a stop
	IPPrefixLen         int               `json:"IPPrefixLen"`
	IPv6Gateway         string            `json:"IPv6Gateway"`
	GlobalIPv6Address   string            `json:"GlobalIPv6Address"`
	GlobalIPv6PrefixLen int               `json:"GlobalIPv6PrefixLen"`
	DNSNames            []string          `json:"DNSNames"`
}

// EndpointIPAM is the address a user asked for.
type EndpointIPAM struct {
	IPv4Address  string   `json:"IPv4Address,omitempty"`
	IPv6Address  string   `json:"IPv6Address,omitempty"`
	LinkLocalIPs []string `json:"LinkLocalIPs,omitempty"`
}

// CreateRequest is the body of POST /containers/create.
type CreateRequest struct {
	Config
	HostConfig       *HostConfig       `json:"HostConfig"`
	NetworkingConfig *NetworkingConfig `json:"NetworkingConfig"`
	// Files is a tar that is unpacked at the root before anybody knows of the
	// container: it has them, or is not there. They may lie where the container
	// itself could not write.
	Files io.Reader `json:"-"`
	// AnyPlatform: it was chosen that the image is for another one than the host's,
	// which is worth no warning.
	AnyPlatform bool `json:"-"`
	// Starts: it is started next, for the same client. So its record may wait for
	// that: who is not told of the start cannot count on the container.
	Starts bool `json:"-"`
}

// UpdateRequest is the body of POST /containers/ID/update. What is zero or nil
// stays as it is.
type UpdateRequest struct {
	Resources
	RestartPolicy RestartPolicy `json:"RestartPolicy"`
}

// NetworkingConfig is the networks asked for at creation, by name or id.
type NetworkingConfig struct {
	EndpointsConfig map[string]*Endpoint `json:"EndpointsConfig"`
}

// CreateResponse is the answer to CreateRequest.
type CreateResponse struct {
	ID       string   `json:"Id"`
	Warnings []string `json:"Warnings"`
}

// Exit is how a container ended.
type Exit struct {
	Code      int
	OOMKilled bool
	At        time.Time
	Err       string // why it could not be started
}

// ExecConfig is what exec asks for: the body of POST /containers/ID/exec.
type ExecConfig struct {
	User         string   `json:"User"`
	Privileged   bool     `json:"Privileged"`
	Tty          bool     `json:"Tty"`
	ConsoleSize  *[2]uint `json:"ConsoleSize,omitempty"` // height, width
	AttachStdin  bool     `json:"AttachStdin"`
	AttachStderr bool     `json:"AttachStderr"`
	AttachStdout bool     `json:"AttachStdout"`
	DetachKeys   string   `json:"DetachKeys"`
	Env          []string `json:"Env"`
	WorkingDir   string   `json:"WorkingDir"`
	Cmd          Strings  `json:"Cmd"`
}

// Exec is the record of one exec.
type Exec struct {
	ID          string
	ContainerID string
	Config      ExecConfig
	Running     bool
	Started     bool
	ExitCode    *int // nil until it has ended
	Pid         int
}

// TopResult is the processes of a container as ps(1) prints them.
type TopResult struct {
	Titles    []string   `json:"Titles"`
	Processes [][]string `json:"Processes"`
}
