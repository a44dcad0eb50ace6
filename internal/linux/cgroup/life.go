package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"lus/internal/base/errs"
)

// Pids are the processes of the group and of those below it.
func (g *Group) Pids() ([]int, error) {
	var pids []int
	err := filepath.WalkDir(g.killDir(), func(dir string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if !d.IsDir() {
			return nil
		}
		data, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
		if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENODEV) {
			return nil // a threaded one, or one just removed
		}
		if err != nil {
			return err
		}
		for f := range strings.FieldsSeq(string(data)) {
			if pid, err := strconv.Atoi(f); err == nil && pid > 0 {
				pids = append(pids, pid)
			}
		}
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	slices.Sort(pids)
	return slices.Compact(pids), err
}

// killDir is the folder that lists every process of the group.
func (g *Group) killDir() string {
	for _, c := range []string{"pids", "freezer", "devices", "memory"} {
		if d := g.dir(c); d != "" {
			return d
		}
	}
	return g.dirs()[0]
}

// KillFolder is the folder whose members are the group's processes, for those
// who kill them all.
func (g *Group) KillFolder() string { return g.killDir() }

// OOMFile is the file that tells of kills by the memory limit; empty where
// there is none.
func (g *Group) OOMFile() string {
	d := g.dir("memory")
	switch {
	case d == "":
		return ""
	case g.sys.V2():
		return filepath.Join(d, "memory.events")
	}
	return filepath.Join(d, "memory.oom_control")
}

// Signal sends sig to every process of the group. A kill leaves none, also of
// those that are forking.
func (g *Group) Signal(sig unix.Signal) error {
	if sig == unix.SIGKILL {
		return g.kill()
	}
	pids, err := g.Pids()
	if err != nil {
		return err
	}
	return signalAll(pids, sig)
}

func signalAll(pids []int, sig unix.Signal) error {
	var first error
	for _, pid := range pids {
		if err := unix.Kill(pid, sig); err != nil && !errors.Is(err, unix.ESRCH) && first == nil {
			first = fmt.Errorf("signal %d to process %d: %w", sig, pid, err)
		}
	}
	return first
}

// killFor bounds how long kill goes on finding processes.
const killFor = 10 * time.Second

func (g *Group) kill() error {
	if g.sys.V2() {
		err := write(g.killDir(), "cgroup.kill", "1")
		if err == nil || errors.Is(err, fs.ErrNotExist) && !g.Exists() {
			return nil
		}
	}
	deadline := time.Now().Add(killFor)
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		pids, err := g.Pids()
		if err != nil || len(pids) == 0 {
			return err
		}
		if err := signalAll(pids, unix.SIGKILL); err != nil {
			return err
		}
		// The frozen of version 1 die only once they are thawed.
		_ = g.Thaw()
		if time.Now().After(deadline) {
			return errs.New(errs.Unavailable, "processes %v of cgroup %s do not die", pids, g.path)
		}
		time.Sleep(pause)
	}
}

// Exists reports whether the group is there.
func (g *Group) Exists() bool {
	_, err := os.Stat(g.killDir())
	return err == nil
}

// freezeFor bounds how long Freeze and Thaw wait for the processes: each has to
// get its turn once, which takes a while on a busy machine.
const freezeFor = 10 * time.Second

// Freeze stops every process of the group until Thaw.
func (g *Group) Freeze() error { return g.freezer(true) }

// Thaw lets the group's processes go on.
func (g *Group) Thaw() error { return g.freezer(false) }

