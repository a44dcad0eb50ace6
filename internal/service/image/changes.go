package image

import (
	"path"
	"strings"

	"github.com/docker/go-connections/nat"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerfile/shell"

	"lus/internal/base/errs"
	"lus/internal/model/container"
)

// ApplyChanges applies Dockerfile instructions to a config, as import and
// commit take them: CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD,
// STOPSIGNAL, USER, VOLUME, WORKDIR.
func ApplyChanges(c *container.Config, changes []string) error {
	for _, change := range changes {
		if strings.TrimSpace(change) == "" {
			continue
		}
		ast, err := parser.Parse(strings.NewReader(change))
		if err != nil {
			return badChange(change, err)
		}
		for _, node := range ast.AST.Children {
			command, err := instructions.ParseCommand(node)
			if err != nil {
				return badChange(change, err)
			}
			if err := expand(c, command); err != nil {
				return badChange(change, err)
			}
			if err := apply(c, command, change); err != nil {
				return err
			}
		}
	}
	return nil
}

func badChange(change string, err error) error {
	return errs.New(errs.Invalid, "the change %q is not a valid instruction: %w", change, err)
}

// expand replaces $NAME by what the config's environment says.
func expand(c *container.Config, command instructions.Command) error {
	e, ok := command.(instructions.SupportsSingleWordExpansion)
	if !ok {
		return nil
	}
	lex := shell.NewLex('\\')
	env := shell.EnvsFromSlice(c.Env)
	return e.Expand(func(word string) (string, error) {
		out, _, err := lex.ProcessWord(word, env)
		return out, err
	})
}

func apply(c *container.Config, command instructions.Command, change string) error {
	switch i := command.(type) {
	case *instructions.CmdCommand:
		c.Cmd = line(c, i.ShellDependantCmdLine)
	case *instructions.EntrypointCommand:
		c.Entrypoint = line(c, i.ShellDependantCmdLine)
	case *instructions.EnvCommand:
		for _, kv := range i.Env {
			setEnv(c, kv.Key, kv.Value)
		}
	case *instructions.LabelCommand:
		for _, kv := range i.Labels {
			if c.Labels == nil {
				c.Labels = map[string]string{}
			}
			c.Labels[kv.Key] = kv.Value
		}
	case *instructions.ExposeCommand:
		return expose(c, i.Ports, change)
	case *instructions.VolumeCommand:
		for _, v := range i.Volumes {
			if c.Volumes == nil {
				c.Volumes = map[string]struct{}{}
			}
			c.Volumes[v] = struct{}{}
		}
	case *instructions.WorkdirCommand:
		c.WorkingDir = below(c.WorkingDir, i.Path)
	case *instructions.UserCommand:
		c.User = i.User
	case *instructions.StopSignalCommand:
		c.StopSignal = i.Signal
	case *instructions.OnbuildCommand:
		c.OnBuild = append(c.OnBuild, i.Expression)
	case *instructions.HealthCheckCommand:
		c.Healthcheck = &container.Healthcheck{
			Test: i.Health.Test, Interval: i.Health.Interval, Timeout: i.Health.Timeout,
			StartPeriod: i.Health.StartPeriod, StartInterval: i.Health.StartInterval, Retries: i.Health.Retries,
		}
	default:
		return errs.New(errs.Invalid, "%s is not a valid change command: use CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME or WORKDIR", command.Name())
	}
	return nil
}

// line is a command line; the shell form runs under the image's shell.
func line(c *container.Config, l instructions.ShellDependantCmdLine) container.Strings {
	if !l.PrependShell {
		return container.Strings(l.CmdLine)
	}
	sh := c.Shell
	if len(sh) == 0 {
		sh = []string{"/bin/sh", "-c"}
	}
	return append(append(container.Strings{}, sh...), l.CmdLine...)
}

func setEnv(c *container.Config, key, value string) {
	for i, e := range c.Env {
		if k, _, _ := strings.Cut(e, "="); k == key {
			c.Env[i] = key + "=" + value
			return
		}
	}
	c.Env = append(c.Env, key+"="+value)
}

func expose(c *container.Config, ports []string, change string) error {
	exposed, _, err := nat.ParsePortSpecs(ports)
	if err != nil {
		return badChange(change, err)
	}
	for p := range exposed {
		if c.ExposedPorts == nil {
			c.ExposedPorts = map[string]struct{}{}
		}
		c.ExposedPorts[string(p)] = struct{}{}
	}
	return nil
}

func below(dir, to string) string {
	if !path.IsAbs(to) {
		to = path.Join("/", dir, to)
	}
	return path.Clean(to)
}
