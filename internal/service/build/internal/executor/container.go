package executor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/moby/buildkit/executor"
	gatewayapi "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"lus/internal/base/errs"
	"lus/internal/linux/runtime"
	"lus/internal/model/task"
)

// container creates the step's container, joins its network, lets it go and
// waits for its end.
func (e *Executor) container(ctx context.Context, s *step, b *bundle, process executor.ProcessInfo, announce func()) (err error) {
	key := task.Key{Container: s.id}
	wait := e.exits.expect(key)
	defer e.exits.forget(key)
	io, err := newStreams(process, s.spec.Process.User)
	if err != nil {
		return err
	}
	defer io.abort()
	p, err := e.o.Runtime.Create(ctx, &runtime.Container{
		ID:         s.id,
		Generation: 1,
		Spec:       s.spec,
		Rootfs:     runtime.Rootfs{Path: s.rootfs},
		Cgroup:     e.cgroup(s.id, process.Meta.CgroupParent),
		Streams:    task.Streams{Kind: task.StreamGiven, UID: int(s.spec.Process.User.UID), GID: int(s.spec.Process.User.GID)},
		Given:      io.given,
		Tied:       true,
	})
	if err != nil {
		return fmt.Errorf("creating the step's container: %w", err)
	}
	defer func() {
		err = errors.Join(err, e.o.Runtime.Delete(context.WithoutCancel(ctx), s.id))
	}()
	if p.NetNS != nil {
		b.onClose(p.NetNS.Close)
	}
	if err := e.attach(ctx, s, b, process.Meta.NetMode, p.NetNS); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	io.run()
	if err := e.o.Runtime.Start(ctx, key); err != nil {
		return startError(err)
	}
	close(s.started)
	announce()
	kill := func() error { return e.o.Runtime.SignalAll(context.WithoutCancel(ctx), s.id, int(unix.SIGKILL)) }
	exit, err := e.wait(ctx, key, wait, process.Signal, kill)
	if err != nil {
		return err
	}
	io.wait()
	return exitError(ctx, exit, process.Meta.ValidExitCodes)
}

// cgroup is the step's own control group, relative to the hierarchies' roots:
// below the builder's, or below the one that the build names.
func (e *Executor) cgroup(id, parent string) string {
	if parent == "" {
		return filepath.Join(e.o.Cgroup, id)
	}
	return strings.TrimPrefix(filepath.Join("/", parent, id), "/")
}

// attach joins the step to the default network, where it is to have one.
func (e *Executor) attach(ctx context.Context, s *step, b *bundle, mode pb.NetMode, netns *os.File) error {
	if mode != pb.NetMode_UNSET || e.o.Network == nil {
		return nil
	}
	if netns == nil {
		return errs.New(errs.Internal, "the runtime gave no network namespace for %s", s.id)
	}
	resolv, release, err := e.o.Network.Attach(ctx, s.id, netns)
	if err != nil {
		return fmt.Errorf("joining the step to the network: %w", err)
	}
	b.onClose(func() error { release(); return nil })
	// The file is bound into the container already: write into it, do not
	// replace it.
	_, err = b.file("resolv.conf", resolv)
	return err
}

// killAgain is how long a killed step may take to end before it is killed
// again: the first signal may have come before there was anything to hit.
const killAgain = 100 * time.Millisecond

// wait returns how the process ended. It forwards signals, and kills when ctx ends.
func (e *Executor) wait(ctx context.Context, key task.Key, ended <-chan result, signals <-chan syscall.Signal, kill func() error) (task.Exit, error) {
	done := ctx.Done()
	var again <-chan time.Time
	for {
		select {
		case r := <-ended:
			return r.exit, r.err
		case <-done:
			done = nil
			again = time.After(0)
		case <-again:
			again = time.After(killAgain)
			if err := kill(); err != nil && !errs.Is(err, errs.NotFound) {
				e.o.Log.Warn("killing a cancelled build step", "container", key.Container, "err", err)
			}
		case sig, ok := <-signals:
			if !ok {
				signals = nil
				continue
			}
			if err := e.o.Runtime.Signal(ctx, key, int(sig)); err != nil && !errs.Is(err, errs.NotFound) {
				e.o.Log.Warn("signalling a build step", "container", key.Container, "err", err)
			}
		}
	}
}

