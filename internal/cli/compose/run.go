package compose

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"lus/internal/base/errs"
	"lus/internal/base/ids"
	"lus/internal/composefile"
	"lus/internal/model/compose"
	"lus/internal/model/container"
)

// runFlags are the flags of run.
type runFlags struct {
	remove, detach, noTTY, tty, stdin, noDeps, servicePorts, aliases bool
	build, quiet, quietBuild, quietPull, removeOrphans               bool
	name, user, workdir, entrypoint, pull                            string
	env, envFiles, labels, publish, volumes, capAdd, capDrop         []string
}

func runCommand() command {
	return command{
		name: "run", args: "SERVICE [COMMAND] [ARGS...]", short: "Run a command once in a new container of a service", rest: true,
		example: "lus compose run --rm web sh",
		flags: func(a *app, f *pflag.FlagSet) func(context.Context, []string) error {
			r := &runFlags{}
			f.BoolVar(&r.remove, "rm", false, "remove the container when it ends")
			f.BoolVarP(&r.detach, "detach", "d", false, "leave it running and print its name")
			f.BoolVarP(&r.noTTY, "no-tty", "T", false, "no terminal (default: one where a person types)")
			f.BoolVar(&r.noDeps, "no-deps", false, "do not start what the service depends on")
			f.BoolVarP(&r.servicePorts, "service-ports", "P", false, "publish the service's ports")
			f.BoolVar(&r.build, "build", false, "build the image first")
			f.BoolVarP(&r.tty, "tty", "t", true, "a terminal, where a person types")
			f.BoolVarP(&r.stdin, "interactive", "i", true, "pass on input")
			f.BoolVar(&r.aliases, "use-aliases", false, "answer to the service's names on its networks")
			f.BoolVarP(&r.quiet, "quiet", "q", false, "print nothing of what is done before the command")
			f.BoolVar(&r.quietBuild, "quiet-build", false, "print nothing of builds but their end")
			f.BoolVar(&r.quietPull, "quiet-pull", false, "print nothing of pulls but their end")
			f.StringVar(&r.pull, "pull", "", "when to pull images: always, missing or never, instead of the file's pull_policy")
			f.BoolVar(&r.removeOrphans, "remove-orphans", truth("COMPOSE_REMOVE_ORPHANS"), "remove containers of services that are no longer in the file")
			f.StringArrayVar(&r.envFiles, "env-from-file", nil, "set the variables of a file")
			f.StringArrayVar(&r.capAdd, "cap-add", nil, "add a capability")
			f.StringArrayVar(&r.capDrop, "cap-drop", nil, "take a capability away")
			f.StringVar(&r.name, "name", "", "name of the container")
			f.StringVarP(&r.user, "user", "u", "", "user and group: name or number[:group]")
			f.StringVarP(&r.workdir, "workdir", "w", "", "working directory")
			f.StringVar(&r.entrypoint, "entrypoint", "", "program to run instead of the image's")
			f.StringArrayVarP(&r.env, "env", "e", nil, "set a variable: NAME=value")
			f.StringArrayVarP(&r.labels, "label", "l", nil, "set a label: NAME=value")
			f.StringArrayVarP(&r.publish, "publish", "p", nil, "publish a port: [[ip:]hostPort:]containerPort")
			f.StringArrayVarP(&r.volumes, "volume", "v", nil, "mount a folder or a volume: SOURCE:TARGET[:ro]")
			return func(ctx context.Context, args []string) error {
				if len(args) == 0 {
					return &usageError{"run takes a service", "See 'lus compose run --help'.\n"}
				}
				return a.runOnce(ctx, r, args[0], args[1:])
			}
		},
	}
}

func (a *app) runOnce(ctx context.Context, r *runFlags, service string, args []string) error {
	l, err := a.project(ctx, []string{service})
	if err != nil {
		return err
	}
	i := slices.IndexFunc(l.Project.Services, func(s compose.Service) bool { return s.Name == service })
	if i < 0 {
		return errs.New(errs.NotFound, "no such service: %s", service)
	}
	if r.pull != "" && !slices.Contains([]string{"always", "missing", "never"}, r.pull) {
		return wrongUse("run", "--pull: write always, missing or never")
	}
	if err := r.readEnv(ctx); err != nil {
		return err
	}
	once, err := r.once(l.Project.Name, l.Project.Services[i], args, r.tty && !r.noTTY && !r.detach && a.terminal())
	if err != nil {
		return err
	}
	l.Project.Services = append(l.Project.Services, *once)
	req := &compose.UpRequest{
		Project: l.Project, Services: []string{once.Name}, Build: r.build, Pull: r.pull, QuietBuild: r.quietBuild, QuietPull: r.quietPull,
		RemoveOrphans: r.removeOrphans, IgnoreOrphans: truth("COMPOSE_IGNORE_ORPHANS"),
	}
	if err := a.credentials(l.Project); err != nil {
		return err
	}
	req.By = caller()
	req.By.Command = "lus compose run " + service // what follows may be secret
	p := a.printer()
	p.quiet = p.quiet || r.quiet
	if err := a.stream(ctx, "up", req, p); err != nil {
		return err
	}
	if !r.detach {
		return become("start", "--attach", boolFlag("interactive", r.stdin), once.ContainerName)
	}
	body, err := a.daemon.Do(ctx, "POST", "/containers/"+once.ContainerName+"/start", nil)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(a.Out, once.ContainerName)
	return errors.Join(err, body.Close())
}

