package executor

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/moby/buildkit/executor"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"lus/internal/base/errs"
)

// mounts makes the step's mounts on the host and returns them for the spec:
// binds of host paths, and file systems of the kernel as they stand.
func (b *bundle) mounts(ctx context.Context, mounts []executor.Mount) ([]specs.Mount, error) {
	var out []specs.Mount
	for _, m := range mounts {
		if m.Src == nil {
			return nil, errs.New(errs.Internal, "mount %s has no source", m.Dest)
		}
		made, err := b.mountOne(ctx, m)
		if err != nil {
			return nil, fmt.Errorf("mount %s: %w", m.Dest, err)
		}
		out = append(out, made...)
	}
	return out, nil
}

func (b *bundle) mountOne(ctx context.Context, m executor.Mount) ([]specs.Mount, error) {
	ref, err := m.Src.Mount(ctx, m.Readonly)
	if err != nil {
		return nil, err
	}
	list, release, err := ref.Mount()
	if err != nil {
		return nil, err
	}
	if release != nil {
		b.onClose(release)
	}
	var out []specs.Mount
	for _, one := range list {
		made, err := b.place(one, m.Selector)
		if err != nil {
			return nil, err
		}
		made.Destination = path.Join("/", m.Dest)
		if m.Readonly && !slices.Contains(made.Options, "ro") {
			made.Options = append(made.Options, "ro")
		}
		out = append(out, made)
	}
	return out, nil
}

// place turns one of BuildKit's mounts into one for the spec. An overlay is
// mounted here, since a spec knows only binds and the kernel's own file
// systems; so is everything of which only a part is wanted.
func (b *bundle) place(m mount.Mount, part string) (specs.Mount, error) {
	whole := path.Join("/", part) == "/"
	if whole && m.Type != "overlay" {
		return specs.Mount{Type: kind(m.Type), Source: m.Source, Options: slices.Clone(m.Options)}, nil
	}
	at := m.Source
	if !isBind(m.Type) {
		var err error
		if at, err = b.mount([]mount.Mount{m}); err != nil {
			return specs.Mount{}, err
		}
	}
	if !whole {
		var err error
		if at, err = b.bindPart(at, part); err != nil {
			return specs.Mount{}, err
		}
	}
	options := []string{"rbind"}
	if m.ReadOnly() {
		options = append(options, "ro")
	}
	return specs.Mount{Type: "bind", Source: at, Options: options}, nil
}

func isBind(t string) bool { return t == "bind" || t == "rbind" }

func kind(t string) string {
	if t == "rbind" {
		return "bind"
	}
	return t
}

// bindPart binds a path inside dir to the bundle. The path belongs to whoever
// writes there, perhaps to a step that runs now: it is opened once, within
// dir, and what was opened is bound, so that nothing can be swapped in between.
func (b *bundle) bindPart(dir, part string) (string, error) {
	root, err := os.OpenFile(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	defer root.Close()
	fd, err := unix.Openat2(int(root.Fd()), path.Join("/", part), &unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	})
	if err != nil {
		return "", &os.PathError{Op: "open", Path: part, Err: err}
	}
	defer unix.Close(fd)
	target := filepath.Join(b.dir, "m"+strconv.Itoa(len(b.releases)))
	if err := makePoint(fd, target); err != nil {
		return "", err
	}
	if err := unix.Mount("/proc/self/fd/"+strconv.Itoa(fd), target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return "", &os.PathError{Op: "bind", Path: part, Err: err}
	}
	b.onClose(func() error { return unmount(target) })
	return target, nil
}

// makePoint makes a mount point of the kind that fd is.
func makePoint(fd int, target string) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return os.Mkdir(target, 0o700)
	}
	return os.WriteFile(target, nil, 0o600)
}