// startError is the error of a process that could not become its program, with
// the exit code that a shell would give.
func startError(err error) error {
	switch errs.KindOf(err) {
	case errs.CommandNotFound:
		return &gatewayapi.ExitError{ExitCode: 127, Err: err}
	case errs.CommandNotExecutable:
		return &gatewayapi.ExitError{ExitCode: 126, Err: err}
	}
	return fmt.Errorf("starting the step: %w", err)
}

// exitError turns an exit into the error that BuildKit knows, nil for one that
// is allowed.
func exitError(ctx context.Context, exit task.Exit, valid []int) error {
	if valid == nil {
		valid = []int{0}
	}
	if exit.Errno == 0 && exit.Step == "" && slices.Contains(valid, exit.Code) {
		return nil
	}
	out := &gatewayapi.ExitError{ExitCode: gatewayapi.UnknownExitStatus}
	if exit.Code >= 0 {
		out.ExitCode = uint32(exit.Code)
	}
	switch {
	case ctx.Err() != nil:
		out.Err = fmt.Errorf("the step was stopped: %w", context.Cause(ctx))
	case exit.OOM:
		out.Err = errors.New("the step was killed because it ran out of memory")
	case exit.Step != "":
		out.Err = fmt.Errorf("%s: %w", exit.Step, syscall.Errno(exit.Errno))
	}
	return out
}

// streams joins BuildKit's readers and writers to the pipes of a process.
type streams struct {
	process executor.ProcessInfo
	given   [3]*os.File // the container's ends
	ours    [3]*os.File
	started bool
	copies  sync.WaitGroup
}

// newStreams makes the pipes. They belong to the process's user, who may then
// open /dev/stdout.
func newStreams(p executor.ProcessInfo, u specs.User) (*streams, error) {
	s := &streams{process: p}
	var err error
	if p.Stdin == nil {
		s.given[0], err = os.Open(os.DevNull)
	} else {
		s.given[0], s.ours[0], err = os.Pipe()
	}
	for i := 1; i < 3 && err == nil; i++ {
		if s.ours[i], s.given[i], err = os.Pipe(); err == nil {
			err = s.given[i].Chown(int(u.UID), int(u.GID))
		}
	}
	for i := 0; i < 3 && err == nil; i++ {
		err = blocking(s.given[i])
	}
	if err != nil {
		s.abort()
		return nil, err
	}
	return s, nil
}

// blocking lets reads and writes wait, as programs expect of their standard
// streams: Go's own pipes do not.
func blocking(f *os.File) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	cerr := raw.Control(func(fd uintptr) { err = unix.SetNonblock(int(fd), false) })
	return errors.Join(cerr, err)
}

// run lets go of the container's ends and copies until the process's writers
// have all closed theirs.
func (s *streams) run() {
	s.started = true
	closeAll(s.given[:])
	if s.process.Stdin != nil {
		// Not waited for: whoever holds the other end may never close it. The
		// reader is closed when the process ends.
		go func() {
			_, _ = io.Copy(s.ours[0], s.process.Stdin)
			s.ours[0].Close()
		}()
	}
	for i, w := range []io.Writer{1: s.process.Stdout, 2: s.process.Stderr} {
		if i == 0 {
			continue
		}
		if w == nil {
			w = io.Discard
		}
		s.copies.Go(func() { _, _ = io.Copy(w, s.ours[i]) })
	}
}

// wait returns when all output has arrived.
func (s *streams) wait() { s.copies.Wait() }

// abort closes what is open. After run it waits for the output first.
func (s *streams) abort() {
	if s.started {
		s.wait()
		if s.process.Stdin != nil {
			s.process.Stdin.Close()
		}
	} else {
		closeAll(s.given[:])
	}
	closeAll(s.ours[:])
}

func closeAll(files []*os.File) {
	for _, f := range files {
		if f != nil {
			f.Close()
		}
	}
}
