// Package cgroup creates, limits, freezes, measures and removes the cgroups of
// containers, with version 1's hierarchies, version 2's tree, or both at once
// (hybrid: version 1 has the controllers).
package cgroup

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"lus/internal/base/errs"
)

// System is the host's cgroups as they are mounted. It is safe for concurrent
// use.
type System struct {
	// unified is the mount of version 2 where it holds the controllers.
	unified string
	// legacy are the mounts of version 1 by controller; co-mounted ones share
	// a folder.
	legacy map[string]string
	// folders are the distinct mounts of legacy, in a stable order.
	folders []string

	mu       sync.Mutex
	prepared map[string]bool // parents whose children inherit what they need
}

// Detect finds the cgroups of this host.
func Detect() (*System, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	s := &System{legacy: map[string]string{}, prepared: map[string]bool{}}
	seen := map[string]bool{}
	lines := bufio.NewScanner(f)
	lines.Buffer(make([]byte, 64<<10), 1<<20)
	for lines.Scan() {
		s.note(lines.Text(), seen)
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if len(s.legacy) > 0 {
		s.unified = "" // hybrid: what version 1 holds, version 2 does not
	} else if s.unified == "" {
		return nil, errs.New(errs.Unsupported, "no cgroups are mounted: mount version 2 with \"mount -t cgroup2 none /sys/fs/cgroup\"")
	}
	return s, nil
}

// note takes one line of mountinfo: ... ROOT TARGET OPTIONS ... - TYPE SOURCE SUPEROPTIONS.
func (s *System) note(line string, seen map[string]bool) {
	left, right, ok := strings.Cut(line, " - ")
	if !ok {
		return
	}
	l, r := strings.Fields(left), strings.Fields(right)
	if len(l) < 5 || len(r) < 3 {
		return
	}
	target := l[4]
	switch r[0] {
	case "cgroup2":
		if s.unified == "" {
			s.unified = target
		}
	case "cgroup":
		for opt := range strings.SplitSeq(r[2], ",") {
			if !controllers[opt] || s.legacy[opt] != "" {
				continue
			}
			s.legacy[opt] = target
			if !seen[target] {
				seen[target] = true
				s.folders = append(s.folders, target)
			}
		}
	}
}

// controllers are the ones of version 1 that we use. The named hierarchy of
// systemd is not: entering it would cost time and limit nothing.
var controllers = map[string]bool{
	"cpu": true, "cpuacct": true, "cpuset": true, "memory": true, "devices": true,
	"freezer": true, "blkio": true, "pids": true, "hugetlb": true, "net_cls": true,
	"net_prio": true, "perf_event": true,
}

// V2 reports whether version 2 holds the controllers.
func (s *System) V2() bool { return s.unified != "" }

// Group is one cgroup: a folder in every hierarchy.
type Group struct {
	sys  *System
	path string // relative to every hierarchy's root, without a leading slash
}

// Group returns the cgroup at path, which need not exist.
func (s *System) Group(path string) (*Group, error) {
	clean := strings.TrimPrefix(filepath.Clean("/"+path), "/")
	if clean == "" {
		return nil, errs.New(errs.Invalid, "cgroup path %q names the root", path)
	}
	return &Group{sys: s, path: clean}, nil
}

// Path is the cgroup relative to every hierarchy's root.
func (g *Group) Path() string { return g.path }

// dirs are the group's folders, one for each hierarchy.
func (g *Group) dirs() []string {
	if g.sys.V2() {
		return []string{filepath.Join(g.sys.unified, g.path)}
	}
	dirs := make([]string, len(g.sys.folders))
	for i, f := range g.sys.folders {
		dirs[i] = filepath.Join(f, g.path)
	}
	return dirs
}

// dir is the folder with the files of a controller; empty where the host has none.
func (g *Group) dir(controller string) string {
	if g.sys.V2() {
		return filepath.Join(g.sys.unified, g.path)
	}
	if m := g.sys.legacy[controller]; m != "" {
		return filepath.Join(m, g.path)
	}
	return ""
}

// Folder is one folder of a group and the name under which containers see it
// below /sys/fs/cgroup (empty in version 2: the folder is all there is).
type Folder struct {
	Name    string
	Path    string
	Aliases []string // of co-mounted controllers
}

// Folders are the group's folders as a container sees them.
func (g *Group) Folders() []Folder {
	if g.sys.V2() {
		return []Folder{{Path: filepath.Join(g.sys.unified, g.path)}}
	}
	out := make([]Folder, len(g.sys.folders))
	for i, f := range g.sys.folders {
		out[i] = Folder{Name: filepath.Base(f), Path: filepath.Join(f, g.path)}
		for c, m := range g.sys.legacy {
			if m == f && c != out[i].Name {
				out[i].Aliases = append(out[i].Aliases, c)
			}
		}
	}
	return out
}

// Create makes the group's folders; those that exist are kept.
func (g *Group) Create() error {
	parent := filepath.Dir(g.path)
	if err := g.sys.prepare(parent); err != nil {
		return err
	}
	for _, d := range g.dirs() {
		err := os.Mkdir(d, 0o755)
		if errors.Is(err, fs.ErrNotExist) { // the parent was taken away by Cleanup
			g.sys.forget(parent)
			if err = g.sys.prepare(parent); err == nil {
				err = os.Mkdir(d, 0o755)
			}
		}
		if err != nil && !errors.Is(err, fs.ErrExist) {
			_ = g.Delete()
			return fmt.Errorf("make the cgroup %s: %w", d, err)
		}
	}
	return nil
}

func (s *System) forget(parent string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.prepared, parent)
}

