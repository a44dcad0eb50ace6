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
	LabelEnvFiles    = "com.docker.compose.project.environment_file"
	LabelSlug        = "com.docker.compose.slug"    // of a container of `compose run`
	LabelReplace     = "com.docker.compose.replace" // the name of the container that it replaces
	LabelHook        = "com.docker.compose.hook"    // of a container that runs another's hook
	LabelHookIndex   = "com.docker.compose.hook-index"
)

// Project is a Compose project with names, paths and variables resolved.
type Project struct {
	Name        string    `json:"name"`
	WorkingDir  string    `json:"workingDir"`
	ConfigFiles []string  `json:"configFiles"`
	Services    []Service `json:"services"` // sorted by name
	Networks    []Network `json:"networks"`
	Volumes     []Volume  `json:"volumes"`
	// Known are the names of all services in the files, those that were not asked
	// for included: their containers are no orphans.
	Known []string `json:"known,omitempty"`
	// Bases are services that are not to run, but from whose images others are
	// built: only what concerns their images is set.
	Bases []Service `json:"bases,omitempty"`
	// Auth holds registry credentials of the user who asks, by host.
	Auth map[string]image.Auth `json:"auth,omitempty"`
	// Proxies are the variables that the user chose for what the daemon runs: containers
	// and builds get those that they do not set themselves.
	Proxies map[string]string `json:"proxies,omitempty"`
	// Parallel bounds how much goes on at once: 0 is as much as helps, below 0
	// is no bound.
	Parallel int `json:"parallel,omitempty"`
}

// Service is one service of a project.
type Service struct {
	Name          string         `json:"name"`
	ContainerName string         `json:"containerName,omitempty"` // empty: PROJECT-SERVICE-N
	Scale         int            `json:"scale"`
	Image         string         `json:"image"` // what to run; PROJECT-SERVICE where only built
	Platform      string         `json:"platform,omitempty"`
	Build         *build.Request `json:"build,omitempty"`
	BuildFrom     []string       `json:"buildFrom,omitempty"`  // services whose images the build uses, sorted
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
	// Contents are the configs and secrets that are shown as files of the host.
	Contents []Content `json:"contents,omitempty"`
	// Update and Rollback say how several containers, or one that may not be
	// missed, are replaced; nil: the defaults.
	Update   *Update `json:"update,omitempty"`
	Rollback *Update `json:"rollback,omitempty"`
	// Files are put into a container when it is made: secrets and configs that are
	// no files of the host, or that must belong to somebody else.
	Files []File `json:"files,omitempty"`
	// PreStart are containers that run one after the other, each to its end, before
	// the service's own start.
	PreStart []PreStart `json:"preStart,omitempty"`
	// PostStart and PreStop are run in a container, one after the other, once it
	// has started and before it is asked to stop.
	PostStart []Hook `json:"postStart,omitempty"`
	PreStop   []Hook `json:"preStop,omitempty"`
}

// File is a file to be put into a container.
type File struct {
	Key    string `json:"key"`    // configs.NAME or secrets.NAME
	Target string `json:"target"` // absolute
	Data   []byte `json:"data"`
	// Sum is what Data was, where that is not kept: sha256, hexadecimal digits.
	Sum  string `json:"sum,omitempty"`
	UID  int    `json:"uid"`
	GID  int    `json:"gid"`
	Mode uint32 `json:"mode"`
}

// Update is how the containers of a service are replaced.
type Update struct {
	Parallelism     int           `json:"parallelism"` // at a time; 0: all
	Delay           time.Duration `json:"delay,omitempty"`
	Monitor         time.Duration `json:"monitor,omitempty"`         // how long a new one has to hold
	MaxFailureRatio float64       `json:"maxFailureRatio,omitempty"` // up to 1
	FailureAction   string        `json:"failureAction,omitempty"`   // one of the On... constants; empty: OnFailurePause
	StartFirst      bool          `json:"startFirst,omitempty"`      // the new one is ready before the old one goes
}

// What happens where more of an update fails than may.
const (
	OnFailurePause    = "pause"    // the rest stays as it was
	OnFailureContinue = "continue" // the rest is replaced all the same
	OnFailureRollback = "rollback" // what was replaced comes back
)

// MaxFile is how much of a config or secret that is a file counts, in bytes.
const MaxFile = 64 << 20

// Content is a config or secret that is a file of the host.
type Content struct {
	Key  string `json:"key"` // configs.NAME or secrets.NAME
	Path string `json:"path"`
	Sum  string `json:"sum"` // sha256, in hexadecimal digits
}

// Hook is a command that is run in a container.
type Hook struct {
	Cmd        []string `json:"cmd"`
	User       string   `json:"user,omitempty"`
	Privileged bool     `json:"privileged,omitempty"`
	WorkingDir string   `json:"workingDir,omitempty"`
	Env        []string `json:"env,omitempty"`
}

// PreStart is a container that must end well before a service's own start.
type PreStart struct {
	Image        string        `json:"image"`
	Platform     string        `json:"platform,omitempty"`
	PullPolicy   string        `json:"pullPolicy,omitempty"`
	RefreshAfter time.Duration `json:"refreshAfter,omitempty"`
	// PerReplica runs one for each container of the service, and not for the first
	// alone.
	PerReplica bool `json:"perReplica,omitempty"`
	// Create is the container to be. It sees what the service's own container
	// mounts, unless it mounts something else there.
	Create   container.CreateRequest `json:"create"`
	Files    []File                  `json:"files,omitempty"`
	Contents []Content               `json:"contents,omitempty"`
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
