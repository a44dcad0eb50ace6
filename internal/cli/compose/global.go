package compose

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"lus/internal/base/errs"
	"lus/internal/cli/terminal"
	"lus/internal/composefile"
)

// look registers the options that say how things are printed and how much goes
// on at once.
func (a *app) look(f *pflag.FlagSet) {
	f.StringVar(&a.progress, "progress", "", "how steps are shown: auto, tty, plain, json or quiet (default: COMPOSE_PROGRESS, else auto)")
	f.StringVar(&a.ansi, "ansi", "", "colours: auto, always or never (default: COMPOSE_ANSI, else auto)")
	f.IntVar(&a.parallel, "parallel", 0, "how many steps may go on at once, -1 for no bound (default: COMPOSE_PARALLEL_LIMIT, else as many as help)")
	f.BoolVar(&a.load.All, "all-resources", false, "networks and volumes that no service uses too")
	f.BoolVar(&a.dryRun, "dry-run", false, "print what would be done, and do nothing")
	f.BoolVar(&a.verbose, "verbose", false, "say which files are read")
	f.StringVar(&a.load.Dir, "workdir", "", "the same as --project-directory")
	f.Bool("compatibility", false, "names with _ as docker-compose 1 made them: not to be had")
	f.Bool("no-ansi", false, "the same as --ansi never")
	_ = f.MarkHidden("no-ansi")
	_ = f.MarkHidden("workdir")
	_ = f.MarkHidden("compatibility")
}

// settle takes over what the environment says where no flag does.
func (a *app) settle(ctx context.Context, f *pflag.FlagSet) error {
	if on, err := f.GetBool("compatibility"); err == nil && on {
		return &usageError{"--compatibility: containers are named PROJECT-SERVICE-1 here: leave it out", "See 'lus compose --help'.\n"}
	}
	if err := a.environment(ctx); err != nil {
		return err
	}
	if on, err := f.GetBool("no-ansi"); err == nil && on && a.ansi == "" {
		a.ansi = "never"
	}
	for _, o := range []struct {
		value      *string
		flag, name string
		words      []string
	}{
		{&a.progress, "--progress", "COMPOSE_PROGRESS", progressWords()},
		{&a.ansi, "--ansi", "COMPOSE_ANSI", []string{"auto", "always", "never"}},
	} {
		from := o.flag
		if *o.value == "" {
			*o.value, from = os.Getenv(o.name), o.name
		}
		switch {
		case *o.value == "":
			*o.value = "auto"
		case !slices.Contains(o.words, *o.value):
			return &usageError{fmt.Sprintf("%s %q: write %s", from, *o.value, strings.Join(o.words, ", ")), "See 'lus compose --help'.\n"}
		}
	}
	return a.bound(f)
}

// progressWords are the ways in which steps are shown.
func progressWords() []string { return []string{"auto", "tty", "plain", "json", "quiet"} }

func (a *app) bound(f *pflag.FlagSet) error {
	limit := os.Getenv("COMPOSE_PARALLEL_LIMIT")
	if !f.Changed("parallel") && limit != "" {
		n, err := strconv.Atoi(limit)
		if err != nil {
			return &usageError{fmt.Sprintf("COMPOSE_PARALLEL_LIMIT %q is not a number", limit), "See 'lus compose --help'.\n"}
		}
		a.parallel = n
	}
	if a.parallel == 0 && f.Changed("parallel") || a.parallel < -1 {
		return &usageError{"--parallel: write a number above 0, or -1 for no bound", "See 'lus compose --help'.\n"}
	}
	return nil
}

// environment takes the variables that speak to Compose itself from the files
// of variables too; what the environment has wins.
func (a *app) environment(ctx context.Context) error {
	if len(a.load.EnvFiles) == 0 {
		if list := os.Getenv("COMPOSE_ENV_FILES"); list != "" {
			a.load.EnvFiles = strings.Split(list, ",")
		}
	}
	variables, err := a.load.ComposeVariables(ctx)
	for name, value := range variables {
		if _, set := os.LookupEnv(name); !set {
			_ = os.Setenv(name, value)
		}
	}
	return err
}

// truth reads a variable that switches something on.
func truth(name string) bool {
	on, err := strconv.ParseBool(os.Getenv(name))
	return err == nil && on
}

// colored says whether output to a person has colours.
func (a *app) colored() bool {
	return a.ansi == "always" || a.ansi != "never" && isTerminal(a.Out) && os.Getenv("NO_COLOR") == ""
}

// printer tells of the steps as --progress says.
func (a *app) printer() *printer {
	to := a.Err
	if truth("COMPOSE_STATUS_STDOUT") {
		to = a.Out
	}
	p := &printer{w: terminal.NewLog(to), out: a.Out, quiet: a.progress == "quiet", json: a.progress == "json", plain: a.attached, color: a.colored()}
	if f, ok := to.(*os.File); ok && (a.progress == "tty" || a.progress == "auto" && isTerminal(f)) {
		p.tty = f
	}
	return p
}

// options are those of loading with the services asked for.
func (a *app) options(services []string) composefile.Options {
	o := a.load
	o.Services = services
	return o
}

// project loads the files and tells what has no effect.
func (a *app) project(ctx context.Context, services []string) (*composefile.Loaded, error) {
	l, err := composefile.Load(ctx, a.options(services))
	if err != nil {
		return nil, err
	}
	if a.verbose {
		for _, f := range l.Project.ConfigFiles {
			fmt.Fprintln(a.Err, "read "+f)
		}
	}
	for _, w := range l.Warnings {
		fmt.Fprintln(a.Err, "warning: "+w)
	}
	l.Project.Parallel = a.parallel
	return l, nil
}

// quietly loads the files for verbs that act on what runs already: what the file
// warns of was said when it was brought up.
func (a *app) quietly(ctx context.Context) (*composefile.Loaded, error) {
	return composefile.Load(ctx, a.options(nil))
}

// givenName is the project's name where it is given beside the files.
func (a *app) givenName() string {
	if a.load.Name != "" {
		return a.load.Name
	}
	return os.Getenv("COMPOSE_PROJECT_NAME")
}

// projectName is the project's name for verbs that do without the file: -p
// first, then the environment's, then the file's.
func (a *app) projectName(ctx context.Context) (string, error) {
	if name := a.givenName(); name != "" {
		return name, nil
	}
	l, err := a.quietly(ctx)
	if err != nil {
		return "", err
	}
	return l.Project.Name, nil
}

// projectOrName is the project for verbs that make use of the file where there
// is one: none where a name alone is given.
func (a *app) projectOrName(ctx context.Context) (*composefile.Loaded, string, error) {
	l, err := a.quietly(ctx)
	switch {
	case err == nil:
		return l, l.Project.Name, nil
	case errs.Is(err, errs.NotFound) && a.givenName() != "" && len(a.load.Files) == 0:
		return nil, a.givenName(), nil
	}
	return nil, "", err
}
