package folder

import (
	"io/fs"
	"path"

	"golang.org/x/sys/unix"
)

// dirList is what is in a folder.
type dirList struct {
	dir   *dir
	names []named
	err   error
}

// named is a name in a folder with its kind.
type named struct {
	name string
	kind fs.FileMode
	stat *unix.Stat_t // nil: nobody has looked yet
}

func (l *dirList) drop() {
	if l.dir != nil {
		l.dir.drop()
	}
}

// readDir opens a folder and lists it.
func readDir(parent *dir, name string) *dirList {
	d, err := openDir(parent.fd, name)
	if err != nil {
		return &dirList{err: err}
	}
	names, err := list(d.fd)
	return &dirList{dir: d, names: names, err: err}
}

// aheadMost is how many folders of a listing are read before the walk is there.
const aheadMost = 3

// ahead reads folders, and looks at what is in them, before the walk comes by:
// that is most of its work, and filters and comparisons are the rest.
type ahead struct {
	tree  *tree
	found map[string]chan *dirList // asked for and not taken yet, by path
}

// ask asks for the i-th name of a listing, if it is a folder that the last walk
// came by: what nobody wanted to know of then is left alone.
func (a *ahead) ask(l *dirList, i int, in string) bool {
	n := &l.names[i]
	if !n.kind.IsDir() {
		return false
	}
	full := path.Join(in, n.name)
	if a.tree.index[full] == nil {
		return false
	}
	got := make(chan *dirList, 1)
	a.found[full] = got
	parent, name := l.dir.keep(), n.name
	go func() {
		defer parent.drop()
		l := readDir(parent, name)
		if l.err == nil {
			a.look(l, full)
		}
		got <- l
	}()
	return true
}

// asked tells whether a folder was asked for, and not taken.
func (a *ahead) asked(full string) bool { return a.found[full] != nil }

// look looks at the names that the last walk came by. The others may be ones
// that filters leave out, and those are nobody's business.
func (a *ahead) look(l *dirList, full string) {
	known := make([]bool, len(l.names))
	a.tree.lock.RLock()
	for i, n := range l.names {
		known[i] = a.tree.index[path.Join(full, n.name)] != nil
	}
	a.tree.lock.RUnlock()
	stats := make([]unix.Stat_t, len(l.names))
	for i := range l.names {
		n := &l.names[i]
		if known[i] && unix.Fstatat(l.dir.fd, n.name, &stats[i], unix.AT_SYMLINK_NOFOLLOW) == nil {
			n.stat = &stats[i]
		}
	}
}

// take is the folder, if it was asked for.
func (a *ahead) take(full string) *dirList {
	got, ok := a.found[full]
	if !ok {
		return nil
	}
	delete(a.found, full)
	return <-got
}

// close gives up what nobody took.
func (a *ahead) close() {
	for _, got := range a.found {
		(<-got).drop()
	}
}
