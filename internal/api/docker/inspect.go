package docker

import (
	"cmp"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/go-units"

	"lus/internal/model/container"
)

// inspected is the body of GET /containers/ID/json. The top-level addresses in
// NetworkSettings are the default bridge's, which `inspect -f` users read.
type inspected struct {
	ID              string `json:"Id"`
	Created         time.Time
	Path            string
	Args            []string
	State           stateAnswer
	Image           string
	ResolvConfPath  string
	HostnamePath    string
	HostsPath       string
	LogPath         string
	Name            string
	RestartCount    int
	Driver          string
	Platform        string
	MountLabel      string
	ProcessLabel    string
	AppArmorProfile string
	ExecIDs         []string
	HostConfig      hostAnswer
	GraphDriver     graphDriver
	SizeRw          *int64 `json:",omitempty"`
	SizeRootFs      *int64 `json:",omitempty"`
	Mounts          []container.MountPoint
	Config          *container.Config
	NetworkSettings networkSettings
}

// hostAnswer adds what only Windows has, which clients find there.
type hostAnswer struct {
	*container.HostConfig
	CPUCount           int64  `json:"CpuCount"`
	CPUPercent         int64  `json:"CpuPercent"`
	IOMaximumIOps      uint64 `json:"IOMaximumIOps"`
	IOMaximumBandwidth uint64 `json:"IOMaximumBandwidth"`
}

type stateAnswer struct {
	Status     string
	Running    bool
	Paused     bool
	Restarting bool
	OOMKilled  bool
	Dead       bool
	Pid        int
	ExitCode   int
	Error      string
	StartedAt  time.Time
	FinishedAt time.Time
	Health     *container.Health `json:",omitempty"`
}

type graphDriver struct {
	Data map[string]string
	Name string
}

type networkSettings struct {
	Bridge                 string
	SandboxID              string
	SandboxKey             string
	Ports                  container.PortMap
	HairpinMode            bool
	LinkLocalIPv6Address   string
	LinkLocalIPv6PrefixLen int
	SecondaryIPAddresses   []string
	SecondaryIPv6Addresses []string
	EndpointID             string
	Gateway                string
	GlobalIPv6Address      string
	GlobalIPv6PrefixLen    int
	IPAddress              string
	IPPrefixLen            int
	IPv6Gateway            string
	MacAddress             string
	Networks               map[string]*container.Endpoint
}

func inspect(c *container.Container) *inspected {
	out := &inspected{
		ID: c.ID, Created: c.Created, Path: c.Path, Args: list(c.Args), State: stateOf(c), Image: c.Image,
		ResolvConfPath: c.ResolvConfPath, HostnamePath: c.HostnamePath, HostsPath: c.HostsPath, LogPath: c.LogPath,
		Name: "/" + c.Name, RestartCount: c.RestartCount, Driver: c.Driver, Platform: runtime.GOOS, AppArmorProfile: c.AppArmorProfile,
		ExecIDs: c.ExecIDs, HostConfig: hostAnswer{HostConfig: c.HostConfig}, GraphDriver: containerFolders(c),
		SizeRw: c.SizeRw, SizeRootFs: c.SizeRootFs, Mounts: list(c.Mounts), Config: c.Config,
		NetworkSettings: settingsOf(c),
	}
	return out
}

// containerFolders tells where a container's files lie on the host.
func containerFolders(c *container.Container) graphDriver {
	g := graphDriver{Name: c.Driver, Data: map[string]string{"ID": c.ID}}
	for key, dir := range map[string]string{
		"LowerDir": strings.Join(c.Root.Lower, ":"), "UpperDir": c.Root.Upper, "WorkDir": c.Root.Work, "MergedDir": c.Root.Merged,
	} {
		if dir != "" {
			g.Data[key] = dir
		}
	}
	return g
}

