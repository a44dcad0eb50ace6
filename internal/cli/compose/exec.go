package compose

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"github.com/spf13/pflag"
	"golang.org/x/term"

	"lus/internal/base/errs"
)

// become turns this process into lus, the program beside this one, which is the
// one place that knows terminals, signals and exit codes.
func become(args ...string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	program := filepath.Join(filepath.Dir(self), "lus")
	return errs.New(errs.Unavailable, "cannot run %s, which is installed beside lus-compose: %w", program,
		syscall.Exec(program, append([]string{"lus"}, args...), os.Environ()))
}

// terminal says that a person sits at both ends.
func (a *app) terminal() bool {
	in, ok := a.In.(*os.File)
	return ok && term.IsTerminal(int(in.Fd())) && isTerminal(a.Out)
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// lus runs lus, the program beside this one, to its end.
func (a *app) lus(ctx context.Context, args ...string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(filepath.Dir(self), "lus"), args...)
	cmd.Stdout, cmd.Stderr = a.Out, a.Err
	if err := cmd.Run(); err != nil {
		var ended *exec.ExitError
		if errors.As(err, &ended) {
			return exitCode(ended.ExitCode()) // it has said why
		}
		return errs.New(errs.Unavailable, "cannot run lus, which is installed beside lus-compose: %w", err)
	}
	return nil
}

// anyContainer finds one container of a service, whether or not it runs.
func (a *app) anyContainer(ctx context.Context, service string, index int) (summary, error) {
	name, err := a.projectName(ctx)
	if err != nil {
		return summary{}, err
	}
	list, err := a.containers(ctx, name, true)
	if err != nil {
		return summary{}, err
	}
	if list = ofService(list, service, index); len(list) == 0 {
		return summary{}, noContainer(service, index)
	}
	return list[0], nil
}

// noContainer says that a service has none, or none with that number.
func noContainer(service string, index int) error {
	if index != 0 {
		return errs.New(errs.NotFound, "service %q has no container %d", service, index)
	}
	return errs.New(errs.NotFound, "service %q has no container; `lus compose up -d %s` makes one", service, service)
}

// container finds one running container of a service.
func (a *app) container(ctx context.Context, service string, index int) (summary, error) {
	name, err := a.projectName(ctx)
	if err != nil {
		return summary{}, err
	}
	list, err := a.containers(ctx, name, false)
	if err != nil {
		return summary{}, err
	}
	if list = ofService(list, service, index); len(list) > 0 {
		return list[0], nil
	}
	if index != 0 {
		return summary{}, errs.New(errs.NotFound, "service %q has no running container %d", service, index)
	}
	return summary{}, errs.New(errs.NotFound, "service %q is not running; `lus compose up -d %s` starts it", service, service)
}

func execCommand() command {
	return command{
		name: "exec", args: "SERVICE COMMAND [ARGS...]", short: "Run a command in a running container", rest: true,
		example: "lus compose exec web sh",
		flags: func(a *app, f *pflag.FlagSet) func(context.Context, []string) error {
			detach := f.BoolP("detach", "d", false, "run in the background")
			env := f.StringArrayP("env", "e", nil, "set a variable: NAME=value")
			index := f.Int("index", 0, "which of the service's containers (default: the first)")
			noTTY := f.BoolP("no-tty", "T", false, "no terminal (default: one where a person types)")
			stdin := f.BoolP("interactive", "i", true, "pass on input")
			tty := f.BoolP("tty", "t", true, "a terminal, where a person types")
			privileged := f.Bool("privileged", false, "give all capabilities")
			user := f.StringP("user", "u", "", "user and group: name or number[:group]")
			workdir := f.StringP("workdir", "w", "", "working directory")
			return func(ctx context.Context, args []string) error {
				if len(args) < 2 {
					return &usageError{"exec takes a service and a command", "See 'lus compose exec --help'.\n"}
				}
				c, err := a.container(ctx, args[0], *index)
				if err != nil {
					return err
				}
				call := []string{"exec"}
				for flag, on := range map[string]bool{
					"--detach": *detach, "--interactive": !*detach && *stdin, "--privileged": *privileged,
					"--tty": !*detach && !*noTTY && *tty && a.terminal(),
				} {
					if on {
						call = append(call, flag)
					}
				}
				for _, e := range *env {
					call = append(call, "--env", e)
				}
				if *user != "" {
					call = append(call, "--user", *user)
				}
				if *workdir != "" {
					call = append(call, "--workdir", *workdir)
				}
				return become(append(append(call, c.ID), args[1:]...)...)
			}
		},
	}
}
