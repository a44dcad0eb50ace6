package compose

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"lus/internal/base/errs"
	"lus/internal/client"
	"lus/internal/composefile"
	"lus/internal/model/compose"
)

// upFlags are the flags of up, create and scale.
type upFlags struct {
	req                   compose.UpRequest
	detach, noDeps, watch bool
	menued                bool
	scale                 []string
	settle                func()
	follow                followFlags
}

// making registers what up and create share.
func (o *upFlags) making(f *pflag.FlagSet) {
	r := &o.req
	f.BoolVar(&r.Build, "build", false, "build images first")
	f.BoolVar(&r.NoBuild, "no-build", false, "do not build, even where an image is missing")
	f.BoolVar(&r.ForceRecreate, "force-recreate", false, "replace containers even where nothing changed")
	f.BoolVar(&r.NoRecreate, "no-recreate", false, "leave containers that exist as they are")
	f.BoolVar(&r.RemoveOrphans, "remove-orphans", truth("COMPOSE_REMOVE_ORPHANS"), "remove containers of services that are no longer in the file")
	f.StringVar(&r.Pull, "pull", "", "when to pull images: always, missing, never or build, instead of the file's pull_policy")
	f.BoolVar(&r.QuietPull, "quiet-pull", false, "print nothing of pulls but their end")
	f.BoolP("yes", "y", false, "yes to every question: there is none")
	f.StringArrayVar(&o.scale, "scale", nil, "SERVICE=NUM: how many containers of a service to run")
}

func (o *upFlags) flags(f *pflag.FlagSet) {
	r := &o.req
	o.making(f)
	f.BoolVarP(&o.detach, "detach", "d", false, "leave the containers running and return")
	f.BoolVar(&o.noDeps, "no-deps", false, "leave alone what the services depend on")
	f.BoolVar(&r.NoStart, "no-start", false, "create, and do not start")
	f.BoolVar(&r.Wait, "wait", false, "wait until the services run, and are healthy where they can say so; implies -d")
	f.IntVar(&r.WaitTimeout, "wait-timeout", 0, "seconds that --wait may take")
	f.BoolVar(&r.RecreateDeps, "always-recreate-deps", false, "replace also what the services depend on")
	f.BoolVarP(&r.NewVolumes, "renew-anon-volumes", "V", false, "give replaced containers new anonymous volumes")
	f.BoolVar(&r.QuietBuild, "quiet-build", false, "print nothing of builds but their end")
	o.settle = timeoutFlag(f, &r.Timeout)
	f.BoolVar(&o.follow.abort, "abort-on-container-exit", false, "stop all containers when one ends")
	f.BoolVar(&o.follow.abortFailed, "abort-on-container-failure", false, "stop all containers when one ends with an exit code that is not 0")
	f.StringVar(&o.follow.codeFrom, "exit-code-from", "", "end with this service's exit code; implies --abort-on-container-exit")
	f.StringArrayVar(&o.follow.attach, "attach", nil, "show the output of these services only")
	f.StringArrayVar(&o.follow.noAttach, "no-attach", nil, "do not show the output of these services")
	f.BoolVar(&o.follow.deps, "attach-dependencies", false, "show the output of what the services depend on too")
	f.BoolVar(&o.follow.noColor, "no-color", false, "print without colours")
	f.BoolVar(&o.follow.noPrefix, "no-log-prefix", false, "leave out the containers' names")
	f.BoolVar(&o.follow.timestamps, "timestamps", false, "print the time of each line")
	f.BoolVarP(&o.watch, "watch", "w", false, "follow changes of the sources, as `lus compose watch` does")
	f.BoolVar(&o.menued, "menu", false, "shortcuts to type: not to be had")
}

// check refuses flags that contradict each other.
func (o *upFlags) check(verb string) error {
	r, follows := &o.req, o.follow.abort || o.follow.abortFailed || o.follow.codeFrom != ""
	for _, c := range []struct {
		wrong bool
		what  string
	}{
		{r.Build && r.NoBuild, "--build and --no-build are incompatible"},
		{r.ForceRecreate && r.NoRecreate, "--force-recreate and --no-recreate are incompatible"},
		{r.RecreateDeps && r.NoRecreate, "--always-recreate-deps and --no-recreate are incompatible"},
		{(o.detach || r.Wait) && (follows || o.follow.deps || len(o.follow.attach) > 0), "--detach or --wait cannot be combined with --abort-on-container-exit, --abort-on-container-failure, --exit-code-from, --attach or --attach-dependencies"},
		{r.NewVolumes && r.NoRecreate, "--renew-anon-volumes and --no-recreate are incompatible"},
		{o.follow.deps && len(o.follow.attach) > 0, "--attach and --attach-dependencies are incompatible"},
		{o.watch && r.NoBuild, "--watch and --no-build are incompatible: a rebuild builds"},
		{o.follow.abort && o.follow.abortFailed, "--abort-on-container-exit and --abort-on-container-failure are incompatible"},
		{r.NoStart && (r.Wait || follows), "--no-start cannot be combined with --wait or what follows containers"},
		{o.watch && (o.detach || r.Wait), "--watch follows changes in the foreground: leave out --detach and --wait"},
		{r.WaitTimeout < 0, "--wait-timeout: write seconds"},
		{o.menued, "--menu: there are no shortcuts to type here: use another terminal for `lus compose` commands"},
		{r.Pull != "" && !slices.Contains([]string{"always", "missing", "never", "build"}, r.Pull), "--pull: write always, missing, never or build"},
	} {
		if c.wrong {
			return wrongUse(verb, "%s", c.what)
		}
	}
	if o.follow.codeFrom != "" && !o.follow.abortFailed {
		o.follow.abort = true
	}
	if r.Pull == "build" {
		r.Pull, r.Build = "", true
	}
	r.IgnoreOrphans = truth("COMPOSE_IGNORE_ORPHANS")
	if r.IgnoreOrphans && r.RemoveOrphans {
		return wrongUse(verb, "COMPOSE_IGNORE_ORPHANS and --remove-orphans cannot be combined")
	}
	return nil
}