// list gives clients [] where null would surprise them.
func list[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

func stateOf(c *container.Container) stateAnswer {
	s := c.State
	return stateAnswer{
		Status: s.Status, Running: s.Running() || s.Status == container.Restarting, Paused: s.Status == container.Paused,
		Restarting: s.Status == container.Restarting, OOMKilled: s.OOMKilled, Dead: s.Status == container.Dead,
		Pid: s.Pid, ExitCode: s.ExitCode, Error: s.Error,
		StartedAt: s.StartedAt, FinishedAt: s.FinishedAt, Health: s.Health,
	}
}

func settingsOf(c *container.Container) networkSettings {
	s := networkSettings{Ports: container.PortMap{}, Networks: map[string]*container.Endpoint{}}
	if c.State.Running() {
		for port := range c.Config.ExposedPorts {
			s.Ports[port] = nil
		}
		for port, bindings := range c.Ports {
			s.Ports[port] = bindings
		}
		s.SandboxID = c.ID
		s.SandboxKey = fmt.Sprintf("/proc/%d/ns/net", c.State.Pid)
	}
	for name, e := range c.Networks {
		shown := *e
		shown.WantedMAC = "" // no word of Docker's
		s.Networks[name] = &shown
		if name == "bridge" {
			s.EndpointID, s.Gateway, s.IPAddress, s.IPPrefixLen = e.EndpointID, e.Gateway, e.IPAddress, e.IPPrefixLen
			s.MacAddress, s.IPv6Gateway = e.MacAddress, e.IPv6Gateway
			s.GlobalIPv6Address, s.GlobalIPv6PrefixLen = e.GlobalIPv6Address, e.GlobalIPv6PrefixLen
		}
	}
	return s
}

// summary is one row of GET /containers/json.
type summary struct {
	ID              string `json:"Id"`
	Names           []string
	Image           string
	ImageID         string
	Command         string
	Created         int64
	Ports           []port
	SizeRw          int64 `json:",omitempty"`
	SizeRootFs      int64 `json:",omitempty"`
	Labels          map[string]string
	State           string
	Status          string
	HostConfig      hostSummary
	NetworkSettings networksOnly
	Mounts          []container.MountPoint
}

type hostSummary struct {
	NetworkMode string            `json:",omitempty"`
	Annotations map[string]string `json:",omitempty"`
}

type networksOnly struct {
	Networks map[string]*container.Endpoint
}

type port struct {
	IP          string `json:",omitempty"`
	PrivatePort uint16
	PublicPort  uint16 `json:",omitempty"`
	Type        string
}

func summarize(c *container.Container) summary {
	labels := c.Config.Labels
	if labels == nil {
		labels = map[string]string{}
	}
	s := summary{
		ID: c.ID, Names: namesOf(c), Image: c.Config.Image, ImageID: c.Image, Command: command(c),
		Created: c.Created.Unix(), Ports: portsOf(c), Labels: labels, State: c.State.Status, Status: statusText(c, time.Now()),
		HostConfig: hostSummary{NetworkMode: c.HostConfig.NetworkMode, Annotations: c.HostConfig.Annotations},
		Mounts:     list(c.Mounts), NetworkSettings: networksOnly{c.Networks},
	}
	if c.SizeRw != nil {
		s.SizeRw = *c.SizeRw
	}
	if c.SizeRootFs != nil {
		s.SizeRootFs = *c.SizeRootFs
	}
	return s
}

// namesOf are the names a container goes by.
func namesOf(c *container.Container) []string {
	names := []string{"/" + c.Name}
	for _, n := range c.LinkNames {
		names = append(names, "/"+n)
	}
	return names
}

// command is the command line as a person would type it.
func command(c *container.Container) string {
	words := append([]string{c.Path}, c.Args...)
	for i, w := range words {
		if strings.ContainsAny(w, " ") {
			words[i] = "'" + w + "'"
		}
	}
	return strings.Join(words, " ")
}

func portsOf(c *container.Container) []port {
	out := []port{}
	if !c.State.Running() {
		return out
	}
	for name := range c.Config.ExposedPorts {
		p, err := container.ParsePort(name)
		if err == nil && len(c.Ports[name]) == 0 {
			out = append(out, port{PrivatePort: p.Number, Type: p.Proto})
		}
	}
	for name, bindings := range c.Ports {
		p, err := container.ParsePort(name)
		if err != nil {
			continue
		}
		for _, b := range bindings {
			public, _ := strconv.ParseUint(b.HostPort, 10, 16)
			out = append(out, port{IP: b.HostIP, PrivatePort: p.Number, PublicPort: uint16(public), Type: p.Proto})
		}
	}
	slices.SortFunc(out, func(a, b port) int {
		return cmp.Or(cmp.Compare(a.PrivatePort, b.PrivatePort), cmp.Compare(a.Type, b.Type), cmp.Compare(a.PublicPort, b.PublicPort), cmp.Compare(a.IP, b.IP))
	})
	return out
}

// statusText is the STATUS column: programs read its wording.
func statusText(c *container.Container, now time.Time) string {
	s := c.State
	since := func(t time.Time) string { return units.HumanDuration(now.Sub(t)) }
	switch s.Status {
	case container.Running:
		text := "Up " + since(s.StartedAt)
		switch {
		case s.Health == nil || s.Health.Status == container.NoHealthcheck:
		case s.Health.Status == container.Starting:
			text += " (health: starting)"
		default:
			text += " (" + s.Health.Status + ")"
		}
		return text
	case container.Paused:
		return "Up " + since(s.StartedAt) + " (Paused)"
	case container.Restarting:
		return fmt.Sprintf("Restarting (%d) %s ago", s.ExitCode, since(s.FinishedAt))
	case container.Removing:
		return "Removal In Progress"
	case container.Dead:
		return "Dead"
	case container.Created:
		return "Created"
	}
	if s.FinishedAt.IsZero() {
		return "Created"
	}
	return fmt.Sprintf("Exited (%d) %s ago", s.ExitCode, since(s.FinishedAt))
}
