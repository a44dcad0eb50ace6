// Package wire is the keeper's protocol: what travels over its socket and how
// it is framed.
//
// The socket is of kind SOCK_SEQPACKET, so that a message, its bounds and its
// descriptors stay together. A message begins with one byte: Inline is followed
// by JSON; InFile by nothing, its first descriptor being a sealed memfd with
// the JSON, for what does not fit. Requests carry an id of the client's
// choosing, answers repeat it, in any order.
package wire

import (
	"encoding/json"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"lus/internal/base/errs"
	"lus/internal/model/task"
)

// Version is the protocol's. A keeper answers Hello with its own; a client
// speaks the lower of the two.
const Version = 1

// Bounds of a message.
const (
	MaxInline = 32 << 10 // bytes sent in the message itself
	MaxFile   = 16 << 20 // bytes in a memfd
	MaxFDs    = 250      // descriptors beside a message; the kernel takes 253
	// MaxFiles bounds task.Create.Files: program, standard streams and the
	// message's own memfd come with them.
	MaxFiles = MaxFDs - 5
)

// The first byte of a message.
const (
	Inline = 'J'
	InFile = 'F'
)

// Op names a request.
type Op string

// The requests. See Request for what each needs.
const (
	Hello      Op = "hello"
	Create     Op = "create"
	Go         Op = "go"
	Signal     Op = "signal"
	Resize     Op = "resize"
	Stdin      Op = "stdin"
	CloseStdin Op = "close-stdin"
	List       Op = "list"
	Watch      Op = "watch"
	Ack        Op = "ack"
	Delete     Op = "delete"
	Hold       Op = "hold"
	Take       Op = "take"
	Drop       Op = "drop"
	Held       Op = "held"
	Upgrade    Op = "upgrade"
	Quit       Op = "quit"
)

// Request is one message of a client.
type Request struct {
	ID         uint64       `json:"id"`
	Op         Op           `json:"op"`
	Create     *task.Create `json:"create,omitempty"` // Create; descriptors: see task.Create
	Key        *task.Key    `json:"key,omitempty"`    // Go, Signal, Resize, Stdin, CloseStdin, Ack, Delete
	Generation uint64       `json:"gen,omitempty"`    // Ack
	Signal     int          `json:"sig,omitempty"`    // Signal
	Rows       uint16       `json:"rows,omitempty"`   // Resize
	Cols       uint16       `json:"cols,omitempty"`   // Resize
	Name       string       `json:"name,omitempty"`   // Hold (with descriptors), Take, Drop
	Args       []string     `json:"args,omitempty"`   // Upgrade: the new command line; descriptor: the program
}

// Response is one message of the keeper: an answer, or, with the id of a
// Watch, an exit.
type Response struct {
	ID      uint64        `json:"id"`
	Error   *Error        `json:"error,omitempty"`
	Hello   *Greeting     `json:"hello,omitempty"`
	Status  *task.Status  `json:"status,omitempty"` // Create, Go; every exit of a Watch
	List    []task.Status `json:"list,omitempty"`
	Held    []string      `json:"held,omitempty"`
	Watched bool          `json:"watched,omitempty"` // an exit of a Watch, not its answer
}

// Greeting says who answers.
type Greeting struct {
	Version int    `json:"version"`
	Pid     int    `json:"pid"`
	Build   string `json:"build"` // which build of Lus the keeper is
	// Generation counts the programs that have been this keeper, one after another.
	Generation int `json:"generation"`
}

// Error is an error on its way to the client.
type Error struct {
	Kind  errs.Kind `json:"kind"`
	Msg   string    `json:"msg"`
	Errno int       `json:"errno,omitempty"`
	Step  string    `json:"step,omitempty"`
}

// StepError is why an init could not become the user's program. It is found in
// the chain of what Create and Go return.
type StepError = task.StepError

// FromError makes an error ready to travel.
func FromError(err error) *Error {
	if err == nil {
		return nil
	}
	e := &Error{Kind: errs.KindOf(err), Msg: err.Error()}
	var step *StepError
	if errors.As(err, &step) {
		e.Errno, e.Step = step.Errno, step.Step
	}
	return e
}

// Err is the error that travelled.
func (e *Error) Err() error {
	switch {
	case e == nil:
		return nil
	case e.Step != "":
		return &errs.Error{Kind: e.Kind, Msg: e.Msg, Err: &StepError{Errno: e.Errno, Step: e.Step}}
	default:
		return errs.New(e.Kind, "%s", e.Msg)
	}
}

// Encode frames v. Where it does not fit inline, the returned descriptor (else
// -1) is to be sent as the first one and then closed.
func Encode(v any) (frame []byte, fd int, err error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, -1, err
	}
	if len(b) < MaxInline {
		return append([]byte{Inline}, b...), -1, nil
	}
	if len(b) > MaxFile {
		return nil, -1, errs.New(errs.Invalid, "a message of %d bytes is too long for the keeper, which takes %d", len(b), MaxFile)
	}
	fd, err = unix.MemfdCreate("lus-message", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, -1, fmt.Errorf("memfd for a message: %w", err)
	}
	for rest := b; len(rest) > 0 && err == nil; {
		var n int
		n, err = unix.Write(fd, rest)
		rest = rest[max(n, 0):]
	}
	if err == nil {
		_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals)
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil, -1, fmt.Errorf("memfd for a message: %w", err)
	}
	return []byte{InFile}, fd, nil
}

const seals = unix.F_SEAL_WRITE | unix.F_SEAL_GROW | unix.F_SEAL_SHRINK

// Decode reads a frame into v and returns the descriptors that are left for the
// message. It closes all of them when it fails.
func Decode(frame []byte, fds []int, v any) ([]int, error) {
	b, rest, err := payload(frame, fds)
	if err == nil {
		err = json.Unmarshal(b, v)
	}
	if err != nil {
		CloseAll(rest)
		return nil, errs.New(errs.Invalid, "a message that is none: %w", err)
	}
	return rest, nil
}

func payload(frame []byte, fds []int) ([]byte, []int, error) {
	switch {
	case len(frame) > 1 && frame[0] == Inline:
		return frame[1:], fds, nil
	case len(frame) == 1 && frame[0] == InFile && len(fds) > 0:
		b, err := readSealed(fds[0])
		_ = unix.Close(fds[0])
		return b, fds[1:], err
	default:
		return nil, fds, errors.New("unknown framing")
	}
}

// readSealed reads a memfd that nobody can change or shorten meanwhile, which
// would be read twice or end the reader. Only a memfd has seals at all.
func readSealed(fd int) ([]byte, error) {
	have, err := unix.FcntlInt(uintptr(fd), unix.F_GET_SEALS, 0)
	if err != nil || have&seals != seals {
		return nil, errors.New("its file is not a sealed memfd")
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, err
	}
	if st.Size > MaxFile {
		return nil, fmt.Errorf("%d bytes are too many", st.Size)
	}
	b := make([]byte, st.Size)
	n, err := unix.Pread(fd, b, 0)
	if err != nil {
		return nil, err
	}
	return b[:n], nil
}

// CloseAll closes descriptors.
func CloseAll(fds []int) {
	for _, fd := range fds {
		_ = unix.Close(fd)
	}
}

// Descriptors takes the descriptors out of a message's control data.
func Descriptors(oob []byte) []int {
	if len(oob) == 0 {
		return nil
	}
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil
	}
	var fds []int
	for i := range messages {
		if got, err := unix.ParseUnixRights(&messages[i]); err == nil {
			fds = append(fds, got...)
		}
	}
	return fds
}
