// Package cli is the lus command: it finds what was typed, hands it to the
// noun's package, and turns what comes back into an exit code. Called as
// docker it takes the same.
package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"lus/internal/base/errs"
	"lus/internal/base/spelling"
	"lus/internal/base/version"
	"lus/internal/cli/account"
	"lus/internal/cli/builder"
	"lus/internal/cli/command"
	"lus/internal/cli/container"
	"lus/internal/cli/deploy"
	"lus/internal/cli/image"
	"lus/internal/cli/network"
	"lus/internal/cli/registry"
	"lus/internal/cli/system"
	"lus/internal/cli/volume"
)

// noun is what verbs are about.
type noun struct {
	name, short string
	commands    func() []command.Command
}

func nouns() []noun {
	return []noun{
		{"container", "Containers", container.Commands},
		{"image", "Images", image.Commands},
		{"network", "Networks", network.Commands},
		{"volume", "Volumes", volume.Commands},
		{"builder", "The build cache", builder.Commands},
		{"registry", "Lus's own registry", registry.Commands},
		{"account", "Who there is and who may do what", account.Commands},
		{"deploy", "What was deployed by compose, and the way back", deploy.Commands},
		{"system", "Lus as a whole", system.Commands},
	}
}

// short maps what can be typed without a noun to where it belongs.
func short(name string) (nounName, verb string, ok bool) {
	switch name {
	case "attach", "commit", "cp", "create", "diff", "exec", "export", "kill", "logs", "pause", "port", "rename", "restart", "rm", "run", "start", "stats", "stop", "top", "unpause", "update", "wait", "ps":
		return "container", name, true
	case "build", "history", "import", "load", "pull", "push", "rmi", "save", "search", "tag", "images":
		return "image", name, true
	case "events", "info":
		return "system", name, true
	case "inspect", "login", "logout", "version":
		return "", name, true
	}
	return "", "", false
}

// Main runs what args (with the program's name first) say and returns the exit
// code.
func Main(args []string, in, out, errOut *os.File) int {
	e := &command.Env{In: in, Out: out, Err: errOut, Program: "lus"}
	if len(args) > 0 && filepath.Base(args[0]) == "docker" {
		e.Program = "docker"
	}
	return command.Code(e, run(context.Background(), e, args[min(1, len(args)):]))
}

func run(ctx context.Context, e *command.Env, args []string) error {
	g, args, err := parseGlobal(e, args)
	switch {
	case err != nil:
		return err
	case g.version:
		_, err := fmt.Fprintf(e.Out, "Lus version %s\n", version.String())
		return err
	case g.help, len(args) == 0, args[0] == "help" && len(args) == 1:
		overview(e)
		return nil
	}
	if err := g.apply(e); err != nil {
		return err
	}
	if args[0] == "help" {
		args = append(args[1:], "--help")
	}
	switch args[0] {
	case "completion":
		return completion(e, args[1:])
	case "__complete": // what the shells' completions ask
		complete(ctx, e, args[1:])
		return nil
	case "compose":
		return compose(g.host, args[1:])
	}
	c, path, rest, err := find(e, args)
	if err != nil || path == "" {
		return err
	}
	return command.Run(ctx, e, path, c, rest)
}

// find returns the command that was typed and how it is called. Where only a
// noun was typed it prints what there is, and the path is empty.
func find(e *command.Env, args []string) (c command.Command, path string, rest []string, err error) {
	all := nouns()
	nounName, verb, isShort := short(args[0])
	rest = args[1:]
	path = e.Program + " " + args[0]
	if isShort && nounName == "" {
		c, _ = command.Find(system.Others(), verb)
		return c, path, rest, nil
	}
	if !isShort {
		nounName = args[0]
	}
	i := slices.IndexFunc(all, func(n noun) bool { return n.name == nounName })
	if i < 0 {
		if why := refusals()[args[0]]; why != "" {
			return command.Refused(args[0], why), path, rest, nil
		}
		return c, "", nil, unknown(e, "", args[0], words())
	}
	if !isShort {
		if len(rest) == 0 || rest[0] == "--help" || rest[0] == "-h" || rest[0] == "help" {
			nounHelp(e, all[i])
			return c, "", nil, nil
		}
		verb, rest = rest[0], rest[1:]
		path += " " + verb
	}
	c, ok := command.Find(all[i].commands(), verb)
	if !ok {
		return c, "", nil, unknown(e, nounName+" ", verb, namesOf(all[i].commands()))
	}
	if c.Sub != nil {
		return within(e, nounName, c, rest)
	}
	return c, path, rest, nil
}

