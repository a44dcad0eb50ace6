package composefile

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"

	"lus/internal/model/compose"
)

// Watch is one rule of develop.watch.
type Watch struct {
	Service              string
	Nth                  int // in the service's list
	Path, Action, Target string
	Ignore, Include      []string
	InitialSync          bool
	Exec                 compose.Hook
	Build                *Context // nil: the service is not built
	Mounted              string   // where the service mounts a folder that Path is in; empty: it does not
}

// Context says where a service is built from.
type Context struct{ Folder, Dockerfile string }

// The rules' actions.
const (
	Rebuild  = "rebuild"
	Restart  = "restart"
	syncs    = "sync"
	restarts = "sync+restart"
	execs    = "sync+exec"
)

// Syncs says that the rule copies files into containers.
func (w Watch) Syncs() bool { return strings.HasPrefix(w.Action, syncs) }

// Restarts says that the containers start again once the files are there.
func (w Watch) Restarts() bool { return w.Action == Restart || w.Action == restarts }

// Execs says that a command is run once the files are there.
func (w Watch) Execs() bool { return w.Action == execs }

// Watches are the rules of all services, by the services' names. Of those that do
// not run and that others are built from, they are the ones that rebuild.
func (l *Loaded) Watches() []Watch {
	all := maps.Clone(map[string]types.ServiceConfig(l.source.Services))
	for _, base := range l.Project.Bases {
		all[base.Name] = l.source.AllServices()[base.Name]
	}
	var out []Watch
	for _, name := range slices.Sorted(maps.Keys(all)) {
		s := all[name]
		if s.Develop == nil {
			continue
		}
		_, runs := l.source.Services[name]
		for i, t := range s.Develop.Watch {
			if !runs && string(t.Action) != Rebuild {
				continue
			}
			w := Watch{
				Service: name, Nth: i, Path: t.Path, Action: string(t.Action), Target: t.Target,
				Ignore: t.Ignore, Include: t.Include, InitialSync: t.InitialSync, Exec: hook(t.Exec), Mounted: mountedAt(s, t.Path),
			}
			if s.Build != nil {
				w.Build = &Context{s.Build.Context, s.Build.Dockerfile}
			}
			out = append(out, w)
		}
	}
	return out
}

// mountedAt is where a service mounts a folder of the host that a path is in;
// empty: nowhere.
func mountedAt(s types.ServiceConfig, path string) string {
	for _, v := range s.Volumes {
		if v.Type != types.VolumeTypeBind {
			continue
		}
		if rel, err := filepath.Rel(v.Source, path); err == nil && rel != ".." && !strings.HasPrefix(rel, "../") {
			return v.Target
		}
	}
	return ""
}
