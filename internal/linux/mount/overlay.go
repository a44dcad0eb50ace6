package mount

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"lus/internal/base/errs"
	"lus/internal/base/thread"
)

// Overlay is what an overlay is made of.
type Overlay struct {
	Lower    []string // topmost first
	Upper    string   // empty: read-only
	Work     string
	Volatile bool // do not sync when it is unmounted
	// Method is how to make it; the zero value chooses by the kernel.
	Method Method
}

// Method is a way to make an overlay.
type Method int

const (
	// Auto takes Layers where the kernel knows it, else Classic.
	Auto Method = iota
	// Layers hands over one layer after another (kernel 6.8 and later).
	Layers
	// Classic uses mount(2) in a namespace of its own and detaches the result.
	Classic
)

// errNoLayers says that the kernel does not know lowerdir+.
var errNoLayers = errors.New("the kernel knows no lowerdir+")

// readsEachOption tells whether the kernel looks at an overlay's options as
// they are handed over. Before 6.5 it only collects them for the end, so that
// it takes any name without a word, lowerdir+ too, and then fails for a reason
// that it tells nobody.
var readsEachOption = sync.OnceValue(func() bool {
	fs, err := unix.Fsopen("overlay", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return false
	}
	defer unix.Close(fs)
	return unix.FsconfigSetString(fs, "no-such-option", "x") != nil
})

// Mount returns the overlay as a detached mount. The caller closes it; while it
// is open, unmounting elsewhere does not sync the file system below.
func (o Overlay) Mount() (*os.File, error) {
	if len(o.Lower) == 0 {
		return nil, errs.New(errs.Invalid, "an overlay needs at least one lower layer")
	}
	if o.Upper == "" && len(o.Lower) == 1 {
		return readonlyLayer(o.Lower[0])
	}
	if o.Volatile && o.Upper != "" {
		// The mark of an earlier volatile mount. What that one wrote may be lost
		// with the power only, and then the container is gone too.
		if err := os.RemoveAll(filepath.Join(o.Work, "work", "incompat")); err != nil {
			return nil, err
		}
	}
	if o.Method == Classic {
		return o.classic()
	}
	f, err := o.layers()
	if errors.Is(err, errNoLayers) && o.Method == Auto {
		return o.classic()
	}
	return f, err
}

// readonlyLayer stands in for an overlay of one layer, which the kernel refuses.
func readonlyLayer(path string) (*os.File, error) {
	return Bind{Source: path, Attributes: unix.MOUNT_ATTR_RDONLY}.Mount()
}

// fixed are the options that keep the upper folder readable as a layer: no
// redirects, no files without data, no index.
func (o Overlay) fixed() []Option {
	opts := []Option{{"redirect_dir", "off"}, {"metacopy", "off"}, {"index", "off"}}
	if o.Volatile && o.Upper != "" {
		opts = append(opts, Option{"volatile", ""})
	}
	return opts
}

func (o Overlay) layers() (*os.File, error) {
	if !readsEachOption() {
		return nil, errNoLayers
	}
	fs, err := unix.Fsopen("overlay", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("fsopen overlay: %w", err)
	}
	defer unix.Close(fs)
	for i, l := range o.Lower {
		if err := setPath(fs, "lowerdir+", l); err != nil {
			if i == 0 && errors.Is(err, unix.EINVAL) {
				return nil, errNoLayers
			}
			return nil, explain(fs, "overlay: add layer "+l, err)
		}
	}
	if o.Upper != "" {
		if err := setPath(fs, "upperdir", o.Upper); err != nil {
			return nil, explain(fs, "overlay: set the upper folder "+o.Upper, err)
		}
		if err := setPath(fs, "workdir", o.Work); err != nil {
			return nil, explain(fs, "overlay: set the work folder "+o.Work, err)
		}
	}
	for _, opt := range o.fixed() {
		if err := configure(fs, opt); err != nil {
			return nil, explain(fs, "overlay: set "+opt.String(), err)
		}
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return nil, explain(fs, "make the overlay", err)
	}
	fd, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, 0)
	if err != nil {
		return nil, explain(fs, "mount the overlay", err)
	}
	return os.NewFile(uintptr(fd), "overlay"), nil
}

// setPath hands over a path; one that is too long for fsconfig, or has the
// character that overlay takes for an escape, goes by the name of a descriptor.
func setPath(fs int, key, path string) error {
	if len(path) <= longest && !strings.Contains(path, `\`) {
		return unix.FsconfigSetString(fs, key, path)
	}
	fd, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.FsconfigSetString(fs, key, fmt.Sprintf("/proc/self/fd/%d", fd))
}

// mostData is how many bytes of options mount(2) takes.
const mostData = 4095

// classic mounts in a namespace that ends with its thread, so nothing of it is
// seen elsewhere. Paths are relative to the layers' common folder to fit many
// layers into the page that mount(2) reads.
func (o Overlay) classic() (*os.File, error) {
	base := commonFolder(append([]string{o.Upper, o.Work}, o.Lower...))
	data, err := o.data(base)
	if err != nil {
		return nil, err
	}
	var f *os.File
	err = thread.Apart(func() (err error) {
		f, err = mountAside(base, data)
		return err
	})
	return f, err
}

func mountAside(base, data string) (*os.File, error) {
	if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
		return nil, fmt.Errorf("unshare the mount namespace: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return nil, fmt.Errorf("make the mounts private: %w", err)
	}
	if err := unix.Chdir(base); err != nil {
		return nil, fmt.Errorf("chdir %s: %w", base, err)
	}
	if err := unix.Mount("overlay", base, "overlay", 0, data); err != nil {
		return nil, fmt.Errorf("mount the overlay: %w (the kernel's log says more: dmesg)", err)
	}
	fd, err := unix.OpenTree(unix.AT_FDCWD, base, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("detach the overlay: %w", err)
	}
	return os.NewFile(uintptr(fd), "overlay"), nil
}

func (o Overlay) data(base string) (string, error) {
	var names []string
	for _, l := range o.Lower {
		names = append(names, escape(relative(base, l)))
	}
	parts := []string{"lowerdir=" + strings.Join(names, ":")}
	if o.Upper != "" {
		parts = append(parts, "upperdir="+escape(relative(base, o.Upper)), "workdir="+escape(relative(base, o.Work)))
	}
	for _, opt := range o.fixed() {
		parts = append(parts, opt.String())
	}
	data := strings.Join(parts, ",")
	if len(data) > mostData {
		return "", errs.New(errs.Unsupported, "the image has too many layers (%d) for this kernel: use kernel 6.8 or later, or build the image with fewer layers", len(o.Lower))
	}
	return data, nil
}

// escape keeps the characters that separate options and layers apart.
func escape(path string) string {
	return strings.NewReplacer(`\`, `\\`, `:`, `\:`, `,`, `\,`).Replace(path)
}

func relative(base, path string) string {
	if rel, err := filepath.Rel(base, path); err == nil {
		return rel
	}
	return path
}

// commonFolder is the deepest folder that all paths lie in; empty ones do not count.
func commonFolder(paths []string) string {
	common := ""
	for _, p := range paths {
		if p == "" {
			continue
		}
		dir := filepath.Dir(filepath.Clean(p))
		if common == "" {
			common = dir
		}
		for common != "/" && dir != common && !strings.HasPrefix(dir, common+"/") {
			common = filepath.Dir(common)
		}
	}
	return common
}