// within finds the verb of a noun that stands below another.
func within(e *command.Env, nounName string, c command.Command, rest []string) (sub command.Command, path string, args []string, err error) {
	name := nounName + " " + c.Name
	if len(rest) == 0 || rest[0] == "--help" || rest[0] == "-h" || rest[0] == "help" {
		nounHelp(e, noun{name, c.Short, func() []command.Command { return c.Sub }})
		return sub, "", nil, nil
	}
	sub, ok := command.Find(c.Sub, rest[0])
	if !ok {
		return sub, "", nil, unknown(e, name+" ", rest[0], namesOf(c.Sub))
	}
	return sub, e.Program + " " + name + " " + rest[0], rest[1:], nil
}

// unknown is the error of a word after noun (empty, or ending in a space) that is
// none of those known there.
func unknown(e *command.Env, noun, word string, known []string) error {
	help := fmt.Sprintf("\nSee '%s --help'.", e.Program)
	if near := spelling.Nearest(word, known); near != "" {
		help = fmt.Sprintf("\nDid you mean '%s %s%s'?\n", e.Program, noun, near) + help
	}
	return command.Unknown(fmt.Sprintf("%s: unknown command: %s %s%s", e.Program, e.Program, noun, word), help)
}

func namesOf(commands []command.Command) (names []string) {
	for _, c := range commands {
		names = append(names, c.Name)
	}
	return names
}

// words are what a line may begin with.
func words() []string {
	words := append(shortVerbs(), "compose", "completion")
	for _, n := range nouns() {
		words = append(words, n.name)
	}
	return words
}

// shortVerbs are the commands that need no noun.
func shortVerbs() []string {
	return []string{"attach", "build", "commit", "cp", "create", "diff", "events", "exec", "export", "history", "images", "import", "info", "inspect", "kill", "load", "login", "logout",
		"logs", "pause", "port", "ps", "pull", "push", "rename", "restart", "rm", "rmi", "run", "save", "search", "start", "stats", "stop", "tag", "top", "unpause", "update", "version", "wait"}
}

func nounHelp(e *command.Env, n noun) {
	fmt.Fprintf(e.Out, "Usage:  %s %s COMMAND\n\n%s\n\nCommands:\n", e.Program, n.name, n.short)
	for _, c := range n.commands() {
		fmt.Fprintf(e.Out, "  %-12s %s\n", c.Name, c.Short)
	}
	fmt.Fprintf(e.Out, "\nRun '%s %s COMMAND --help' for more about a command.\n", e.Program, n.name)
}

func overview(e *command.Env) {
	fmt.Fprintf(e.Out, "Usage:  %s [OPTIONS] COMMAND\n\nContainers, images, networks, volumes and Compose projects on this machine.\n\nExample:\n  %s run --rm -it debian bash\n\nManagement commands:\n", e.Program, e.Program)
	for _, n := range nouns() {
		fmt.Fprintf(e.Out, "  %-12s %s\n", n.name, n.short)
	}
	fmt.Fprintf(e.Out, "  %-12s %s\n  %-12s %s\n\nCommands:\n", "compose", "Projects of several services, from a compose.yaml",
		"completion", "Print what bash, zsh or fish reads to complete commands and names")
	for _, name := range shortVerbs() {
		c, _, _, err := find(e, []string{name})
		if err == nil {
			fmt.Fprintf(e.Out, "  %-12s %s\n", name, c.Short)
		}
	}
	fmt.Fprintf(e.Out, `
Options:
  -H, --host ADDRESS   The daemon to speak to: unix:///path or tcp://host:port (default LUS_HOST, else this host's, started where it does not run)
      --config FOLDER  Where config.json with your credentials and choices is (default ~/.docker)
  -v, --version        Show this program's version

Run '%s COMMAND --help' for more about a command.
`, e.Program)
}

// compose becomes lus-compose, the program beside this one, which finds the daemon
// by the environment.
func compose(host string, args []string) error {
	if err := os.Setenv("LUS_HOST", host); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	program := filepath.Join(filepath.Dir(self), "lus-compose")
	err = syscall.Exec(program, append([]string{"lus-compose"}, args...), os.Environ())
	return errs.New(errs.NotFound, "%s cannot be run: %w; build it with make", program, err)
}
