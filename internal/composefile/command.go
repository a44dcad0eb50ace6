package composefile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"lus/internal/base/errs"
	"lus/internal/client"
)

// Streams are where a command reads and writes.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}

// app is one call of lus-compose.
type app struct {
	Streams
	daemon Daemon
	load   LoadOptions
}

// command is one verb.
type command struct {
	name, args, short, example string
	rest                       bool // what follows the first argument is not for us
	// flags registers the verb's flags and returns what carries it out.
	flags func(a *app, f *pflag.FlagSet) func(ctx context.Context, args []string) error
}

func commands() []command {
	return []command{upCommand(), downCommand(), buildCommand(), psCommand(), logsCommand(), configCommand(),
		lsCommand(), imagesCommand(), portCommand(), stopCommand(), startCommand(), restartCommand(), execCommand(), runCommand(),
		killCommand(), pauseCommand(), unpauseCommand(), rmCommand(), topCommand(), pullCommand(), versionCommand()}
}

// Main runs lus-compose and returns its exit code: 0, 1 where it failed, 125
// where the call is wrong, 130 where it was interrupted.
func Main(ctx context.Context, args []string, s Streams) int {
	daemon, err := client.New(client.FromEnv(s.Err))
	if err == nil {
		defer func() { _ = daemon.Close() }()
		err = (&app{Streams: s, daemon: daemon}).run(ctx, args)
	}
	var usage *usageError
	switch {
	case err == nil:
		return 0
	case errors.Is(err, context.Canceled):
		return 130
	case errors.As(err, &usage):
		fmt.Fprintf(s.Err, "%s\n\n%s", usage.msg, usage.help)
		return 125
	}
	fmt.Fprintf(s.Err, "lus compose: %v\n", err)
	return 1
}

// usageError is a call that cannot be understood.
type usageError struct{ msg, help string }

func (e *usageError) Error() string { return e.msg }

func (a *app) run(ctx context.Context, args []string) error {
	global := pflag.NewFlagSet("lus compose", pflag.ContinueOnError)
	global.SetOutput(io.Discard)
	global.SetInterspersed(false)
	global.StringArrayVarP(&a.load.Files, "file", "f", nil, "Compose files, merged in order")
	global.StringVarP(&a.load.Name, "project-name", "p", "", "project's name (default: name: in the file, else the folder's)")
	global.StringVar(&a.load.Dir, "project-directory", "", "folder that paths in the file start from (default: the first file's)")
	global.StringArrayVar(&a.load.EnvFiles, "env-file", nil, "files of variables, instead of .env")
	global.StringArrayVar(&a.load.Profiles, "profile", nil, "profiles to switch on")
	help := global.BoolP("help", "h", false, "show this text")
	if err := global.Parse(args); err != nil {
		return &usageError{err.Error(), "See 'lus compose --help'.\n"}
	}
	rest := global.Args()
	if *help || len(rest) == 0 || rest[0] == "help" {
		fmt.Fprint(a.Out, overview(global))
		return nil
	}
	all := commands()
	i := slices.IndexFunc(all, func(c command) bool { return c.name == rest[0] })
	if i < 0 {
		msg := fmt.Sprintf("unknown compose command: %q", rest[0])
		var names []string
		for _, c := range all {
			names = append(names, c.name)
		}
		if near := nearest(rest[0], names); near != "" {
			msg += "; did you mean " + near + "?"
		}
		return &usageError{msg, "See 'lus compose --help'.\n"}
	}
	return a.verb(ctx, all[i], rest[1:])
}

func (a *app) verb(ctx context.Context, c command, args []string) error {
	f := pflag.NewFlagSet(c.name, pflag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.SetInterspersed(!c.rest)
	help := f.BoolP("help", "h", false, "show this text")
	do := c.flags(a, f)
	if err := f.Parse(args); err != nil {
		return &usageError{err.Error(), fmt.Sprintf("See 'lus compose %s --help'.\n", c.name)}
	}
	if *help {
		fmt.Fprintf(a.Out, "Usage: lus compose %s [OPTIONS] %s\n\n%s\n\nExample:\n  %s\n\nOptions:\n%s", c.name, c.args, c.short, c.example, f.FlagUsages())
		return nil
	}
	return do(ctx, f.Args())
}

func overview(global *pflag.FlagSet) string {
	var b strings.Builder
	b.WriteString("Usage: lus compose [OPTIONS] COMMAND\n\nRun the services of a Compose file.\n\nExample:\n  lus compose up -d\n\nCommands:\n")
	for _, c := range commands() {
		fmt.Fprintf(&b, "  %-10s %s\n", c.name, c.short)
	}
	b.WriteString("\nOptions:\n" + global.FlagUsages())
	b.WriteString("\nRun 'lus compose COMMAND --help' for a command's own options.\n")
	return b.String()
}

// project loads the files and tells what has no effect.
func (a *app) project(ctx context.Context, services []string) (*Loaded, error) {
	o := a.load
	o.Services = services
	l, err := Load(ctx, o)
	if err != nil {
		return nil, err
	}
	for _, w := range l.Warnings {
		fmt.Fprintln(a.Err, "warning: "+w)
	}
	return l, nil
}

// projectName is the project's name for verbs that do without the file: -p
// first, then the file's.
func (a *app) projectName(ctx context.Context) (string, error) {
	if a.load.Name != "" && len(a.load.Files) == 0 {
		return a.load.Name, nil
	}
	l, err := a.project(ctx, nil)
	if err != nil {
		if errs.Is(err, errs.NotFound) && os.Getenv("COMPOSE_PROJECT_NAME") != "" {
			return os.Getenv("COMPOSE_PROJECT_NAME"), nil
		}
		return "", err
	}
	return l.Project.Name, nil
}
