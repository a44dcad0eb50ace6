package build

import "time"

// Status is news of a running build, as BuildKit tells it in JSON.
type Status struct {
	Steps    []Step     `json:"vertexes,omitempty"`
	Parts    []StepPart `json:"statuses,omitempty"`
	Logs     []StepLog  `json:"logs,omitempty"`
	Warnings []Warning  `json:"warnings,omitempty"`
}

// Step is the state of one step; a later one with the same digest replaces it.
type Step struct {
	Digest    string     `json:"digest"`
	Name      string     `json:"name"`
	Started   *time.Time `json:"started,omitempty"`
	Completed *time.Time `json:"completed,omitempty"`
	Cached    bool       `json:"cached,omitempty"`
	Error     string     `json:"error,omitempty"`
}

// StepPart is how far a part of a step is, such as a layer that is pulled. A
// total of 0 is unknown.
type StepPart struct {
	ID        string     `json:"id"`
	Step      string     `json:"vertex"`
	Total     int64      `json:"total,omitempty"`
	Current   int64      `json:"current"`
	Started   *time.Time `json:"started,omitempty"`
	Completed *time.Time `json:"completed,omitempty"`
}

// StepLog is a piece of what a step printed.
type StepLog struct {
	Step   string `json:"vertex"`
	Stream int    `json:"stream,omitempty"` // 1 output, 2 errors
	Data   []byte `json:"data"`
}

// Warning is what the Dockerfile had better not do.
type Warning struct {
	Step   string   `json:"vertex,omitempty"`
	Short  []byte   `json:"short,omitempty"`
	Detail [][]byte `json:"detail,omitempty"`
	URL    string   `json:"url,omitempty"`
	Source *struct {
		Filename string `json:"filename,omitempty"`
	} `json:"sourceInfo,omitempty"`
	Range []struct {
		Start struct {
			Line int `json:"line,omitempty"`
		} `json:"start"`
	} `json:"range,omitempty"`
}
