package container

import (
	"io"
	"time"

	"lus/internal/model/filter"
)

// RemoveOptions are the options of removing a container.
type RemoveOptions struct {
	Force   bool // kill it first
	Volumes bool // and its anonymous volumes
	Link    bool // only the link that the name, CONTAINER/ALIAS, is of
}

// ListOptions are the options of listing containers.
type ListOptions struct {
	All     bool
	Limit   int
	Size    bool
	Filters filter.Filters
}

// LogOptions are the options of reading a container's output.
type LogOptions struct {
	Stdout, Stderr bool
	Follow         bool
	Run            bool      // what is followed ends with the run under way
	Since, Until   time.Time // zero: no bound
	Tail           int       // lines from the end; negative: all
	Timestamps     bool
}

// LogRecord is one piece of output. Partial pieces have no newline at their end.
type LogRecord struct {
	Time   time.Time
	Stderr bool
	Data   []byte
}

// LogReader gives records in order; io.EOF after the last. Data stays valid
// until the next call.
type LogReader interface {
	Next() (LogRecord, error)
	Close() error
}

// AttachOptions are the options of attaching to a container.
type AttachOptions struct {
	Stdin, Stdout, Stderr bool
	Logs                  bool // what was written before, first
	Stream                bool // and what comes
	DetachKeys            string
}

// Stream is the joined input and output of a container or an exec. Output is
// read from Out until io.EOF; what is written to In reaches standard input.
type Stream struct {
	Tty bool
	Out LogReader
	In  io.WriteCloser // nil where standard input was not asked for; Close half-closes
	// Detach ends the stream and leaves the process alone.
	Detach func() error
	// Left is told when the user left by the detach keys.
	Left func()
}
