package union

import (
	"path"

	"golang.org/x/sys/unix"
)

// Untouched reports whether a layer, put on top of others, leaves these names of a
// folder at the root as they are below. It looks at nothing else, so where the
// folder is reached by a symbolic link below, the answer says nothing.
func Untouched(layer, folder string, names ...string) (bool, error) {
	f, err := Open([]string{layer})
	if err != nil {
		return false, err
	}
	defer f.Close()
	st, ok, err := f.stat(0, folder)
	if err != nil || !ok {
		return err == nil, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR || f.opaque(0, folder) {
		return false, nil
	}
	for _, name := range names {
		if _, ok, err := f.stat(0, path.Join(folder, name)); ok || err != nil {
			return false, err
		}
	}
	return true, nil
}

// Direct reports whether name is a file that no symbolic link leads to.
func (f *FS) Direct(name string) (bool, error) {
	n, err := f.lookup(name)
	return n != nil && n.kind() == unix.S_IFREG && "/"+n.path == path.Clean(name), err
}
