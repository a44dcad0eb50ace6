// Package command is the frame of every command line of Lus: a command says its
// name, its flags and its work; the frame parses, prints help and turns errors
// into exit codes, each in this one place.
package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"lus/internal/base/spelling"
	"lus/internal/cli/terminal"
	"lus/internal/client"
)

// Env is what a command works with.
type Env struct {
	In       *os.File
	Out, Err *os.File
	Program  string // what people called: lus, or docker where it is linked so
	Client   *client.Client

	config *client.Config // once it was asked for
}

// Config is what the user chose in Docker's configuration file. One that cannot
// be read is warned of once, and nothing was chosen then.
func (e *Env) Config() *client.Config {
	if e.config == nil {
		c, err := client.ReadConfig()
		if err != nil {
			e.Warn(err)
			c = &client.Config{}
		}
		e.config = c
	}
	return e.config
}

// Do is a command's work, once its flags are parsed.
type Do func(ctx context.Context, args []string) error

// Command is one verb.
type Command struct {
	Name    string
	Aliases []string
	Args    string // as the usage line shows them
	Short   string
	Example string // without the program's name
	// Min and Max bound the number of arguments; Max below 0 is no bound.
	Min, Max int
	// Rest: flags end at the first argument, since a command line follows.
	Rest bool
	// Flags registers the flags and returns the work.
	Flags func(e *Env, f *pflag.FlagSet) Do
	// Sub are the verbs of a command that is a noun itself, as the token of
	// `account token`; it has only a name and a Short besides.
	Sub []Command
}

// ExitCode ends the program with a code and without a message.
type ExitCode int

// Error says the code.
func (c ExitCode) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

// Failed is an error with an exit code of its own: 125 where the engine failed
// to make a container, 126 and 127 where its command is at fault.
type Failed struct {
	Err  error
	Code int
}

// Error is the cause's text.
func (f *Failed) Error() string { return f.Err.Error() }

// Unwrap returns the cause.
func (f *Failed) Unwrap() error { return f.Err }

// wrong is a call that cannot be understood.
type wrong struct {
	msg, help string
	code      int
}

func (u *wrong) Error() string { return u.msg }

// WrongFlag is the error of a flag before the command that is not understood.
func WrongFlag(msg, help string) error { return &wrong{msg: msg, help: help, code: 125} }

// Unknown is the error of a command that does not exist.
func Unknown(msg, help string) error { return &wrong{msg: msg, help: help, code: 1} }

