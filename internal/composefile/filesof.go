package composefile

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"path"
	"strconv"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"

	"lus/internal/base/errs"
	"lus/internal/model/compose"
	"lus/internal/model/container"
)

// maxSecret bounds a secret or config that is copied into a container, as swarm
// does.
const maxSecret = 1 << 20

// shownFile is a secret or a config as one service asks to see it.
type shownFile struct {
	kind, name string // secret or config, and its name in the file
	object     types.FileObjectConfig
	ref        types.FileReferenceConfig
	target     string
}

// shownFiles are a service's secrets and configs.
func shownFiles(p *types.Project, s types.ServiceConfig) []shownFile {
	var out []shownFile
	for _, c := range s.Secrets {
		out = append(out, shownFile{"secret", c.Source, types.FileObjectConfig(p.Secrets[c.Source]), types.FileReferenceConfig(c), placeOf(c.Target, c.Source, "/run/secrets/")})
	}
	for _, c := range s.Configs {
		out = append(out, shownFile{"config", c.Source, types.FileObjectConfig(p.Configs[c.Source]), types.FileReferenceConfig(c), placeOf(c.Target, c.Source, "/")})
	}
	return out
}

// placeOf is where a file is shown: as asked for, else under its name in dir.
func placeOf(target, name, dir string) string {
	target = cmp.Or(target, name)
	if !strings.HasPrefix(target, "/") {
		target = dir + target
	}
	return path.Clean(target)
}

// isShown says that the host's file itself is shown, with its own owner and mode.
func (f shownFile) isShown() bool {
	return f.object.File != "" && f.ref.UID == "" && f.ref.GID == "" && f.ref.Mode == nil
}

// fileMounts shows secrets and configs that are files of the host.
func fileMounts(p *types.Project, s types.ServiceConfig) []container.Mount {
	var out []container.Mount
	for _, f := range shownFiles(p, s) {
		if f.isShown() {
			out = append(out, container.Mount{Type: "bind", Source: f.object.File, Target: f.target, ReadOnly: true})
		}
	}
	return out
}

// copiedFiles are the secrets and configs that are put into the container: from
// variables, from the file itself, and those with an owner or a mode.
func copiedFiles(p *types.Project, s types.ServiceConfig) ([]compose.File, error) {
	var out []compose.File
	for _, f := range shownFiles(p, s) {
		if f.isShown() {
			continue
		}
		file, err := f.copied(p)
		if err != nil {
			return nil, err
		}
		for _, t := range s.Tmpfs {
			dir, _, _ := strings.Cut(t, ":")
			if strings.HasPrefix(f.target, path.Clean(dir)+"/") {
				return nil, errs.New(errs.Invalid, "%ss: %s %s cannot be seen at %s, over which tmpfs %s lies: give it another target", f.kind, f.kind, f.name, f.target, dir)
			}
		}
		out = append(out, file)
	}
	return out, nil
}

func (f shownFile) copied(p *types.Project) (compose.File, error) {
	out := compose.File{Key: f.kind + "s." + f.name, Target: f.target, Mode: 0o444}
	if f.ref.Mode != nil {
		out.Mode = uint32(*f.ref.Mode) & 0o7777 //nolint:gosec // bounded by the mask
	}
	for _, id := range []struct {
		key, text string
		to        *int
	}{{"uid", f.ref.UID, &out.UID}, {"gid", f.ref.GID, &out.GID}} {
		if id.text == "" {
			continue
		}
		n, err := strconv.ParseUint(id.text, 10, 31)
		if err != nil {
			return out, errs.New(errs.Invalid, "%ss: %s %s: %s %q is not a number", f.kind, f.kind, f.name, id.key, id.text)
		}
		*id.to = int(n)
	}
	var err error
	if f.object.File != "" {
		out.Data, err = f.read()
	} else if out.Data, err = value(p, f.kind, f.name, f.object); err != nil {
		err = errs.New(errs.Invalid, "%ss: %w", f.kind, err)
	}
	if err == nil && len(out.Data) > maxSecret {
		err = errs.New(errs.Invalid, "%ss: %s %s has more than %d KB: mount it as a volume", f.kind, f.kind, f.name, maxSecret>>10)
	}
	return out, err
}

// value is what a secret or config holds that is no file: its content in the
// file, or a variable's value. In files that are included with variables of
// their own the library has looked that up already.
func value(p *types.Project, kind, name string, o types.FileObjectConfig) ([]byte, error) {
	if o.Environment == "" || o.Content != "" {
		return []byte(o.Content), nil
	}
	text, set := p.Environment[o.Environment]
	if !set {
		return nil, fmt.Errorf("environment variable %q required by %s %q is not set", o.Environment, kind, name)
	}
	return []byte(text), nil
}

// read reads the file that a secret or config names, as the user who asks.
func (f shownFile) read() ([]byte, error) {
	file, err := os.Open(f.object.File)
	if err == nil {
		defer file.Close()
		var info os.FileInfo
		if info, err = file.Stat(); err == nil && !info.Mode().IsRegular() {
			return nil, errs.New(errs.Invalid, "%ss: %s %s: %s is not a file: uid, gid and mode are for files", f.kind, f.kind, f.name, f.object.File)
		}
	}
	if err != nil {
		return nil, errs.New(errs.Invalid, "%ss: %s %s: %w", f.kind, f.kind, f.name, err)
	}
	return io.ReadAll(io.LimitReader(file, maxSecret+1))
}

// hooks are commands to run in a container of the service.
func hooks(list []types.ServiceHook) []compose.Hook {
	var out []compose.Hook
	for _, h := range list {
		out = append(out, hook(h))
	}
	return out
}

func hook(h types.ServiceHook) compose.Hook {
	return compose.Hook{Cmd: h.Command, User: h.User, Privileged: h.Privileged, WorkingDir: h.WorkingDir, Env: environment(h.Environment)}
}
