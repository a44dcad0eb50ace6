package container

import (
	"context"
	"errors"
	"io"
	"net"
	"net/url"
	"os"
	"time"

	"github.com/spf13/pflag"

	"lus/internal/base/errs"
	"lus/internal/cli/command"
	"lus/internal/cli/terminal"
	"lus/internal/client"
	"lus/internal/model/container"
)

// runFlags are the flags of run beside those of create.
type runFlags struct {
	options
	detach     bool
	sigProxy   bool
	detachKeys string
}

func runCommand() command.Command {
	return command.Command{
		Name: "run", Args: "IMAGE [COMMAND] [ARG...]", Short: "Make a container from an image and run it",
		Example: "run --rm -it debian bash", Min: 1, Max: -1, Rest: true,
		Flags: func(e *command.Env, f *pflag.FlagSet) command.Do {
			o := &runFlags{}
			o.register(f)
			f.BoolVarP(&o.detach, "detach", "d", false, "Run in the background and print the container's id")
			f.BoolVar(&o.sigProxy, "sig-proxy", true, "Pass signals on to the process")
			f.StringVar(&o.detachKeys, "detach-keys", "", "Keys that detach (default ctrl-p,ctrl-q)")
			return func(ctx context.Context, args []string) error { return o.run(ctx, e, args) }
		},
	}
}

func (o *runFlags) run(ctx context.Context, e *command.Env, args []string) error {
	failed := func(err error) error { return &command.Failed{Err: err, Code: 125} }
	if o.detach && len(o.attach) > 0 {
		return invalid("conflicting options: cannot specify both --attach and --detach")
	}
	o.addProxies(e)
	req, err := o.request(args)
	if err == nil {
		err = o.checkPull()
	}
	if err != nil {
		return failed(err)
	}
	keys, err := detaching(e, &o.detachKeys, o.tty)
	if err != nil {
		return failed(err)
	}
	if o.detach {
		req.AttachStdin, req.AttachStdout, req.AttachStderr, req.StdinOnce = false, false, false, false
	}
	if o.tty {
		if req.AttachStdin && !terminal.Is(e.In) {
			return invalid("the input device is not a TTY: leave -t out where input is a pipe or a file")
		}
		rows, cols := terminal.Size(e.Out)
		req.HostConfig.ConsoleSize = [2]uint{rows, cols}
	}
	made, err := o.create(ctx, e, req, o.makeAndRun)
	if err != nil {
		return failed(err)
	}
	// Its connection is not closed, but ends with the program: the daemon would wake
	// of it, and want this processor while somebody waits for the exit code.
	if o.detach {
		return background(ctx, e, made)
	}
	s := session{e: e, id: made.ID, config: &req.Config, remove: o.remove, keys: keys, detachKeys: o.detachKeys, sigProxy: o.sigProxy}
	if made.Stream != nil {
		return s.watch(ctx, made)
	}
	return s.run(ctx)
}

// start starts a container; an error carries the exit code it stands for.
func start(ctx context.Context, e *command.Env, id string) error {
	begun, err := beginStart(ctx, e, id)
	if err != nil {
		return err
	}
	return started(begun)
}

func beginStart(ctx context.Context, e *command.Env, id string) (*client.Begun, error) {
	begun, err := e.Client.Begin(ctx, client.Request{Method: "POST", Path: path(id, "start")})
	return begun, startFailed(err)
}

// started returns once the daemon has started what beginStart asked for.
func started(begun *client.Begun) error {
	resp, err := begun.Response()
	if err == nil {
		_, err = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
	}
	return startFailed(err)
}

func startFailed(err error) error {
	if err == nil {
		return nil
	}
	return &command.Failed{Err: err, Code: command.StartCode(err)}
}

// session is one container in the foreground, from attach to exit code.
type session struct {
	e          *command.Env
	id         string
	config     *container.Config
	remove     bool
	keys       *terminal.Keys
	detachKeys string
	sigProxy   bool
	noStart    bool
}

// run attaches and waits first, then starts: so no output and no exit can be
// missed.
func (s *session) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, exit, signals, err := s.join(ctx)
	if stream != nil {
		defer func() { _ = stream.Close() }()
	}
	if err != nil {
		return &command.Failed{Err: err, Code: 125}
	}
	defer func() { _ = exit.Body.Close() }()
	var begun *client.Begun
	if !s.noStart {
		if begun, err = beginStart(ctx, s.e, s.id); err != nil {
			return err
		}
	}
	if signals != nil {
		go passSignals(ctx, s.e, s.id, signals) // ends with ctx
	}
	if begun != nil {
		if err := started(begun); err != nil {
			return err
		}
	} else if stream != nil {
		defer s.letGo(ctx, stream)()
	}
	s.follow(ctx)
	if stream != nil && s.streams(stream) {
		return nil
	}
	return s.ended(exit.Body)
}

