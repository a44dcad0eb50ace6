package cgroup

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"lus/internal/base/ids"
	"lus/test/need"
)

// systems are the host's cgroups as they are found, and its version 2 tree by
// itself where it has one.
func systems(t *testing.T) map[string]*System {
	t.Helper()
	need.Root(t)
	found, err := Detect()
	if err != nil {
		need.Unmet(t, "cgroups: %v", err)
	}
	out := map[string]*System{"found": found}
	if !found.V2() {
		if _, err := os.Stat("/sys/fs/cgroup/unified/cgroup.procs"); err == nil {
			out["v2"] = &System{unified: "/sys/fs/cgroup/unified", prepared: map[string]bool{}}
		}
	}
	return out
}

// each runs a test on every system, in a group that is gone afterwards.
func each(t *testing.T, test func(t *testing.T, g *Group)) {
	for name, s := range systems(t) {
		t.Run(name, func(t *testing.T) {
			parent := "lus-test-" + ids.New()[:8]
			g, err := s.Group(parent + "/one")
			if err != nil {
				t.Fatal(err)
			}
			if err := g.Create(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := errors.Join(g.Signal(unix.SIGKILL), g.Delete(), s.Cleanup(parent)); err != nil {
					t.Error(err)
				}
				if left, _ := filepath.Glob("/sys/fs/cgroup/*/" + parent); len(left) != 0 {
					t.Errorf("left: %v", left)
				}
			})
			test(t, g)
		})
	}
}

// join puts a process into the group.
func join(t *testing.T, g *Group, pid int) {
	t.Helper()
	for _, d := range g.dirs() {
		if err := write(d, "cgroup.procs", strconv.Itoa(pid)); err != nil {
			t.Fatal(err)
		}
	}
}

func sleeper(t *testing.T, g *Group, args ...string) *exec.Cmd {
	t.Helper()
	if len(args) == 0 {
		args = []string{"sleep", "1000"}
	}
	cmd := exec.Command(args[0], args[1:]...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	join(t, g, cmd.Process.Pid)
	return cmd
}

func TestAKillLeavesNobody(t *testing.T) {
	each(t, func(t *testing.T, g *Group) {
		cmds := []*exec.Cmd{sleeper(t, g), sleeper(t, g)}
		if pids, err := g.Pids(); err != nil || len(pids) != 2 {
			t.Fatalf("pids %v %v", pids, err)
		}
		reaped := make(chan syscall.Signal, 2)
		for _, c := range cmds {
			go func() {
				_ = c.Wait()
				reaped <- c.ProcessState.Sys().(syscall.WaitStatus).Signal()
			}()
		}
		if err := g.Signal(unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		for range cmds {
			if sig := <-reaped; sig != unix.SIGKILL {
				t.Errorf("ended by signal %v", sig)
			}
		}
	})
}

func TestFreezing(t *testing.T) {
	each(t, func(t *testing.T, g *Group) {
		c := sleeper(t, g)
		if err := g.Freeze(); err != nil {
			t.Fatal(err)
		}
		if frozen, err := g.Frozen(); err != nil || !frozen {
			t.Errorf("frozen %v %v", frozen, err)
		}
		if err := g.Thaw(); err != nil {
			t.Fatal(err)
		}
		if frozen, err := g.Frozen(); err != nil || frozen {
			t.Errorf("frozen %v %v", frozen, err)
		}
		_ = c.Process.Kill()
		_ = c.Wait()
	})
}

func TestFrozenOnesCanBeKilled(t *testing.T) {
	each(t, func(t *testing.T, g *Group) {
		c := sleeper(t, g)
		if err := g.Freeze(); err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() { _ = c.Wait(); close(done) }()
		if err := g.Signal(unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		<-done
	})
}

func TestDeviceRules(t *testing.T) {
	each(t, func(t *testing.T, g *Group) {
		rules := []specs.LinuxDeviceCgroup{
			{Allow: false, Access: "rwm"},
			{Allow: true, Type: "c", Major: p(int64(1)), Minor: p(int64(3)), Access: "rwm"},
		}
		if err := g.Apply(&specs.LinuxResources{Devices: rules}); err != nil {
			t.Fatal(err)
		}
		for device, allowed := range map[string]bool{"/dev/null": true, "/dev/zero": false} {
			// The shell waits for a line, so that it opens the device inside the group.
			cmd := exec.Command("sh", "-c", "read x; : < "+device)
			in, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			join(t, g, cmd.Process.Pid)
			_, _ = in.Write([]byte("go\n"))
			if err := cmd.Wait(); (err == nil) != allowed {
				t.Errorf("%s: %v, allowed should be %v", device, err, allowed)
			}
		}
	})
}

func TestDeleteTakesWhatWasMadeBelow(t *testing.T) {
	each(t, func(t *testing.T, g *Group) {
		for _, d := range g.dirs() {
			if err := os.MkdirAll(filepath.Join(d, "below", "deeper"), 0o755); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestCreateAgainAfterTheParentIsGone(t *testing.T) {
	each(t, func(t *testing.T, g *Group) {
		if err := g.Delete(); err != nil {
			t.Fatal(err)
		}
		for _, d := range g.dirs() { // behind our back
			if err := os.Remove(filepath.Dir(d)); err != nil {
				t.Fatal(err)
			}
		}
		if err := g.Create(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestUpdatesInBothDirections(t *testing.T) {
	s := systems(t)["found"]
	if s.V2() || s.legacy["memory"] == "" {
		need.Unmet(t, "the memory controller of cgroup version 1")
	}
	each(t, func(t *testing.T, g *Group) {
		if g.sys.V2() {
			return
		}
		for _, limit := range []int64{64 << 20, 256 << 20, 32 << 20} {
			if err := g.Apply(&specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: p(limit)}}); err != nil {
				t.Fatal(err)
			}
			if got, _ := number(filepath.Join(g.dir("memory"), "memory.limit_in_bytes")); got != uint64(limit) {
				t.Errorf("limit %d, want %d", got, limit)
			}
		}
	})
}
