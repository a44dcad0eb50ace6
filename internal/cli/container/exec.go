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
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	starting, err := e.Client.BeginHijack(ctx, begin)
	if err != nil {
		return err
	}
	end := awaitExec(ctx, e, base)
	defer end.close()
	stream, err := starting.Stream()
	if err != nil {
		return err
	}
	defer func() { _ = stream.Close() }()
	if x.Tty && terminal.Is(e.Out) {
		go resize(ctx, e, base+"/resize")
	}
	j := &joined{e: e, stream: stream, tty: x.Tty, stdin: x.AttachStdin, stdout: e.Out, stderr: e.Err, keys: keys}
	if detached, err := j.copy(); detached || err != nil {
		return err
	}
	return end.code(ctx)
}

// execEnd is the end of an exec, which the daemon was asked for when it began: its
// answer comes with the process's end, and costs nothing after that. The daemon is
// that of the beginning: the next one knows no exec of a former.
type execEnd struct {
	daemon *client.Client
	path   string
	asked  *client.Begun // nil where it could not be asked
}

func awaitExec(ctx context.Context, e *command.Env, base string) *execEnd {
	end := &execEnd{daemon: e.Client.Existing(), path: base + "/json"}
	end.asked, _ = end.daemon.Begin(ctx, client.Request{Method: "GET", Path: end.path, Query: url.Values{"wait": {"1"}}}) // code asks again
	return end
}

func (end *execEnd) close() {
	if end.asked != nil {
		end.asked.Abandon()
	}
	_ = end.daemon.Close()
}

// code is the exit code, as an error where it is not 0. A daemon of Docker's does
// not wait: it is asked again until the process has ended.
func (end *execEnd) code(ctx context.Context) error {
	resp, err := end.first(ctx)
	for pause := time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		var now struct {
			Running  bool
			ExitCode *int
		}
		if err == nil {
			err = resp.Decode(&now)
		}
		if client.NoDaemon(err) {
			return errs.New(errs.Unavailable, "the daemon went away before the exit code was known")
		}
		if err != nil {
			return err
		}
		switch {
		case now.Running || now.ExitCode == nil:
			time.Sleep(pause)
			resp, err = end.ask(ctx)
			continue
		case *now.ExitCode != 0:
			return command.ExitCode(*now.ExitCode)
		}
		return nil
	}
}

// first is the answer to what was asked at the beginning.
func (end *execEnd) first(ctx context.Context) (*client.Response, error) {
	if end.asked != nil {
		if resp, err := end.asked.Response(); err == nil {
			return resp, nil
		}
	}
	return end.ask(ctx)
}

func (end *execEnd) ask(ctx context.Context) (*client.Response, error) {
	return end.daemon.Send(ctx, client.Request{Method: "GET", Path: end.path})
}
