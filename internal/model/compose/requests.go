package compose

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
	All         bool     `json:"all,omitempty"`      // what the project's file does not name too
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
