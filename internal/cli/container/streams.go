package container

import (
	"context"
	"errors"
	"io"
	"net/url"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"lus/internal/cli/command"
	"lus/internal/cli/interrupt"
	"lus/internal/cli/terminal"
	"lus/internal/client"
)

// joined is this terminal or these pipes, joined to a process's streams.
type joined struct {
	e      *command.Env
	stream *client.Stream
	tty    bool
	stdin  bool
	stdout io.Writer // io.Discard where it is not attached
	stderr io.Writer
	keys   *terminal.Keys
	// run is told the exit code by the stream, after the output; nil: it ends with
	// the output.
	run  *client.Run
	code int
	// seen is called before output is shown; nil: nothing is to be.
	seen func()
	// passed: signals are passed on to the process, and do not end this program.
	passed bool

	leaving  atomic.Bool   // the user typed the detach keys, or is gone
	detached chan struct{} // closed once the daemon was told
}

// detaching reads the keys that detach: as typed, or the user's own of the
// configuration file. They are looked for on a terminal only.
func detaching(e *command.Env, typed *string, tty bool) (*terminal.Keys, error) {
	if *typed == "" && tty {
		*typed = e.Config().DetachKeys
	}
	return terminal.ParseKeys(*typed)
}

// outputs returns where output goes: a stream that is not attached, nowhere.
func outputs(e *command.Env, out, err bool) (stdout, stderr io.Writer) {
	stdout, stderr = io.Discard, io.Discard
	if out {
		stdout = e.Out
	}
	if err {
		stderr = e.Err
	}
	return stdout, stderr
}

// copy carries output until it ends and input meanwhile. A terminal is raw while
// it does. It reports whether the user detached.
func (j *joined) copy() (detached bool, err error) {
	if j.tty && j.stdin && terminal.Is(j.e.In) {
		restore, err := terminal.Raw(j.e.In)
		if err != nil {
			return false, err
		}
		defer restore()
		if !j.passed {
			defer interrupt.Undo(restore)()
		}
	}
	if !j.stdin { // then nobody types the keys that detach
		return false, j.output()
	}
	j.detached = make(chan struct{})
	go j.input() // ends with the stream or, waiting for a key, with the program
	ended := make(chan error, 1)
	go func() { ended <- j.output() }()
	select {
	case err = <-ended:
		if j.leaving.Load() { // ending the stream was our own doing
			return true, nil
		}
		return false, err
	case <-j.detached:
		_ = j.stream.Close()
		return true, nil
	}
}

// output carries output until it ends. Where the end comes with it, output that
// cannot be written is complained of, and the end waited for.
func (j *joined) output() (err error) {
	if j.run != nil {
		j.code, err = j.run.Follow(&lenient{to: j.stdout, e: j.e, seen: j.seen}, &lenient{to: j.stderr, e: j.e, seen: j.seen})
		return err
	}
	if j.stream.Framed {
		return client.Demultiplex(j.stdout, j.stderr, j.stream)
	}
	_, err = io.Copy(j.stdout, j.stream)
	return err
}

// lenient takes all that is written: what fails is complained of once, and what
// comes after that goes nowhere.
type lenient struct {
	to   io.Writer
	e    *command.Env
	seen func() // called before each write; may be nil
}

// Write implements io.Writer.
func (l *lenient) Write(p []byte) (int, error) {
	if l.seen != nil {
		l.seen()
	}
	if _, err := l.to.Write(p); err != nil {
		l.e.Complain(err)
		l.to = io.Discard
	}
	return len(p), nil
}

// input carries what is typed. The end of it is told to the process, which may
// write on.
func (j *joined) input() {
	buf := make([]byte, 32<<10)
	for {
		n, err := j.e.In.Read(buf)
		p := buf[:n]
		detach := false
		if j.tty && j.keys != nil {
			p, detach = j.keys.Typed(p)
		}
		if detach {
			// The daemon knows the keys too: it tells of it, and may end the
			// stream before we do.
			j.leaving.Store(true)
			p = append(p, j.keys.Sequence()...)
		}
		if len(p) > 0 {
			if _, werr := j.stream.Write(p); werr != nil {
				return
			}
		}
		if detach {
			close(j.detached)
			return
		}
		if err != nil && !errors.Is(err, io.EOF) && j.tty {
			// The terminal is gone, and nobody there to see more.
			j.leaving.Store(true)
			close(j.detached)
			return
		}
		if err != nil {
			_ = j.stream.CloseWrite()
			return
		}
	}
}

// sendSize tells the process this terminal's size, or one that is larger by so
// much. The path is of a container or an exec.
func sendSize(ctx context.Context, e *command.Env, path string, more uint) {
	if rows, cols := terminal.Size(e.Out); rows > 0 && cols > 0 {
		// A process that has ended has no size.
		_ = post(ctx, e, path, url.Values{"h": {strconv.Itoa(int(rows + more))}, "w": {strconv.Itoa(int(cols + more))}})
	}
}

// resize tells the process this terminal's size, now and whenever it changes. It
// ends with ctx.
func resize(ctx context.Context, e *command.Env, path string) {
	send := func() { sendSize(ctx, e, path, 0) }
	changed := make(chan os.Signal, 1)
	signal.Notify(changed, syscall.SIGWINCH)
	defer signal.Stop(changed)
	send() // now that no change of it is missed
	for {
		select {
		case <-changed:
			send()
		case <-ctx.Done():
			return
		}
	}
}

// caught are the signals that people and programs send to a command. All that
// there are would be dear: the Go runtime takes a round trip between two threads for
// each, and the short life of `run` feels sixty of those.
func caught() []os.Signal {
	return []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGCONT, syscall.SIGALRM}
}

// catchSignals catches those that are passed on: none ends the program any more.
// It ends soon after the container, so they stay caught.
func catchSignals() chan os.Signal {
	ch := make(chan os.Signal, 32)
	signal.Notify(ch, caught()...)
	return ch
}

// catchSoon is catchSignals for a container that is being started: SIGINT and
// SIGTERM at once, the rest with all, or if it lives on. Who has seen output of a
// process may answer it with a signal: all comes before that.
func catchSoon() (ch chan os.Signal, all func()) {
	ch = make(chan os.Signal, 32)
	first, rest := caught()[:2], caught()[2:]
	signal.Notify(ch, first...)
	all = sync.OnceFunc(func() { signal.Notify(ch, rest...) })
	time.AfterFunc(20*time.Millisecond, all)
	return ch, all
}

// passSignals passes signals on to the container until ctx ends.
func passSignals(ctx context.Context, e *command.Env, id string, caught <-chan os.Signal) {
	for {
		select {
		case s := <-caught:
			n, _ := s.(syscall.Signal)
			name := strings.TrimPrefix(unix.SignalName(n), "SIG")
			_ = post(ctx, e, path(id, "kill"), url.Values{"signal": {name}}) // it may just have ended
		case <-ctx.Done():
			return
		}
	}
}
