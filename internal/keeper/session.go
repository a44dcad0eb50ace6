package keeper

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
)

// leaveSession moves the keeper into a cgroup of its own, lus-INSTANCE/keeper,
// in every hierarchy that allows it: what ends the session or the unit of
// whoever started it must not end all containers.
func leaveSession(instance string, log *slog.Logger) {
	for _, root := range hierarchies() {
		dir := filepath.Join(root, "lus-"+instance, "keeper")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			continue
		}
		giveCPUs(root, filepath.Dir(dir))
		giveCPUs(root, dir)
		if err := join(dir); err != nil {
			log.Debug("stays in its cgroup", "hierarchy", root, "error", err)
			_ = os.Remove(dir)
			_ = os.Remove(filepath.Dir(dir))
		}
	}
}

// returnToSession moves the keeper out of its own cgroups and removes them.
func returnToSession(instance string) {
	for _, root := range hierarchies() {
		dir := filepath.Join(root, "lus-"+instance, "keeper")
		if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if join(root) == nil {
			_ = os.Remove(dir)
			_ = os.Remove(filepath.Dir(dir)) // stays where containers' are below it
		}
	}
}

func join(dir string) error {
	return os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte("0"), 0)
}

// giveCPUs fills in what a new cgroup of v1's cpuset lacks: nobody may enter it
// before it has processors and memory.
func giveCPUs(root, dir string) {
	for _, name := range []string{"cpuset.cpus", "cpuset.mems"} {
		if b, err := os.ReadFile(filepath.Join(dir, name)); err != nil || len(bytes.TrimSpace(b)) > 0 {
			continue
		}
		if b, err := os.ReadFile(filepath.Join(root, name)); err == nil {
			_ = os.WriteFile(filepath.Join(dir, name), bytes.TrimSpace(b), 0)
		}
	}
}

// hierarchies are the places where cgroup trees are mounted.
func hierarchies() []string {
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil
	}
	var out []string
	seen := map[string]bool{}
	for line := range strings.Lines(string(b)) {
		before, after, ok := strings.Cut(line, " - ")
		f := strings.Fields(before)
		if !ok || len(f) < 5 || f[3] != "/" || !(strings.HasPrefix(after, "cgroup ") || strings.HasPrefix(after, "cgroup2 ")) {
			continue
		}
		if at := f[4]; strings.HasPrefix(at, "/sys/fs/cgroup") && !seen[at] {
			seen[at] = true
			out = append(out, at)
		}
	}
	return out
}
