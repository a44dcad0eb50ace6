package container

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"github.com/spf13/pflag"

	"lus/internal/base/errs"
	"lus/internal/cli/command"
	"lus/internal/cli/terminal"
	"lus/internal/client"
	"lus/internal/model/container"
)

// execFlags are the flags of exec.
type execFlags struct {
	container.ExecConfig
	detach      bool
	interactive bool
	env         []string
	envFiles    []string
}

func execCommand() command.Command {
	return command.Command{
		Name: "exec", Args: "CONTAINER COMMAND [ARG...]", Short: "Run a command in a running container",
		Example: "exec -it web sh", Min: 2, Max: -1, Rest: true,
		Flags: func(e *command.Env, f *pflag.FlagSet) command.Do {
			x := &execFlags{}
			f.BoolVarP(&x.detach, "detach", "d", false, "Run in the background")
			f.BoolVarP(&x.interactive, "interactive", "i", false, "Keep standard input open")
			f.BoolVarP(&x.Tty, "tty", "t", false, "Give the process a terminal")
			command.ListVarP(f, &x.env, "env", "e", "Set a variable: NAME=value")
			command.ListVar(f, &x.envFiles, "env-file", "Read variables from a file")
			f.BoolVar(&x.Privileged, "privileged", false, "Give all capabilities")
			f.StringVarP(&x.User, "user", "u", "", "User and group: name or number[:group]")
			f.StringVarP(&x.WorkingDir, "workdir", "w", "", "Working directory")
			f.StringVar(&x.DetachKeys, "detach-keys", "", "Keys that detach (default ctrl-p,ctrl-q)")
			return func(ctx context.Context, args []string) error { return x.run(ctx, e, args) }
		},
	}
}

func (x *execFlags) run(ctx context.Context, e *command.Env, args []string) (err error) {
	if x.Env, err = environment(x.envFiles, x.env); err != nil {
		return err
	}
	keys, err := detaching(e, &x.DetachKeys, x.Tty)
	if err != nil {
		return err
	}
	x.Cmd = args[1:]
	if !x.detach {
		x.AttachStdout, x.AttachStderr, x.AttachStdin = true, true, x.interactive
	}
	if x.Tty && x.AttachStdin && !interactive(e.In) {
		return fmt.Errorf("the input device is not a TTY: leave -t out where input is a pipe or a file")
	}
	if rows, cols := terminal.Size(e.Out); x.Tty && rows > 0 {
		x.ConsoleSize = &[2]uint{rows, cols}
	}
	ask := client.Request{Method: "POST", Path: path(args[0], "exec"), Body: client.Sparse{V: x.ExecConfig}}
	if x.detach {
		made, err := makeOnly(ctx, e.Client, ask)
		if err != nil {
			return err
		}
		return e.Client.Call(ctx, x.begin(made.ID), nil)
	}
	run, err := e.Client.Run(ctx, ask)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	j := &joined{e: e, tty: x.Tty, stdin: x.AttachStdin, stdout: e.Out, stderr: e.Err, keys: keys, run: run, stream: run.Stream}
	if run.Stream == nil {
		return x.piecemeal(ctx, j)
	}
	// The connection ends with the program, as a run's does.
	x.resize(ctx, e, run.ID)
	detached, err := j.copy()
	switch {
	case detached:
		return nil
	case err != nil:
		return errs.New(errs.Unavailable, "the daemon went away before the exit code was known: %w", err)
	}
	return exitCode(j.code)
}

func execPath(id, verb string) string { return "/exec/" + url.PathEscape(id) + "/" + verb }

// begin is the request that starts an exec.
func (x *execFlags) begin(id string) client.Request {
	return client.Request{Method: "POST", Path: execPath(id, "start"), Body: map[string]any{"Detach": x.detach, "Tty": x.Tty, "ConsoleSize": x.ConsoleSize}}
}

// resize keeps the process's terminal as large as this one, until ctx ends.
func (x *execFlags) resize(ctx context.Context, e *command.Env, id string) {
	if x.Tty && terminal.Is(e.Out) {
		go resize(ctx, e, execPath(id, "resize"))
	}
}

// piecemeal starts an exec that a daemon of Docker's has made, carries its output
// and asks how it ended.
func (x *execFlags) piecemeal(ctx context.Context, j *joined) error {
	e, id := j.e, j.run.ID
	stream, err := e.Client.Hijack(ctx, x.begin(id))
	if err != nil {
		return err
	}
	defer func() { _ = stream.Close() }()
	x.resize(ctx, e, id)
	j.stream, j.run = stream, nil
	if detached, err := j.copy(); detached || err != nil {
		return err
	}
	return execEnded(ctx, e.Client.Existing(), execPath(id, "json"))
}

// execEnded asks for the exit code until there is one: the output may end before
// the process was seen to. The daemon is to be that of the beginning, since the
// next one knows no exec of a former.
func execEnded(ctx context.Context, daemon *client.Client, path string) error {
	for pause := time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		var now struct {
			Running  bool
			ExitCode *int
		}
		err := daemon.Call(ctx, client.Request{Method: "GET", Path: path}, &now)
		if client.NoDaemon(err) {
			return errs.New(errs.Unavailable, "the daemon went away before the exit code was known")
		}
		if err != nil {
			return err
		}
		if !now.Running && now.ExitCode != nil {
			return exitCode(*now.ExitCode)
		}
		time.Sleep(pause)
	}
}