// Run parses args for c, called by path ("lus container run"), and does its work.
func Run(ctx context.Context, e *Env, path string, c Command, args []string) error {
	f := pflag.NewFlagSet(c.Name, pflag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.SetInterspersed(!c.Rest)
	do := c.Flags(e, f)
	var help *bool
	if f.ShorthandLookup("h") == nil {
		help = f.BoolP("help", "h", false, "Show this text")
	} else {
		help = f.Bool("help", false, "Show this text")
	}
	see := fmt.Sprintf("See '%s --help'.", path)
	usage := strings.TrimRight("Usage:  "+path+" [OPTIONS] "+c.Args, " ")
	err := f.Parse(args)
	asked := errors.Is(err, pflag.ErrHelp)
	if err != nil && !asked {
		return &wrong{msg: err.Error(), help: meant(err, f) + see, code: 125}
	}
	if asked || *help {
		printHelp(e, path, usage, c, f)
		return nil
	}
	if msg := c.check(path, f.NArg()); msg != "" {
		return &wrong{msg: msg, help: see + "\n\n" + usage, code: 1}
	}
	if err := untrusting(f); err != nil {
		return err
	}
	err = do(ctx, f.Args())
	var failed *Failed
	if errors.As(err, &failed) {
		return &wrong{msg: e.Program + ": " + err.Error(), help: "\n" + see, code: failed.Code}
	}
	return err
}

// meant asks whether another flag was meant than one that there is not.
func meant(err error, f *pflag.FlagSet) string {
	var none *pflag.NotExistError
	if !errors.As(err, &none) || none.GetSpecifiedShortnames() != "" {
		return ""
	}
	var names []string
	f.VisitAll(func(flag *pflag.Flag) {
		if !flag.Hidden {
			names = append(names, flag.Name)
		}
	})
	if near := spelling.Nearest(none.GetSpecifiedName(), names); near != "" {
		return fmt.Sprintf("Did you mean --%s?\n", near)
	}
	return ""
}

func (c Command) check(path string, n int) string {
	switch {
	case n >= c.Min && (c.Max < 0 || n <= c.Max):
		return ""
	case c.Max == 0:
		return fmt.Sprintf("'%s' accepts no arguments", path)
	case c.Max < 0:
		return fmt.Sprintf("'%s' requires at least %s", path, arguments(c.Min))
	case c.Min == c.Max:
		return fmt.Sprintf("'%s' requires %s", path, arguments(c.Min))
	case c.Min == 0:
		return fmt.Sprintf("'%s' requires at most %s", path, arguments(c.Max))
	}
	return fmt.Sprintf("'%s' requires at least %d and at most %s", path, c.Min, arguments(c.Max))
}

func arguments(n int) string {
	if n == 1 {
		return "1 argument"
	}
	return fmt.Sprintf("%d arguments", n)
}

func printHelp(e *Env, path, usage string, c Command, f *pflag.FlagSet) {
	fmt.Fprintf(e.Out, "%s\n\n%s\n\nExample:\n  %s %s\n", usage, c.Short, e.Program, c.Example)
	if len(c.Aliases) > 0 {
		noun := strings.TrimSuffix(path, c.Name)
		names := []string{path}
		for _, a := range c.Aliases {
			names = append(names, noun+a)
		}
		fmt.Fprintf(e.Out, "\nAliases:\n  %s\n", strings.Join(names, ", "))
	}
	fmt.Fprintf(e.Out, "\nOptions:\n%s", f.FlagUsages())
}

// Code prints what there is to say about err and returns the exit code.
func Code(e *Env, err error) int {
	var code ExitCode
	var u *wrong
	switch {
	case err == nil:
		return 0
	case errors.As(err, &code):
		return int(code)
	case errors.As(err, &u):
		fmt.Fprintf(e.Err, "%s\n%s\n", terminal.Harmless(e.Err, u.msg), u.help)
		return u.code
	}
	e.Complain(err)
	return 1
}

// StartCode tells a command that is not there (127) and one that may not be run
// (126) from a failure of the engine (125). The API has only the words of the
// answer for it.
func StartCode(err error) int {
	msg := err.Error()
	has := func(texts ...string) bool {
		return slices.ContainsFunc(texts, func(s string) bool { return strings.Contains(msg, s) })
	}
	switch {
	case has("executable file not found", "no such file or directory"):
		return 127
	case has("permission denied", "is a directory", "exec format error"):
		return 126
	}
	return 125
}

// Find returns the command of that name or alias.
func Find(all []Command, name string) (Command, bool) {
	i := slices.IndexFunc(all, func(c Command) bool { return c.Name == name || slices.Contains(c.Aliases, name) })
	if i < 0 {
		return Command{}, false
	}
	return all[i], true
}

// Each does the same for each argument, prints it where that succeeded, and
// fails at the end if one failed.
func (e *Env) Each(args []string, do func(arg string) error) error {
	var failed error
	for _, a := range args {
		if err := do(a); err != nil {
			e.Complain(err)
			failed = ExitCode(1)
			if client.NoDaemon(err) {
				return failed
			}
			continue
		}
		fmt.Fprintln(e.Out, a)
	}
	return failed
}

// Complain tells of an error.
func (e *Env) Complain(err error) { e.tell("", err.Error()) }

// Warn tells of an error that nothing ends by.
func (e *Env) Warn(err error) { e.Warning(err.Error()) }

// Warning tells of what a daemon warns of.
func (e *Env) Warning(text string) { e.tell("WARNING: ", text) }

func (e *Env) tell(what, text string) { fmt.Fprintln(e.Err, what+terminal.Harmless(e.Err, text)) }

// Confirm asks before something is destroyed; anything but y is no.
func (e *Env) Confirm(what string) bool {
	return e.Ask("WARNING! " + what + "\nAre you sure you want to continue?")
}

// Ask asks a question that is answered with y or, by anything else, with no.
func (e *Env) Ask(question string) bool {
	fmt.Fprint(e.Out, question+" [y/N] ")
	var answer string
	_, _ = fmt.Fscanln(e.In, &answer)
	return strings.EqualFold(answer, "y") || strings.EqualFold(answer, "yes")
}
