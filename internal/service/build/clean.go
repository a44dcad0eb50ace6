package build

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/buildkit/solver/llbsolver/cdidevices"
	"github.com/moby/sys/mountinfo"

	"lus/internal/service/build/internal/executor"
)

// temporaryPrefix begins the names of the folders of running builds.
const temporaryPrefix = "context-"

// Clean takes away what builds of a killed daemon left. It is for the time
// before anybody works with the store: what it unmounts must be nobody's.
func (s *Service) Clean(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cleanOnce(ctx)
}

// cleanOnce does so unless it was done; the lock is held.
func (s *Service) cleanOnce(ctx context.Context) {
	if s.cleaned {
		return
	}
	s.cleaned = true
	executor.Clean(ctx, s.steps(nil))
	err := s.unmountOwn()
	if err = errors.Join(err, s.unmountLeft(ctx), s.emptyTemp()); err != nil {
		s.d.Log.Warn("unmounting what a killed build left", "err", err)
	}
}

// steps is what runs the RUN steps.
func (s *Service) steps(devices *cdidevices.Manager) executor.Options {
	return executor.Options{
		Dir: filepath.Join(s.d.Root, "steps"), Runtime: s.d.Runtime, Network: s.d.Network, Cgroup: s.d.Cgroup, AppArmor: s.d.AppArmor, Log: s.d.Log,
		Devices:  devices,
		Insecure: slices.Contains(s.d.Allow, allowInsecure),
	}
}

// removeContexts removes the contexts that a killed daemon had unpacked.
func (s *Service) removeContexts() {
	left, _ := filepath.Glob(filepath.Join(s.d.Root, temporaryPrefix+"*"))
	for _, dir := range left {
		if err := os.RemoveAll(dir); err != nil {
			s.d.Log.Warn("removing what a killed build left", "dir", dir, "err", err)
		}
	}
}

// unmountOwn detaches what was mounted in the builder's own folder.
func (s *Service) unmountOwn() error {
	dir, err := filepath.EvalSymlinks(s.d.Root) // as mounts are listed
	if err != nil {
		return err
	}
	return executor.Unmount(mountinfo.PrefixFilter(dir))
}

// unmountLeft takes away what BuildKit and containerd had mounted to copy files
// when the daemon was killed: mounts of this store's snapshots, and of no
// other's, at their temporary mount points.
func (s *Service) unmountLeft(ctx context.Context) error {
	snapshots, err := s.snapshotFolder(ctx)
	if err != nil || snapshots == "" {
		return err
	}
	var points []string
	err = executor.Unmount(func(m *mountinfo.Info) (skip, stop bool) {
		ours := temporaryMount(m.Mountpoint) &&
			(strings.Contains(m.VFSOptions, snapshots+"/") || strings.HasPrefix(m.Root, snapshots+"/"))
		if ours {
			points = append(points, m.Mountpoint)
		}
		return !ours, false
	})
	if err != nil {
		return err
	}
	for _, p := range points {
		_ = os.Remove(p) // empty, or not ours after all
	}
	return nil
}

// emptyTemp takes away what is left of temporary files, above all the secrets that
// were mounted for steps.
func (s *Service) emptyTemp() error {
	if s.d.Temp == "" {
		return nil
	}
	dir, err := filepath.EvalSymlinks(s.d.Temp) // as mounts are listed
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = executor.Unmount(mountinfo.PrefixFilter(dir))
	}
	if err != nil {
		return err // what is still mounted must not be entered
	}
	left, err := os.ReadDir(dir)
	for _, e := range left {
		err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
	}
	return err
}

// dropSockets removes the empty folders that BuildKit leaves, one for each agent
// that a step could ask. No step runs now, and the lock is held.
func (s *Service) dropSockets() {
	if s.d.Temp == "" {
		return
	}
	left, _ := os.ReadDir(s.d.Temp)
	for _, e := range left {
		if strings.HasPrefix(e.Name(), ".buildkit-ssh-sock") {
			_ = os.Remove(filepath.Join(s.d.Temp, e.Name()))
		}
	}
}

func temporaryMount(path string) bool {
	switch filepath.Dir(path) {
	case filepath.Clean(os.TempDir()), "/tmp", os.Getenv("XDG_RUNTIME_DIR"): // containerd's are in one of the latter
	default:
		return false
	}
	base := filepath.Base(path)
	return strings.HasPrefix(base, "buildkit") || strings.HasPrefix(base, "containerd-mount")
}

// snapshotFolder is where the store keeps its snapshots, empty while there are none.
func (s *Service) snapshotFolder(ctx context.Context) (string, error) {
	names, err := s.d.Store.BackendKeys(ctx)
	if err != nil {
		return "", err
	}
	for name := range names {
		// .../snapshots/N/fs
		if dir, err := s.d.Store.Folder(ctx, name); err == nil && dir != "" {
			return filepath.Dir(filepath.Dir(dir)), nil
		}
	}
	return "", nil
}