func upCommand() command {
	return command{
		name: "up", dry: true, args: "[SERVICE...]", short: "Create and start what the file describes; only what changed is touched",
		example: "lus compose up -d",
		flags: func(a *app, f *pflag.FlagSet) func(context.Context, []string) error {
			o := &upFlags{}
			o.flags(f)
			f.BoolVar(&a.dryRun, "dry-run", a.dryRun, "print what would be done, and do nothing")
			return func(ctx context.Context, services []string) error {
				if err := o.check("up"); err != nil {
					return err
				}
				o.settle()
				a.load.Together = !o.req.NoStart
				l, err := a.prepared(ctx, "up", o, services)
				if err != nil {
					return err
				}
				if len(l.Project.Services) == 0 && !a.load.All {
					return errs.New(errs.Invalid, "no service selected: all are in profiles that are not switched on; name services, or profiles with --profile")
				}
				if o.detach || o.req.Wait || o.req.NoStart || a.dryRun {
					return a.up(ctx, &o.req)
				}
				if o.watch {
					return a.upAndWatch(ctx, &o.req, l, &o.follow)
				}
				return a.foreground(ctx, &o.req, &o.follow, func() {})
			}
		},
	}
}

// prepared loads the project and fits the request to it.
func (a *app) prepared(ctx context.Context, verb string, o *upFlags, services []string) (*composefile.Loaded, error) {
	l, err := a.project(ctx, services)
	if err != nil {
		return nil, err
	}
	if err := applyScale(verb, l.Project, o.scale); err != nil {
		return nil, err
	}
	if err := l.Room(); err != nil && a.load.Together {
		return nil, err
	}
	if o.noDeps {
		alone(l.Project, services)
	}
	o.req.Project, o.req.Services = l.Project, services
	return l, a.credentials(l.Project)
}

// alone takes from services what they depend on: they alone are meant.
func alone(p *compose.Project, services []string) {
	for i := range p.Services {
		if len(services) == 0 || slices.Contains(services, p.Services[i].Name) {
			p.Services[i].DependsOn = nil
		}
	}
}

// up brings the project up; where that fails it says what runs and what does not.
func (a *app) up(ctx context.Context, req *compose.UpRequest) error {
	return a.told(ctx, req, a.stream(ctx, "up", req, a.printer()))
}

func createCommand() command {
	return command{
		name: "create", dry: true, args: "[SERVICE...]", short: "Create what the file describes, and do not start it", example: "lus compose create",
		flags: func(a *app, f *pflag.FlagSet) func(context.Context, []string) error {
			o := &upFlags{}
			o.making(f)
			return func(ctx context.Context, services []string) error {
				if err := o.check("create"); err != nil {
					return err
				}
				o.req.NoStart = true
				if _, err := a.prepared(ctx, "create", o, services); err != nil {
					return err
				}
				return a.up(ctx, &o.req)
			}
		},
	}
}

func scaleCommand() command {
	return command{
		name: "scale", dry: true, args: "SERVICE=NUM...", short: "Run so many containers of services", example: "lus compose scale web=3",
		flags: func(a *app, f *pflag.FlagSet) func(context.Context, []string) error {
			noDeps := f.Bool("no-deps", false, "leave alone what the services depend on")
			return func(ctx context.Context, args []string) error {
				if len(args) == 0 {
					return wrongUse("scale", "scale takes services and how many containers to run, as web=3")
				}
				o := &upFlags{noDeps: *noDeps, scale: args}
				o.req.NoRecreate, o.req.IgnoreOrphans = true, truth("COMPOSE_IGNORE_ORPHANS")
				var services []string
				for _, arg := range args {
					name, _, _ := strings.Cut(arg, "=")
					services = append(services, name)
				}
				a.load.Together = true
				if _, err := a.prepared(ctx, "scale", o, services); err != nil {
					return err
				}
				return a.up(ctx, &o.req)
			}
		},
	}
}

func applyScale(verb string, p *compose.Project, scale []string) error {
	for _, s := range scale {
		name, count, ok := strings.Cut(s, "=")
		n, err := strconv.Atoi(count)
		if !ok || err != nil || n < 0 {
			return wrongUse(verb, "invalid scale %q: write SERVICE=NUM, as in web=3", s)
		}
		found := false
		for i := range p.Services {
			svc := &p.Services[i]
			if svc.Name != name {
				continue
			}
			found = true
			if svc.ContainerName != "" && n > 1 {
				return errs.New(errs.Invalid, "service %s has container_name %s and so can have one container only: remove container_name to scale it", name, svc.ContainerName)
			}
			svc.Scale = n
		}
		if !found {
			return errs.New(errs.NotFound, "no such service: %s", name)
		}
	}
	return nil
}

// credentials adds to a project that may pull, build and run what the user has in
// Docker's configuration file: credentials of registries, and proxies.
func (a *app) credentials(p *compose.Project) error {
	auth, err := client.AllCredentials(a.warn)
	if err != nil {
		return err
	}
	p.Auth = auth
	chosen, err := client.ReadConfig()
	if err != nil {
		return err
	}
	host := ""
	if d, ok := a.daemon.(interface{ Host() string }); ok {
		host = d.Host()
	}
	for _, v := range chosen.ProxyVariables(host) {
		if p.Proxies == nil {
			p.Proxies = map[string]string{}
		}
		p.Proxies[v.Name] = v.Value
	}
	return nil
}
