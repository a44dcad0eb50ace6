package compose

import "time"

// Caller is who asks: the process, the user and the command that people typed.
// It is told to others who wait, and kept with what a deployment changed.
type Caller struct {
	Pid     int    `json:"pid,omitempty"`
	User    string `json:"user,omitempty"`
	Command string `json:"command,omitempty"`
}

// Source is the state of the repository that the project's folder is in.
type Source struct {
	Commit  string `json:"commit,omitempty"` // 40 or 64 hexadecimal digits; empty: no repository, or no commit yet
	Branch  string `json:"branch,omitempty"` // empty where HEAD is on none
	Subject string `json:"subject,omitempty"`
	// Dirty are the paths that differ from the commit, at most MaxDirty.
	Dirty []string `json:"dirty,omitempty"`
}

// MaxDirty bounds how many changed paths are kept.
const MaxDirty = 20

// The outcomes of a deployment.
const (
	Underway    = "under way"
	Succeeded   = "ok"
	Failed      = "failed"
	Interrupted = "interrupted" // by Ctrl-C, or by the end of the daemon
	RolledBack  = "rolled back" // an update that failed went back to what was before
)

// Pin is the image that a reference stood for when it was deployed.
type Pin struct {
	ID      string   `json:"id"`
	Digests []string `json:"digests,omitempty"` // at registries, NAME@sha256:...
}

// Deployment is one `up`, or rollback, that changed something.
type Deployment struct {
	ID       int64         `json:"id"`
	Project  string        `json:"project"`
	At       time.Time     `json:"at"`
	Took     time.Duration `json:"took"` // nanoseconds; of one under way: 0
	By       Caller        `json:"by"`
	Source   *Source       `json:"source,omitempty"`
	Services []string      `json:"services,omitempty"` // those asked for; empty: all
	Rollback int64         `json:"rollback,omitempty"` // the deployment gone back to
	Outcome  string        `json:"outcome"`
	Error    string        `json:"error,omitempty"`
	Plan     []string      `json:"plan"` // as it was printed
	// Images are by the reference in the file.
	Images map[string]Pin `json:"images"`
	// Config is the project as it was resolved, without the credentials of
	// registries and the secrets of builds. Lists leave it out.
	Config *Project `json:"config,omitempty"`
}

// Difference is what differs between two deployments.
type Difference struct {
	From  int64    `json:"from"`
	To    int64    `json:"to"`
	Lines []string `json:"lines"` // none: nothing differs
}

// RollbackRequest asks for the state of a former deployment.
type RollbackRequest struct {
	ID      int64  `json:"id"`
	DryRun  bool   `json:"dryRun,omitempty"`
	Timeout *int   `json:"timeout,omitempty"` // seconds to stop what is replaced
	By      Caller `json:"by"`
}
