package engine

import (
	"strings"

	"lus/internal/base/errs"
)

// find returns the container with this name, id, or prefix of an id that only
// one has.
func (e *Engine) find(name string) (*unit, error) {
	if name == "" {
		return nil, errs.New(errs.Invalid, "a container's name or id is needed")
	}
	e.mu.RLock()
	defer e.mu.RUnlock()
	if u := e.units[name]; u != nil && u.made.Load() {
		return u, nil
	}
	if u := e.names[strings.TrimPrefix(name, "/")]; u != nil && u.made.Load() {
		return u, nil
	}
	var found *unit
	for id, u := range e.units {
		if !strings.HasPrefix(id, name) || !u.made.Load() {
			continue
		}
		if found != nil {
			return nil, errs.New(errs.Invalid, "Multiple IDs found with provided prefix: %s", name)
		}
		found = u
	}
	if found == nil {
		return nil, errs.New(errs.NotFound, "No such container: %s", name)
	}
	return found, nil
}

// claimName takes a name for u, or says who has it.
func (e *Engine) claimName(u *unit, name string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if holder := e.names[name]; holder != nil && holder != u {
		return errs.New(errs.Conflict, "Conflict. The container name %q is already in use by container %q. You have to remove (or rename) that container to be able to reuse that name.", "/"+name, holder.id)
	}
	e.names[name] = u
	return nil
}

// freeName gives a name back, where it is u's.
func (e *Engine) freeName(u *unit, name string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.names[name] == u {
		delete(e.names, name)
	}
}