// prepare makes a parent whose children can be limited.
func (s *System) prepare(parent string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.prepared[parent] {
		return nil
	}
	if s.V2() {
		if err := s.enable(parent); err != nil {
			return err
		}
		s.prepared[parent] = true
		return nil
	}
	for _, f := range s.folders {
		if err := os.MkdirAll(filepath.Join(f, parent), 0o755); err != nil {
			return fmt.Errorf("make the cgroup %s: %w", filepath.Join(f, parent), err)
		}
	}
	if f := s.legacy["cpuset"]; f != "" {
		if err := inheritCPUSet(f, parent); err != nil {
			return err
		}
	}
	s.prepared[parent] = true
	return nil
}

// inheritCPUSet gives every level down to parent the processors of the one
// above, and makes new children do so by themselves: a cpuset without
// processors takes no process.
func inheritCPUSet(mount, parent string) error {
	dir := mount
	for name := range strings.SplitSeq(parent, "/") {
		above := dir
		dir = filepath.Join(dir, name)
		for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
			have, err := os.ReadFile(filepath.Join(dir, file))
			if err != nil {
				return err
			}
			if strings.TrimSpace(string(have)) != "" {
				continue
			}
			want, err := os.ReadFile(filepath.Join(above, file))
			if err != nil {
				return err
			}
			if err := write(dir, file, strings.TrimSpace(string(want))); err != nil {
				return err
			}
		}
	}
	return write(dir, "cgroup.clone_children", "1")
}

// enable makes the folders down to parent in version 2 and lets each give its
// controllers to its children. A controller that cannot be given is missed
// only by those who ask for its limits.
func (s *System) enable(parent string) error {
	dir := s.unified
	give(dir)
	for name := range strings.SplitSeq(parent, "/") {
		if name == "." {
			continue
		}
		dir = filepath.Join(dir, name)
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("make the cgroup %s: %w", dir, err)
		}
		give(dir)
	}
	return nil
}

func give(dir string) {
	have, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
	if err != nil {
		return
	}
	for c := range strings.FieldsSeq(string(have)) {
		_ = write(dir, "cgroup.subtree_control", "+"+c)
	}
}

// Enter opens the files through which a process with a single thread enters
// the group by writing "0". The caller closes them.
func (g *Group) Enter() ([]*os.File, error) {
	// Moving just the calling thread takes no lock that all processes of the
	// host share, and version 1 allows it: the init has one thread.
	name := "tasks"
	if g.sys.V2() {
		name = "cgroup.procs"
	}
	var files []*os.File
	for _, d := range g.dirs() {
		path := filepath.Join(d, name)
		fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CLOEXEC, 0) // os.OpenFile would ask the poller too
		if err != nil {
			for _, f := range files {
				_ = f.Close()
			}
			return nil, fmt.Errorf("open the cgroup: %w", &os.PathError{Op: "open", Path: path, Err: err})
		}
		files = append(files, os.NewFile(uintptr(fd), path))
	}
	return files, nil
}

// write sets a file to one value after the other. Opening without O_CREATE and
// O_TRUNC tells a missing file from a refused value. Every start of a container
// writes a dozen: plain descriptors spare the poller four calls for each.
func write(dir, file string, values ...string) error {
	path := filepath.Join(dir, file)
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: path, Err: err}
	}
	for _, v := range values {
		if err = writeAll(fd, v); err != nil {
			err = &os.PathError{Op: "write", Path: path, Err: fmt.Errorf("%q: %w", v, err)}
			break
		}
	}
	_ = unix.Close(fd) // of a file of the kernel: there is nothing left to write
	return err
}

// writeAll writes one value in one call, as these files want it. A limit of
// memory may be interrupted while pages are moved out.
func writeAll(fd int, value string) error {
	for {
		if _, err := unix.Write(fd, []byte(value)); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
