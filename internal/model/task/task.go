// Package task holds the words between those who start processes (the runtime)
// and the keeper, their parent: what to fork, what runs, how it ended. They
// travel over the keeper's socket as JSON, with file descriptors beside them.
//
// # The init's side of the contract
//
// The keeper forks the init from a sealed memfd and hands it
//
//	fd 0, 1, 2  the process's standard streams
//	fd 3        its program: a memfd with the operations to carry out (linux/init)
//	fd 4        the status socket (SOCK_SEQPACKET), close-on-exec
//	fd 5...     Create.Files, in order, for the operations to use
//
// On the status socket the init sends, and the keeper receives:
//
//	'R'                      namespaces are there; the process waits for 'G' before its last step
//	'P' int32le pid          the process that will run is another, which the keeper is or will be the
//	                         parent of: that of an exec, or one that another runtime made; the init itself ends
//	'T' and a descriptor     the terminal that another runtime made (Streams.Late)
//	'E' int32le errno, text  a step failed; text names it ("mount /proc", "exec /bin/foo"); the init ends
//	end of file              without an 'E': the exec happened, the process runs
//
// and the keeper sends 'G' once the process may go on.
package task

import (
	"syscall"
	"time"
)

// ExitUnknown is the code of a process whose end nobody could see.
const ExitUnknown = -1

// Key names one process: a container's first one (Exec empty) or one of its execs.
type Key struct {
	Container string `json:"c"`
	Exec      string `json:"e,omitempty"`
}

// Create asks the keeper to fork an init that waits. It is idempotent by Key
// and Generation: asking again for what exists answers with what exists.
//
// The descriptors beside it, in order: the program, then Stdio (where Streams
// says so, three of them, or a terminal's master), then Files.
type Create struct {
	Key
	Generation uint64 `json:"gen"`
	// CloneFlags are the namespaces to fork into (CLONE_NEW*). CLONE_NEWNS and
	// the like only; a cgroup namespace is left to the program, which enters
	// its cgroups first.
	CloneFlags uintptr `json:"flags"`
	Streams    Streams `json:"streams"`
	// Tied: kill the process when the connection that created it ends. Builds
	// and attached execs are tied to their daemon; containers never are.
	Tied bool `json:"tied,omitempty"`
	// Go: the process needs no word to go on, and the answer comes once it has become
	// the user's program, as that to Go does. A keeper that does not know this
	// answers that it waits.
	Go bool `json:"go,omitempty"`
	// CgroupKill is a cgroup folder (of a v2 tree, or of v1's pids or freezer)
	// whose members are killed when the first process ends without a pid
	// namespace of its own; empty where the namespace does that.
	CgroupKill string `json:"cgkill,omitempty"`
	// OOM is a file whose text tells of a kill by the memory limit
	// (memory.events or memory.oom_control); empty where nobody asks.
	OOM string `json:"oom,omitempty"`
	// Record is what the start record keeps for a daemon that comes back: the
	// keeper stores it and returns it in Status unread.
	Record []byte `json:"record,omitempty"`
	// Files counts the descriptors for the program, after program and stdio.
	Files int `json:"files"`
}

// Streams says where the process's standard streams go.
type Streams struct {
	// Kind is "log" (the keeper makes pipes and drains them into Log),
	// "terminal" (one terminal, drained into Log), "null", or "given" (three
	// descriptors come with the request; the keeper keeps none of them).
	Kind  string `json:"kind"`
	Stdin bool   `json:"stdin,omitempty"` // log: keep a pipe open for standard input, else /dev/null
	// UID and GID own the pipes or the terminal, so that a process that is not
	// root can open /dev/stdout.
	UID int `json:"uid"`
	GID int `json:"gid"`
	// Master: a terminal's master side comes with the request, after the
	// program. It is of the container's own devpts, so that the terminal has a
	// name inside; without it the keeper opens one of the host's.
	Master bool `json:"master,omitempty"`
	// Late: the terminal is made by another runtime; its master side comes from
	// the init ('T'). Until then the init has no streams.
	Late bool `json:"late,omitempty"`
	// Rows and Cols are the terminal's first size; zero leaves the kernel's.
	Rows uint16 `json:"rows,omitempty"`
	Cols uint16 `json:"cols,omitempty"`
	Log  Log    `json:"log"`
}

// The kinds of Streams.
const (
	StreamLog      = "log"
	StreamTerminal = "terminal"
	StreamNull     = "null"
	StreamGiven    = "given"
)

// Log is where the keeper appends what it drains, as records of store/logs.
type Log struct {
	Path     string `json:"path"`
	MaxSize  int64  `json:"max,omitempty"`   // bytes a file; 0 is 10 MiB
	MaxFiles int    `json:"files,omitempty"` // 0 is 5
	// Drop: when the disk is full or slow, drop and count rather than let the
	// container wait.
	Drop bool `json:"drop,omitempty"`
	// Device is the one that the log's folder lies on; 0: nobody has looked.
	Device uint64 `json:"device,omitempty"`
}

// Status is what the keeper knows about one process.
type Status struct {
	Key
	Generation uint64    `json:"gen"`
	Phase      Phase     `json:"phase"`
	Pid        int       `json:"pid"`   // in the keeper's pid namespace; 0 once reaped
	StartTime  uint64    `json:"start"` // field 22 of /proc/PID/stat, to tell a reused pid
	Started    time.Time `json:"started,omitzero"`
	Exit       *Exit     `json:"exit,omitempty"` // kept until acknowledged
	Record     []byte    `json:"record,omitempty"`
}

// Phase is how far a process has come.
type Phase string

// The phases, in order.
const (
	Waiting Phase = "waiting" // forked, not told to go
	Running Phase = "running" // the exec happened
	Ended   Phase = "ended"   // Exit is set
)

// StepError is why an init could not become the user's program. It is found in
// the chain of what the keeper's Create and Go return.
type StepError struct {
	Errno int
	Step  string
}

// Error tells the step and the kernel's word for what went wrong.
func (e *StepError) Error() string { return e.Step + ": " + syscall.Errno(e.Errno).Error() }

// Exit is how a process ended.
type Exit struct {
	Code   int       `json:"code"` // 0 to 255; 128+n by signal n
	Signal int       `json:"signal,omitempty"`
	OOM    bool      `json:"oom,omitempty"`
	At     time.Time `json:"at"`
	// Errno and Step are set where the process never came to its exec.
	Errno int    `json:"errno,omitempty"`
	Step  string `json:"step,omitempty"`
}