func (g *Group) freezer(freeze bool) error {
	d := g.dir("freezer")
	if d == "" {
		return errs.New(errs.Unsupported, "this host has no freezer cgroup: containers cannot be paused")
	}
	file, want := "freezer.state", map[bool]string{true: "FROZEN", false: "THAWED"}[freeze]
	if g.sys.V2() {
		file, want = "cgroup.freeze", map[bool]string{true: "1", false: "0"}[freeze]
	}
	if err := write(d, file, want); err != nil {
		return fmt.Errorf("freeze or thaw %s: %w", g.path, err)
	}
	deadline := time.Now().Add(freezeFor)
	for {
		done, err := g.settled(d, freeze)
		if done || err != nil {
			return err
		}
		if time.Now().After(deadline) {
			if freeze {
				_ = g.freezer(false)
			}
			return errs.New(errs.Unavailable, "cgroup %s does not freeze", g.path)
		}
		time.Sleep(500 * time.Microsecond)
		if freeze && !g.sys.V2() {
			// A process that forks meanwhile keeps version 1 FREEZING: ask again.
			_ = write(d, file, want)
		}
	}
}

func (g *Group) settled(dir string, frozen bool) (bool, error) {
	if g.sys.V2() {
		events, err := keyed(filepath.Join(dir, "cgroup.events"))
		return (events["frozen"] == 1) == frozen, err
	}
	state, err := os.ReadFile(filepath.Join(dir, "freezer.state"))
	return (strings.TrimSpace(string(state)) == "FROZEN") == frozen, err
}

// Frozen reports whether the group is frozen.
func (g *Group) Frozen() (bool, error) {
	d := g.dir("freezer")
	if d == "" {
		return false, nil
	}
	return g.settled(d, true)
}

// removeFor bounds how long Delete waits for the last process to be gone.
const removeFor = 10 * time.Second

// Delete removes the group and what was made below it. Its processes must have
// ended; the kernel needs a moment to notice, which Delete waits for.
func (g *Group) Delete() error {
	var errAll error
	deadline := time.Now().Add(removeFor)
	for _, d := range g.dirs() {
		if err := removeTree(d, deadline); err != nil {
			errAll = errors.Join(errAll, fmt.Errorf("remove the cgroup %s: %w", d, err))
		}
	}
	return errAll
}

// Sweep removes the groups directly below this one that are not needed, with
// all below them: a crash can fall between a process's end and its group's.
func (g *Group) Sweep(needed func(name string) bool) error {
	names := map[string]bool{}
	for _, d := range g.dirs() {
		entries, err := os.ReadDir(d)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		for _, e := range entries {
			if e.IsDir() && !needed(e.Name()) {
				names[e.Name()] = true
			}
		}
	}
	var errAll error
	for name := range names {
		child := &Group{sys: g.sys, path: filepath.Join(g.path, name)}
		errAll = errors.Join(errAll, child.Delete())
	}
	return errAll
}

func removeTree(dir string, deadline time.Time) error {
	for pause := 200 * time.Microsecond; ; pause = min(2*pause, 20*time.Millisecond) {
		err := unix.Rmdir(dir)
		if err == nil || errors.Is(err, unix.ENOENT) {
			return nil
		}
		if !errors.Is(err, unix.EBUSY) && !errors.Is(err, unix.EINTR) {
			return err
		}
		if time.Now().After(deadline) {
			return err
		}
		// Busy with a child that something in the container made, or with a
		// process about to be gone.
		entries, rerr := os.ReadDir(dir)
		if rerr != nil && !errors.Is(rerr, fs.ErrNotExist) {
			return rerr
		}
		for _, e := range entries {
			if e.IsDir() {
				if err := removeTree(filepath.Join(dir, e.Name()), deadline); err != nil {
					return err
				}
			}
		}
		time.Sleep(pause)
	}
}

// Cleanup removes a parent of groups where it is empty, in every hierarchy.
func (s *System) Cleanup(parent string) error {
	g, err := s.Group(parent)
	if err != nil {
		return err
	}
	var errAll error
	for _, d := range g.dirs() {
		if err := unix.Rmdir(d); err != nil && !errors.Is(err, unix.ENOENT) {
			errAll = errors.Join(errAll, fmt.Errorf("remove the cgroup %s: %w", d, err))
		}
	}
	s.forget(g.path)
	return errAll
}
