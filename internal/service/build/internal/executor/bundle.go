package executor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/moby/buildkit/executor"
	"golang.org/x/sys/unix"
)

// bundle is the folder of one step with everything that has to be given back.
type bundle struct {
	dir      string
	releases []func() error // called last first
}

func (e *Executor) newBundle(id string) (*bundle, error) {
	dir := filepath.Join(e.o.Dir, id)
	if err := os.Mkdir(dir, 0o711); err != nil {
		return nil, err
	}
	return &bundle{dir: dir}, nil
}

func (b *bundle) onClose(f func() error) { b.releases = append(b.releases, f) }

// close gives everything back. Mount points are removed one by one and never
// recursively: should an unmount fail, what is mounted there stays untouched.
func (b *bundle) close() error {
	var all []error
	for _, f := range slices.Backward(b.releases) {
		all = append(all, f())
	}
	all = append(all, removeFlat(b.dir))
	return errors.Join(all...)
}

// removeFlat removes a folder that holds files and empty folders.
func removeFlat(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if err := os.Remove(filepath.Join(dir, entry.Name())); err != nil {
			return err
		}
	}
	return os.Remove(dir)
}

// mountRoot returns the folder of the step's root file system.
func (b *bundle) mountRoot(ctx context.Context, root executor.Mount) (string, error) {
	ref, err := root.Src.Mount(ctx, root.Readonly)
	if err != nil {
		return "", err
	}
	mounts, release, err := ref.Mount()
	if err != nil {
		return "", err
	}
	if release != nil {
		b.onClose(release)
	}
	// BuildKit hands a writable root over as a bind of a folder where it has
	// mounted it already: use that.
	if len(mounts) == 1 && mounts[0].Type == "bind" && !slices.Contains(mounts[0].Options, "ro") && mounts[0].Target == "" {
		return mounts[0].Source, nil
	}
	return b.mount(mounts)
}

// mount mounts at a new folder of the bundle.
func (b *bundle) mount(mounts []mount.Mount) (string, error) {
	target := filepath.Join(b.dir, "m"+strconv.Itoa(len(b.releases)))
	if err := os.Mkdir(target, 0o700); err != nil {
		return "", err
	}
	if err := mount.All(mounts, target); err != nil {
		return "", errors.Join(err, unmount(target))
	}
	b.onClose(func() error { return unmount(target) })
	return target, nil
}

// unmount takes a folder's mounts away, all of them; it is no error if there
// were none. A busy one is detached: its last user has just been killed.
func unmount(target string) error {
	err := mount.UnmountAll(target, unix.UMOUNT_NOFOLLOW)
	if errors.Is(err, unix.EBUSY) {
		err = mount.UnmountAll(target, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	}
	if err != nil {
		return fmt.Errorf("unmounting %s: %w", target, err)
	}
	return nil
}

// file writes a small file of the bundle, readable by every user of the step.
func (b *bundle) file(name string, data []byte) (string, error) {
	path := filepath.Join(b.dir, name)
	if err := os.WriteFile(path, data, 0o644); err != nil {
		return "", err
	}
	return path, nil
}