// join attaches, has the daemon wait and catches signals. The three go side by
// side, and without a goroutine for each: this program lives for milliseconds,
// and a goroutine that waits has the Go runtime begin another thread.
func (s *session) join(ctx context.Context) (stream *client.Stream, exit *client.Response, signals chan os.Signal, err error) {
	if s.sigProxy && s.noStart {
		signals = catchSignals() // what runs is told of a signal from the moment we are seen to attach
	}
	attaching, err := s.attach(ctx)
	if err != nil {
		return nil, nil, nil, err
	}
	waiting, err := s.wait(ctx)
	if err != nil {
		if attaching != nil {
			attaching.Abandon()
		}
		return nil, nil, nil, err
	}
	if s.sigProxy && !s.noStart {
		signals = catchSignals()
	}
	if attaching != nil {
		stream, err = attaching.Stream()
	}
	exit, werr := waiting.Response()
	if err == nil {
		err = werr
	} else if werr == nil {
		_ = exit.Body.Close()
	}
	return stream, exit, signals, err
}

// follow keeps the process's terminal as large as this one.
func (s *session) follow(ctx context.Context) {
	if !s.config.Tty || !terminal.Is(s.e.Out) {
		return
	}
	at := path(s.id, "resize")
	if s.noStart {
		// What is drawn already is drawn again for who joins, as the size changes.
		sendSize(ctx, s.e, at, 1)
	}
	go resize(ctx, s.e, at)
}

// joined joins this terminal or these pipes to the container's streams.
func (s *session) joined(stream *client.Stream) *joined {
	out, errOut := outputs(s.e, s.config.AttachStdout, s.config.AttachStderr)
	return &joined{e: s.e, stream: stream, tty: s.config.Tty, stdin: s.config.AttachStdin, stdout: out, stderr: errOut, keys: s.keys, passed: s.sigProxy}
}

// streams carries output and input, and reports whether the user detached.
func (s *session) streams(stream *client.Stream) (detached bool) {
	detached, err := s.joined(stream).copy()
	if err != nil && !errors.Is(err, net.ErrClosed) {
		s.e.Complain(err) // the exit code is still to be had
	}
	return detached
}

// letGo looks once more at a container that ran before it was joined. If it has
// ended, that may have been first: then the stream is that of its next run, which
// nobody waits for. What there is of the former is sent at once.
func (s *session) letGo(ctx context.Context, stream *client.Stream) (stop func()) {
	if d, err := inspect(ctx, s.e, s.id); err == nil && d.State.Running {
		return func() {}
	}
	t := time.AfterFunc(lateOutput, func() { _ = stream.Close() })
	return func() { t.Stop() }
}

// lateOutput is how long the end of a container that has ended is waited for.
const lateOutput = 2 * time.Second

// attach asks for the streams; nil where none is wanted.
func (s *session) attach(ctx context.Context) (*client.Begun, error) {
	c := s.config
	if !c.AttachStdin && !c.AttachStdout && !c.AttachStderr {
		return nil, nil
	}
	q := url.Values{"stream": {"1"}}
	for name, on := range map[string]bool{"stdin": c.AttachStdin, "stdout": c.AttachStdout, "stderr": c.AttachStderr} {
		if on {
			q.Set(name, "1")
		}
	}
	if s.detachKeys != "" {
		q.Set("detachKeys", s.detachKeys)
	}
	return s.e.Client.BeginHijack(ctx, client.Request{Method: "POST", Path: path(s.id, "attach"), Query: q})
}

// wait asks for the end. The daemon waits once its answer has begun.
func (s *session) wait(ctx context.Context) (*client.Begun, error) {
	q := url.Values{"condition": {"next-exit"}}
	switch {
	case s.remove:
		q.Set("condition", "removed")
	case s.noStart:
		q.Set("condition", "not-running")
	}
	return s.e.Client.Begin(ctx, client.Request{Method: "POST", Path: path(s.id, "wait"), Query: q})
}

// ended reads how the container ended.
func (s *session) ended(answer io.Reader) error {
	var exit struct {
		StatusCode int
		Error      *struct{ Message string }
	}
	err := client.NewMessages(answer).Next(&exit)
	switch {
	case err != nil:
		err = s.away(err)
	case exit.Error != nil && exit.Error.Message != "":
		err = errs.New(errs.Internal, "%s", exit.Error.Message)
	default:
		return exitCode(exit.StatusCode)
	}
	return &command.Failed{Err: err, Code: 125}
}

// interactive reports whether f is a terminal to type on.
func interactive(f *os.File) bool { return f != nil && terminal.Is(f) }
