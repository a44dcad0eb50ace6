// Package compose holds the words between those who read a Compose file
// (lus-compose, as the user) and the daemon's service that carries it out: a
// project with everything resolved, the plan made of it, and what happens
// while it is carried out.
package compose

import (
	"time"

	"lus/internal/model/build"
	"lus/internal/model/container"
	"lus/internal/model/image"
	"lus/internal/model/network"
	"lus/internal/model/volume"
)

// The labels by which a project's parts are known. They are docker compose's,
// so that each sees the other's projects.
const (
	LabelProject     = "com.docker.compose.project"
	LabelService     = "com.docker.compose.service"
	LabelNumber      = "com.docker.compose.container-number"
	LabelOneoff      = "com.docker.compose.oneoff"
	LabelConfigHash  = "com.docker.compose.config-hash"
	LabelImage       = "com.docker.compose.image"
	LabelDependsOn   = "com.docker.compose.depends_on"
	LabelWorkingDir  = "com.docker.compose.project.working_dir"
	LabelConfigFiles = "com.docker.compose.project.config_files"
	LabelNetwork     = "com.docker.compose.network"
	LabelVolume      = "com.docker.compose.volume"
	LabelVersion     = "com.docker.compose.version"
)

// Project is a Compose project with names, paths and variables resolved.
type Project struct {
	Name        string    `json:"name"`
	WorkingDir  string    `json:"workingDir"`
	ConfigFiles []string  `json:"configFiles"`
	Services    []Service `json:"services"` // sorted by name
	Networks    []Network `json:"networks"`
	Volumes     []Volume  `json:"volumes"`
	// Auth holds registry credentials of the user who asks, by host.
	Auth map[string]image.Auth `json:"auth,omitempty"`
}

// Service is one service of a project.
type Service struct {
	Name          string         `json:"name"`
	ContainerName string         `json:"containerName,omitempty"` // empty: PROJECT-SERVICE-N
	Scale         int            `json:"scale"`
	Image         string         `json:"image"` // what to run; PROJECT-SERVICE where only built
	Platform      string         `json:"platform,omitempty"`
	Build         *build.Request `json:"build,omitempty"`
	PullPolicy    string         `json:"pullPolicy,omitempty"` // always, missing, never, build or refresh
	// RefreshAfter is how old an image may be before pull policy refresh looks
	// for a newer one.
	RefreshAfter time.Duration `json:"refreshAfter,omitempty"`
	// Quiet leaves its output out of what a foreground up shows (attach: false).
	Quiet     bool         `json:"quiet,omitempty"`
	DependsOn []Dependency `json:"dependsOn,omitempty"`
	// Hold leaves the containers unstarted once all they wait for holds: whoever
	// asks starts them, attached from the first byte.
	Hold bool `json:"hold,omitempty"`
	// Create is the container to be, less its name and number. Its networks are
	// already by their real names.
	Create container.CreateRequest `json:"create"`
	// Hash changes when anything of the service that a container is made from does.
	Hash string `json:"hash"`
}

// Dependency says that a service waits for another.
type Dependency struct {
	Service   string `json:"service"`
	Condition string `json:"condition"` // one of the Service... constants
	Restart   bool   `json:"restart,omitempty"`
	Required  bool   `json:"required"`
}

// The conditions of a dependency.
const (
	ServiceStarted   = "service_started"
	ServiceHealthy   = "service_healthy"
	ServiceCompleted = "service_completed_successfully"
)

// Network is a network of a project.
type Network struct {
	Key      string          `json:"key"` // its name in the file
	External bool            `json:"external,omitempty"`
	Network  network.Network `json:"network"`
}

// Volume is a named volume of a project.
type Volume struct {
	Key      string               `json:"key"`
	External bool                 `json:"external,omitempty"`
	Volume   volume.CreateRequest `json:"volume"`
}

// UpRequest asks for a project to run.
type UpRequest struct {
	Project       *Project `json:"project"`
	Services      []string `json:"services,omitempty"` // empty: all; dependencies come along
	Build         bool     `json:"build,omitempty"`    // build even where an image exists
	NoBuild       bool     `json:"noBuild,omitempty"`
	ForceRecreate bool     `json:"forceRecreate,omitempty"`
	NoRecreate    bool     `json:"noRecreate,omitempty"`
	NoStart       bool     `json:"noStart,omitempty"`
	RemoveOrphans bool     `json:"removeOrphans,omitempty"`
	Wait          bool     `json:"wait,omitempty"`    // until running or healthy
	Timeout       *int     `json:"timeout,omitempty"` // seconds to stop what is replaced
	DryRun        bool     `json:"dryRun,omitempty"`
}

// DownRequest asks for a project to be removed.
type DownRequest struct {
	Name string `json:"name"`
	// Project tells what the file knows of: order, networks, volumes. Nil where
	// there is no file: what carries the project's labels goes.
	Project       *Project `json:"project,omitempty"`
	Volumes       bool     `json:"volumes,omitempty"`
	RemoveOrphans bool     `json:"removeOrphans,omitempty"`
	Timeout       *int     `json:"timeout,omitempty"` // seconds
}

// BuildRequest asks for a project's images.
type BuildRequest struct {
	Project  *Project `json:"project"`
	Services []string `json:"services,omitempty"` // empty: all that have a build section
	NoCache  bool     `json:"noCache,omitempty"`
	Pull     bool     `json:"pull,omitempty"`
}

// PullRequest asks for the images of services that are not built.
type PullRequest struct {
	Project  *Project `json:"project"`
	Services []string `json:"services,omitempty"` // empty: all
}

// Action is what a step of a plan does.
type Action string

// The actions, in the order in which a reader meets them.
const (
	CreateNetwork   Action = "create network"
	CreateVolume    Action = "create volume"
	PullImage       Action = "pull"
	BuildImage      Action = "build"
	CreateContainer Action = "create"
	Recreate        Action = "recreate"
	StartContainer  Action = "start"
	StopContainer   Action = "stop"
	RemoveContainer Action = "remove"
	RemoveNetwork   Action = "remove network"
	RemoveVolume    Action = "remove volume"
	Keep            Action = "keep" // nothing to do: it is as it should be
)

// Event tells the user of one step, or of the whole.
type Event struct {
	Kind    string        `json:"kind,omitempty"` // Network, Volume, Image, Container
	Name    string        `json:"name,omitempty"`
	Status  string        `json:"status,omitempty"` // Creating, Created, Starting, Started, Waiting, Healthy, ...
	Text    string        `json:"text,omitempty"`   // lines of a build, notes
	Warning string        `json:"warning,omitempty"`
	Took    time.Duration `json:"took,omitempty"` // of the step that ended, in nanoseconds
	Done    bool          `json:"done,omitempty"` // this step has ended
	// Error ends the stream.
	Error     string `json:"error,omitempty"`
	ErrorKind uint8  `json:"errorKind,omitempty"`
}
