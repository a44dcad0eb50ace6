package union

import (
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"lus/internal/model/container"
)

// Changes tells what the topmost layer changes of those below it, by path.
// Stubs are paths that were made to mount something on: empty ones are no
// changes, nor are the folders made to hold them.
func (f *FS) Changes(stubs []string) ([]container.Change, error) {
	c := &comparer{fs: f, stubs: map[string]bool{}}
	for _, s := range stubs {
		for at := strings.Trim(path.Clean("/"+s), "/"); at != "" && at != "."; at = path.Dir(at) {
			c.stubs[at] = true
		}
	}
	below := &node{}
	for i := range f.roots[1:] {
		below.layers = append(below.layers, i+1)
	}
	if _, err := c.folder("", below); err != nil {
		return nil, err
	}
	slices.SortFunc(c.found, func(a, b container.Change) int { return strings.Compare(a.Path, b.Path) })
	return c.found, nil
}

type comparer struct {
	fs    *FS
	stubs map[string]bool // without a slash at the beginning; what holds them too
	found []container.Change
}

func (c *comparer) add(rel string, k container.ChangeKind) {
	c.found = append(c.found, container.Change{Path: "/" + rel, Kind: k})
}

// folder compares one folder of the topmost layer with what was below it (nil:
// nothing) and reports whether something in it changed.
func (c *comparer) folder(rel string, below *node) (changed bool, err error) {
	names, err := c.fs.list(&node{path: rel, layers: []int{0}})
	if err != nil {
		return false, err
	}
	if below != nil && rel != "" && c.fs.opaque(0, rel) {
		hidden, err := c.hidden(below, names)
		if err != nil {
			return false, err
		}
		changed = hidden
	}
	for _, name := range names {
		one, err := c.entry(path.Join(rel, name), name, below)
		if err != nil {
			return false, err
		}
		changed = changed || one
	}
	return changed, nil
}

// hidden are the names that a folder made anew no longer shows.
func (c *comparer) hidden(below *node, names []string) (bool, error) {
	old, err := c.fs.list(below)
	if err != nil {
		return false, err
	}
	any := false
	for _, name := range old {
		if slices.Contains(names, name) {
			continue
		}
		kid, err := c.fs.child(below, name)
		if err != nil {
			return false, err
		}
		if kid != nil {
			c.add(kid.path, container.Deleted)
			any = true
		}
	}
	return any, nil
}

func (c *comparer) entry(rel, name string, below *node) (changed bool, err error) {
	st, ok, err := c.fs.stat(0, rel)
	if err != nil || !ok {
		return false, err // gone since its name was read
	}
	var old *node
	if below != nil && below.isFolder() {
		if old, err = c.fs.child(below, name); err != nil {
			return false, err
		}
	}
	switch {
	case whiteout(&st):
		if old != nil {
			c.add(rel, container.Deleted)
		}
		return old != nil, nil
	case st.Mode&unix.S_IFMT == unix.S_IFDIR:
		return c.subfolder(rel, &st, old)
	case old != nil && c.stubs[rel] && empty(&st) && empty(&old.stat):
		return false, nil // a start of an earlier version made it, where no layer had one
	case old != nil:
		c.add(rel, container.Modified)
		return true, nil
	case c.stubs[rel] && (st.Size == 0 || st.Mode&unix.S_IFMT != unix.S_IFREG):
		return false, nil
	}
	c.add(rel, container.Added)
	return true, nil
}

func (c *comparer) subfolder(rel string, st *unix.Stat_t, old *node) (bool, error) {
	inner := old
	if old != nil && !old.isFolder() {
		inner = nil
	}
	at := len(c.found)
	changed, err := c.folder(rel, inner)
	if err != nil {
		return false, err
	}
	kind := container.Added
	if old != nil {
		kind = container.Modified
	}
	switch {
	case changed:
	case old == nil && c.stubs[rel]:
		return false, nil
	case inner != nil && sameAttributes(st, &inner.stat) && (c.stubs[rel] || st.Mtim == inner.stat.Mtim):
		return false, nil // copied up on the way to something, or to hold a stub
	}
	c.found = slices.Insert(c.found, at, container.Change{Path: "/" + rel, Kind: kind})
	return true, nil
}

// empty tells of a file to mount on.
func empty(st *unix.Stat_t) bool { return st.Mode&unix.S_IFMT == unix.S_IFREG && st.Size == 0 }

// isFolder reports whether the merged view has a folder here; the root is one.
func (n *node) isFolder() bool { return n.path == "" || n.kind() == unix.S_IFDIR }

func sameAttributes(a, b *unix.Stat_t) bool {
	return a.Mode == b.Mode && a.Uid == b.Uid && a.Gid == b.Gid
}
