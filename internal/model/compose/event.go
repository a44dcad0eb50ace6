package compose

import (
	"fmt"
	"time"
)

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
