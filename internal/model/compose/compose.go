// Package compose holds the words between those who read a Compose file
// (lus-compose, as the user) and the daemon's service that carries it out: a
// project with everything resolved, the plan made of it, and what happens
// while it is carried out.
package compose

import (
	"fmt"
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
	// RecreateDeps replaces also what the services asked for depend on.
	RecreateDeps bool `json:"recreateDeps,omitempty"`
	// NewVolumes gives what is replaced new anonymous volumes.
	NewVolumes bool `json:"newVolumes,omitempty"`
	// IgnoreOrphans says nothing of containers whose service is gone.
	IgnoreOrphans bool   `json:"ignoreOrphans,omitempty"`
	Pull          string `json:"pull,omitempty"` // always, missing or never: instead of the services' own
	QuietPull     bool   `json:"quietPull,omitempty"`
	QuietBuild    bool   `json:"quietBuild,omitempty"`
	WaitTimeout   int    `json:"waitTimeout,omitempty"` // seconds that Wait may take; 0: no bound
	By            Caller `json:"by"`
	// RollbackTo is the deployment that this goes back to; the daemon's own.
	RollbackTo int64 `json:"-"`
}

// StateRequest asks for containers that exist to be started, stopped or both.
type StateRequest struct {
	Name        string   `json:"name"`
	Project     *Project `json:"project,omitempty"`  // for hooks; nil where there is no file
	Services    []string `json:"services,omitempty"` // empty: all
	Timeout     *int     `json:"timeout,omitempty"`  // seconds to let a container stop
	NoDeps      bool     `json:"noDeps,omitempty"`   // restart: leave dependents alone
	Wait        bool     `json:"wait,omitempty"`     // start: until running or healthy
	WaitTimeout int      `json:"waitTimeout,omitempty"`
	Parallel    int      `json:"parallel,omitempty"`
	DryRun      bool     `json:"dryRun,omitempty"`
	By          Caller   `json:"by"`
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
	// Services limits it to their containers; networks and volumes stay.
	Services []string `json:"services,omitempty"`
	// Images removes images too: all that the services use, or those that were
	// built here and have no name of their own (local).
	Images   string `json:"images,omitempty"`
	Parallel int    `json:"parallel,omitempty"`
	DryRun   bool   `json:"dryRun,omitempty"`
	By       Caller `json:"by"`
}

// BuildRequest asks for a project's images.
type BuildRequest struct {
	Project  *Project `json:"project"`
	Services []string `json:"services,omitempty"` // empty: all that have a build section
	NoCache  bool     `json:"noCache,omitempty"`
	Pull     bool     `json:"pull,omitempty"`
	Check    bool     `json:"check,omitempty"` // the Dockerfiles, and build nothing
	DryRun   bool     `json:"dryRun,omitempty"`
}

// PullRequest asks for the images of services that are not built.
type PullRequest struct {
	Project  *Project `json:"project"`
	Services []string `json:"services,omitempty"` // empty: all
	Missing  bool     `json:"missing,omitempty"`  // leave what is here
	// IgnoreBuildable leaves out what can be built; else it is pulled where it
	// has a name of its own.
	IgnoreBuildable bool `json:"ignoreBuildable,omitempty"`
	IgnoreFailures  bool `json:"ignoreFailures,omitempty"` // go on without
	Quiet           bool `json:"quiet,omitempty"`
	DryRun          bool `json:"dryRun,omitempty"`
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
	RemoveImage     Action = "remove image"
	RunHook         Action = "run"
	Keep            Action = "keep" // nothing to do: it is as it should be
)

// Event tells the user of one step, or of the whole.
type Event struct {
	Kind    string `json:"kind,omitempty"` // Network, Volume, Image, Container
	Name    string `json:"name,omitempty"`
	Status  string `json:"status,omitempty"` // Creating, Created, Starting, Started, Waiting, Healthy, ...
	Text    string `json:"text,omitempty"`   // lines of a build, notes
	Warning string `json:"warning,omitempty"`
	// Progress is how far a step under way is, as "12MB / 40MB".
	Progress string `json:"progress,omitempty"`
	// Plan is a line of what would be done; a dry run has nothing else to say.
	Plan string `json:"plan,omitempty"`
	// Deployment is told once what is done is being recorded, under this number.
	Deployment int64         `json:"deployment,omitempty"`
	Took       time.Duration `json:"took,omitempty"` // of the step that ended, in nanoseconds
	Done       bool          `json:"done,omitempty"` // this step has ended
	// Error ends the stream.
	Error     string `json:"error,omitempty"`
	ErrorKind uint8  `json:"errorKind,omitempty"`
}

// Line is the event as a line for people, with its line feed; empty where it is
// not worth one. Quiet leaves only warnings.
func (e Event) Line(quiet bool) string {
	switch {
	case e.Warning != "":
		return "warning: " + e.Warning + "\n"
	case quiet:
		return ""
	case e.Text != "":
		return e.Text
	case e.Progress != "":
		return ""
	case e.Status == "Waiting" || e.Status == "Building" || e.Status == "Pulling" || e.Done && e.Took == 0:
		return fmt.Sprintf(" %s %s  %s\n", e.Kind, e.Name, e.Status)
	case e.Done:
		return fmt.Sprintf(" %s %s  %s  %.1fs\n", e.Kind, e.Name, e.Status, e.Took.Seconds())
	}
	return ""
}
