package spec

import (
	"path"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"lus/internal/base/errs"
	"lus/internal/model/container"
)

// Exec is the process of an exec: the container's surroundings with what the
// exec says besides.
func Exec(id string, c *container.Config, h *container.HostConfig, x *container.ExecConfig, u User) (*specs.Process, error) {
	cwd := x.WorkingDir
	if cwd == "" {
		cwd = c.WorkingDir
	}
	if cwd == "" {
		cwd = "/"
	}
	if !path.IsAbs(cwd) {
		return nil, errs.New(errs.Invalid, "Cwd must be an absolute path: %s", cwd)
	}
	host := *h
	host.Privileged = h.Privileged || x.Privileged
	set, err := Caps(&host)
	if err != nil {
		return nil, err
	}
	opt, err := SecurityOpt(h.SecurityOpt)
	if err != nil {
		return nil, err
	}
	limits, err := Rlimits(h.Ulimits)
	if err != nil {
		return nil, err
	}
	env := Env(id, c, u.Home)
	if x.Tty && !slices.ContainsFunc(env, func(kv string) bool { return strings.HasPrefix(kv, "TERM=") }) {
		env = append(env, "TERM=xterm")
	}
	p := &specs.Process{
		Terminal: x.Tty, User: u.Spec(), Args: x.Cmd, Env: WithEnv(env, x.Env), Cwd: path.Clean(cwd),
		Capabilities: Capabilities(set, u.UID), Rlimits: limits, NoNewPrivileges: opt.NoNewPrivileges,
	}
	if h.OomScoreAdj != 0 {
		p.OOMScoreAdj = &host.OomScoreAdj
	}
	return p, nil
}
