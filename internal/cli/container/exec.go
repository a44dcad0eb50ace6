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
	var created struct {
		ID string `json:"Id"`
	}
	if err := e.Client.Call(ctx, client.Request{Method: "POST", Path: path(args[0], "exec"), Body: client.Sparse{V: x.ExecConfig}}, &created); err != nil {
		return err
	}
	base := "/exec/" + url.PathEscape(created.ID)
	begin := client.Request{Method: "POST", Path: base + "/start", Body: map[string]any{"Detach": x.detach, "Tty": x.Tty, "ConsoleSize": x.ConsoleSize}}
	if x.detach {
		return e.Client.Call(ctx, begin, nil)
	}
	stream, err := e.Client.Hijack(ctx, begin)
	if err != nil {
		return err
	}
	defer func() { _ = stream.Close() }()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if x.Tty && terminal.Is(e.Out) {
		go resize(ctx, e, base+"/resize")
	}
	j := &joined{e: e, stream: stream, tty: x.Tty, stdin: x.AttachStdin, stdout: e.Out, stderr: e.Err, keys: keys}
	if detached, err := j.copy(); detached || err != nil {
		return err
	}
	return execEnd(ctx, e, base)
}

// execEnd asks for the exit code. The output's end may be told before the
// process was reaped. A daemon that went away meanwhile is not started: the next
// one knows no exec of a former.
func execEnd(ctx context.Context, e *command.Env, base string) error {
	daemon := e.Client.Existing()
	defer func() { _ = daemon.Close() }()
	for pause := time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		var end struct {
			Running  bool
			ExitCode *int
		}
		err := daemon.Call(ctx, client.Request{Method: "GET", Path: base + "/json"}, &end)
		if client.NoDaemon(err) {
			return errs.New(errs.Unavailable, "the daemon went away before the exit code was known")
		}
		if err != nil {
			return err
		}
		switch {
		case end.Running || end.ExitCode == nil:
			time.Sleep(pause)
			continue
		case *end.ExitCode != 0:
			return command.ExitCode(*end.ExitCode)
		}
		return nil
	}
}
