// Package compose is lus-compose: a file for each verb. It has Compose files
// read, sends what they say to the daemon, and draws what happens.
package compose

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"lus/internal/base/spelling"
	"lus/internal/client"
	"lus/internal/composefile"
)

// Streams are where a command reads and writes.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}

// app is one call of lus-compose.
type app struct {
	Streams
	daemon   Daemon
	load     composefile.Options
	progress string // auto, tty, plain, quiet or json
	attached bool   // others write to the terminal as well: nothing is redrawn
	ansi     string // auto, always or never
	verbose  bool   // say which files are read
	parallel int    // how much goes on at once; 0: as much as helps
	dryRun   bool   // print what would be done, and do nothing
}

// command is one verb.
type command struct {
	name, args, short, example string
	rest                       bool // what follows the first argument is not for us
	dry                        bool // it knows --dry-run, or changes nothing anyway
	// flags registers the verb's flags and returns what carries it out.
	flags func(a *app, f *pflag.FlagSet) func(ctx context.Context, args []string) error
}

func commands() []command {
	return []command{attachCommand(), buildCommand(), commitCommand(), configCommand(), cpCommand(), createCommand(), downCommand(),
		eventsCommand(), execCommand(), exportCommand(), imagesCommand(), killCommand(), logsCommand(), lsCommand(), pauseCommand(),
		portCommand(), psCommand(), pullCommand(), pushCommand(), restartCommand(), rmCommand(), runCommand(), scaleCommand(),
		startCommand(), statsCommand(), stopCommand(), topCommand(), unpauseCommand(), upCommand(), versionCommand(),
		volumesCommand(), waitCommand(), watchCommand()}
}

// unavailable are docker compose's verbs that are not to be had here, and why.
func unavailable() map[string]string {
	return map[string]string{
		"publish": "projects are not published as artifacts of a registry: keep the files in Git",
		"bridge":  "files are not turned into those of other systems",
		"alpha":   "what is on trial there is not to be had here",
	}
}

// Main runs lus-compose and returns its exit code: 0, 1 where it failed, 125
// where the call is wrong, 130 where it was interrupted, or that of a container
// where the verb passes it on.
func Main(ctx context.Context, args []string, s Streams) int {
	o := client.FromEnv(s.Err)
	if o.Host != "" {
		chosen, err := client.ReadConfig()
		if err != nil {
			s.warn(err)
		}
		o.Header = chosen.HTTPHeaders
	}
	daemon, err := client.New(o)
	if err == nil {
		defer func() { _ = daemon.Close() }()
		err = (&app{Streams: s, daemon: daemon, load: composefile.Options{Access: accessTo(daemon, s.warn)}}).run(ctx, args)
	}
	var usage *usageError
	var code exitCode
	switch {
	case err == nil:
		return 0
	case errors.As(err, &code):
		return int(code)
	case errors.Is(err, context.Canceled), ctx.Err() != nil && errors.Is(err, net.ErrClosed):
		return 130 // what was waited for was cut off
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

func wrongUse(verb, format string, args ...any) error {
	return &usageError{fmt.Sprintf(format, args...), fmt.Sprintf("See 'lus compose %s --help'.\n", verb)}
}

// exitCode ends the program with a code and without a message.
type exitCode int

func (c exitCode) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

func (a *app) run(ctx context.Context, args []string) error {
	global := pflag.NewFlagSet("lus compose", pflag.ContinueOnError)
	global.SetOutput(io.Discard)
	global.SetInterspersed(false)
	global.StringArrayVarP(&a.load.Files, "file", "f", nil, "Compose files, merged in order")
	global.StringVarP(&a.load.Name, "project-name", "p", "", "project's name (default: name: in the file, else the folder's)")
	global.StringVar(&a.load.Dir, "project-directory", "", "folder that paths in the file start from (default: the first file's)")
	global.StringArrayVar(&a.load.EnvFiles, "env-file", nil, "files of variables, instead of .env")
	global.StringArrayVar(&a.load.Profiles, "profile", nil, "profiles to switch on")
	a.look(global)
	help := global.BoolP("help", "h", false, "show this text")
	asVersion := global.BoolP("version", "v", false, "print the version")
	if err := global.Parse(args); err != nil {
		return &usageError{err.Error(), "See 'lus compose --help'.\n"}
	}
	if err := a.settle(ctx, global); err != nil {
		return err
	}
	rest := global.Args()
	switch {
	case *asVersion:
		rest = []string{"version"}
	case *help, len(rest) == 0, rest[0] == "help" && len(rest) == 1:
		fmt.Fprint(a.Out, overview(global))
		return nil
	case rest[0] == "help":
		rest = []string{rest[1], "--help"}
	}
	if rest[0] == "convert" {
		rest[0] = "config" // as it was called once
	}
	all := commands()
	i := slices.IndexFunc(all, func(c command) bool { return c.name == rest[0] })
	if why := unavailable()[rest[0]]; i < 0 && why != "" {
		return &usageError{fmt.Sprintf("lus compose has no %s: %s", rest[0], why), "See 'lus compose --help'.\n"}
	}
	if i < 0 {
		msg := fmt.Sprintf("unknown compose command: %q", rest[0])
		var names []string
		for _, c := range all {
			names = append(names, c.name)
		}
		if near := spelling.Nearest(rest[0], names); near != "" {
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
	f.SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		return pflag.NormalizedName(strings.Replace(name, "no-TTY", "no-tty", 1)) // as it was written once
	})
	do := c.flags(a, f)
	if err := f.Parse(args); err != nil {
		return &usageError{err.Error(), fmt.Sprintf("See 'lus compose %s --help'.\n", c.name)}
	}
	if *help {
		fmt.Fprintf(a.Out, "Usage: lus compose %s [OPTIONS] %s\n\n%s\n\nExample:\n  %s\n\nOptions:\n%s", c.name, c.args, c.short, c.example, f.FlagUsages())
		return nil
	}
	if a.dryRun && !c.dry {
		return wrongUse(c.name, "--dry-run is not known to %s: what it does is not planned ahead", c.name)
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
