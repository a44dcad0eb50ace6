package stack

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Remove ends everything of the stack and takes it away. It returns what Lus
// itself should have taken away and did not.
func (s *Stack) Remove() string {
	if s.DaemonPid() == 0 {
		_ = s.Up() // a test may have left it dead: containers need a daemon to go
	}
	s.empty()
	s.Stop()
	left := s.sweep()
	if err := os.RemoveAll(s.dir); err != nil {
		left = append(left, err.Error())
	}
	return strings.Join(left, "\n")
}

// empty removes all containers, networks and volumes by the front door.
func (s *Stack) empty() {
	if ids := strings.Fields(s.Lus("ps", "-aq", "--no-trunc").Out); len(ids) > 0 {
		s.Lus(append([]string{"rm", "-f", "-v"}, ids...)...)
	}
	s.Lus("network", "prune", "-f")
}

// sweep ends what still runs and takes away what the kernel still holds, and
// returns what it found: a daemon that stops while no container runs leaves
// nothing.
func (s *Stack) sweep() (found []string) {
	s.await()
	for _, p := range s.processes() {
		found = append(found, fmt.Sprintf("process %d %s", p.pid, p.command))
		_ = syscall.Kill(p.pid, syscall.SIGKILL)
	}
	s.await()
	for _, m := range s.mountPoints() {
		if syscall.Unmount(m, syscall.MNT_DETACH) == nil && !strings.HasPrefix(m, s.Run) {
			found = append(found, "mount "+m)
		}
	}
	for _, name := range s.interfaces() {
		found = append(found, "interface "+name)
		_ = exec.Command("ip", "link", "delete", name).Run()
	}
	for _, table := range s.tables() {
		found = append(found, "table "+table)
		_ = exec.Command("nft", append([]string{"delete", "table"}, strings.Fields(table)...)...).Run()
	}
	dirs := s.cgroups()
	slices.Reverse(dirs) // children first
	for _, dir := range dirs {
		found = append(found, "cgroup "+dir)
		_ = os.Remove(filepath.Join("/sys/fs/cgroup", dir))
	}
	return found
}

// await gives the processes time to end.
func (s *Stack) await() {
	for deadline := time.Now().Add(long); len(s.processes()) > 0 && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond)
	}
}
