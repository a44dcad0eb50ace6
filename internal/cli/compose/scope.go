package compose

import (
	"context"
	"slices"
	"strconv"

	"lus/internal/base/errs"
	"lus/internal/model/compose"
)

// scope is what a verb is for that acts on containers there are: the services that
// are named, else those that the file switches on, else the whole project.
type scope struct {
	project string
	named   []string
	file    []string // services that the file switches on
	known   []string // those of profiles that are off, too
	counts  bool     // the file says what is meant where nothing is named
}

// scope reads the file where there is one. With -p and without -f it says nothing of
// what is meant: the project may be another's.
func (a *app) scope(ctx context.Context, services []string) (scope, error) {
	l, name, err := a.projectOrName(ctx)
	if err != nil {
		return scope{}, err
	}
	s := scope{project: name, named: services}
	if l == nil {
		return s, nil
	}
	for _, service := range services {
		if !knows(l, service) {
			return scope{}, errs.New(errs.NotFound, "no such service: %s", service)
		}
	}
	s.file, s.known, s.counts = l.Services, l.Project.Known, a.fileCounts()
	return s, nil
}

func (a *app) fileCounts() bool { return a.load.Name == "" || len(a.load.Files) > 0 }

func (s scope) has(c summary) bool {
	switch {
	case len(s.named) > 0:
		return slices.Contains(s.named, c.service())
	case s.counts:
		return slices.Contains(s.file, c.service())
	}
	return true
}

// of are those of a list, sorted by name.
func (s scope) of(list []summary) []summary {
	return slices.DeleteFunc(named(list, nil), func(c summary) bool { return !s.has(c) })
}

// lasting leaves out the containers that `compose run` made, and those that run
// a hook.
func lasting(list []summary) []summary {
	return slices.DeleteFunc(list, func(c summary) bool { return c.once() || c.Labels[compose.LabelHook] != "" })
}

// once says that `compose run` made the container.
func (c summary) once() bool { return c.Labels[compose.LabelOneoff] == "True" }

// numbered keeps the container with a number, or all where it is 0.
func numbered(list []summary, index int) []summary {
	return slices.DeleteFunc(list, func(c summary) bool { return index != 0 && c.Labels[compose.LabelNumber] != strconv.Itoa(index) })
}

// ofService are a service's containers, or the one with a number; those that
// `compose run` made come last, and have none.
func ofService(list []summary, service string, index int) []summary {
	list = named(list, []string{service})
	passing := slices.DeleteFunc(slices.Clone(list), func(c summary) bool { return index != 0 || !c.once() })
	return append(numbered(lasting(list), index), passing...)
}