// readEnv takes in the variables of the files given; -e wins.
func (r *runFlags) readEnv(ctx context.Context) error {
	if len(r.envFiles) == 0 {
		return nil
	}
	env, err := composefile.EnvFiles(ctx, r.envFiles)
	if err != nil {
		return errs.New(errs.Invalid, "--env-from-file: %w", err)
	}
	r.env = append(env, r.env...)
	return nil
}

// once is a service beside the one it is made from: one container that is made
// and not started, under a label that says it does not last.
func (r *runFlags) once(project string, s compose.Service, args []string, tty bool) (*compose.Service, error) {
	s.Name += " (run)" // no service of a file can be called so
	s.Scale, s.Hold = 1, true
	s.ContainerName = r.name
	if s.ContainerName == "" {
		s.ContainerName = project + "-" + s.Create.Labels[compose.LabelService] + "-run-" + ids.Short(ids.New())
	}
	if r.noDeps {
		s.DependsOn = nil
	}
	c, host := &s.Create, *s.Create.HostConfig
	c.HostConfig = &host
	c.Labels = maps.Clone(c.Labels)
	c.Labels[compose.LabelOneoff] = "True"
	c.Labels[compose.LabelSlug] = ids.New()
	host.RestartPolicy, host.AutoRemove = container.RestartPolicy{}, r.remove
	c.Tty, c.OpenStdin, c.StdinOnce = tty, r.stdin && !r.detach, r.stdin && !r.detach
	host.CapAdd, host.CapDrop = append(slices.Clone(host.CapAdd), r.capAdd...), append(slices.Clone(host.CapDrop), r.capDrop...)
	if err := r.replace(c, args); err != nil {
		return nil, err
	}
	if c.NetworkingConfig != nil && !r.aliases { // its name stays with the containers that last
		own := map[string]*container.Endpoint{}
		for name, e := range c.NetworkingConfig.EndpointsConfig {
			alone := *e
			alone.Aliases = nil
			own[name] = &alone
		}
		c.NetworkingConfig = &container.NetworkingConfig{EndpointsConfig: own}
	}
	return &s, nil
}

// replace puts the flags in the place of what the file says.
func (r *runFlags) replace(c *container.CreateRequest, args []string) error {
	if r.entrypoint != "" {
		c.Entrypoint, c.Cmd = strings.Fields(r.entrypoint), container.Strings{}
	}
	if len(args) > 0 {
		c.Cmd = args
	}
	if r.user != "" {
		c.User = r.user
	}
	if r.workdir != "" {
		c.WorkingDir = r.workdir
	}
	for _, e := range r.env {
		name, _, ok := strings.Cut(e, "=")
		if !ok {
			e += "=" + os.Getenv(name)
		}
		c.Env = append(slices.DeleteFunc(slices.Clone(c.Env), func(old string) bool { return strings.HasPrefix(old, name+"=") }), e)
	}
	for _, l := range r.labels {
		name, value, _ := strings.Cut(l, "=")
		c.Labels[name] = value
	}
	for _, v := range r.volumes {
		if source, rest, ok := strings.Cut(v, ":"); ok && strings.HasPrefix(source, ".") {
			abs, err := filepath.Abs(source)
			if err != nil {
				return err
			}
			v = abs + ":" + rest
		}
		c.HostConfig.Binds = append(c.HostConfig.Binds, v)
	}
	if !r.servicePorts {
		c.HostConfig.PortBindings = container.PortMap{}
	}
	for _, p := range r.publish {
		ports, err := container.ParsePublish(p)
		if err != nil {
			return errs.With(errs.Invalid, err)
		}
		for _, p := range ports {
			b := container.PortBinding{}
			if p.HostIP.IsValid() {
				b.HostIP = p.HostIP.String()
			}
			if p.HostLo != 0 {
				b.HostPort = fmt.Sprintf("%d-%d", p.HostLo, p.HostHi)
			}
			c.HostConfig.PortBindings[p.Port.String()] = append(c.HostConfig.PortBindings[p.Port.String()], b)
		}
	}
	return nil
}
