package runtime_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"lus/internal/base/errs"
	"lus/internal/linux/runtime"
	"lus/internal/model/task"
	"lus/test/need"
)

func TestUsersAndCapabilities(t *testing.T) {
	b := newBench(t)
	user := func(c *runtime.Container) {
		c.Spec.Process.User = specs.User{UID: 1000, GID: 1001, AdditionalGids: []uint32{5, 7}}
		c.Spec.Process.Capabilities.Effective, c.Spec.Process.Capabilities.Permitted = nil, nil
	}
	for _, x := range []struct {
		name, line, want string
		change           func(*runtime.Container)
	}{
		{"ids", "id -u; id -g; id -G", "1000\n1001\n1001 5 7", user},
		{"a user has no capability in effect", "grep -E 'Cap(Eff|Prm)' /proc/self/status | cut -f2", "0000000000000000\n0000000000000000", user},
		{"but may gain those of the bounding set", "grep CapBnd /proc/self/status | cut -f2", "00000000a80425fb", user},
		{"ambient ones survive", "grep -E 'Cap(Eff|Amb)' /proc/self/status | cut -f2", "0000000000000400\n0000000000000400", func(c *runtime.Container) {
			user(c)
			only := []string{"CAP_NET_BIND_SERVICE"}
			p := c.Spec.Process.Capabilities
			p.Permitted, p.Effective, p.Inheritable, p.Ambient = only, only, only, only
		}},
		{"none at all", "grep -E 'Cap(Eff|Bnd)' /proc/self/status | cut -f2", "0000000000000000\n0000000000000000", func(c *runtime.Container) {
			c.Spec.Process.Capabilities = nil
		}},
		{"no_new_privs", "grep NoNewPrivs /proc/self/status | cut -f2", "1", func(c *runtime.Container) { c.Spec.Process.NoNewPrivileges = true }},
		{"umask", "umask", "0077", func(c *runtime.Container) { u := uint32(0o77); c.Spec.Process.User.Umask = &u }},
		{"a limit", "ulimit -n; ulimit -Hn", "100\n200", func(c *runtime.Container) {
			c.Spec.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 100, Hard: 200}}
		}},
		{"a limit higher than possible", "test $(ulimit -n) -gt 0 && echo ok", "ok", func(c *runtime.Container) {
			c.Spec.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 1 << 40, Hard: 1 << 40}}
		}},
		{"a sysctl", "cat /proc/sys/net/ipv4/ip_unprivileged_port_start", "7", func(c *runtime.Container) {
			c.Spec.Linux.Sysctl = map[string]string{"net.ipv4.ip_unprivileged_port_start": "7"}
		}},
		{"a domain name", "cat /proc/sys/kernel/domainname", "example", func(c *runtime.Container) { c.Spec.Domainname = "example" }},
	} {
		if got := b.sh(x.line, x.change); got != x.want {
			t.Errorf("%s: %q, want %q", x.name, got, x.want)
		}
	}
}

// A setuid program gains what it should, unless no_new_privs says otherwise.
func TestSetuidPrograms(t *testing.T) {
	b := newBench(t)
	// busybox gives up such rights by itself, so a program of our own.
	source := file(t, filepath.Join(t.TempDir(), "who.c"), `#include <stdio.h>
#include <unistd.h>
int main(void) { printf("%d %d\n", getuid(), geteuid()); return 0; }
`)
	suid := filepath.Join(b.lower, "bin/who2")
	if out, err := exec.Command(need.Program(t, "gcc", "gcc"), "-static", "-o", suid, source).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := os.Chmod(suid, 0o755|os.ModeSetuid); err != nil {
		t.Fatal(err)
	}
	for nnp, want := range map[bool]string{false: "1000 0", true: "1000 1000"} {
		got := b.sh("who2", func(c *runtime.Container) {
			c.Spec.Process.User = specs.User{UID: 1000, GID: 1000}
			c.Spec.Process.Capabilities.Effective, c.Spec.Process.Capabilities.Permitted = nil, nil
			c.Spec.Process.NoNewPrivileges = nnp
		})
		if got != want {
			t.Errorf("no_new_privs %v: %q, want %q", nnp, got, want)
		}
	}
}

func TestSeccompDenies(t *testing.T) {
	b := newBench(t)
	for _, line := range []string{
		"unshare -U true 2>&1 | grep -c 'not permitted'",
		"mount -t tmpfs x /tmp 2>&1 | grep -c -i -e 'not permitted' -e 'permission denied'",
	} {
		if got := b.sh(line); got != "1" {
			t.Errorf("%s: %q", line, got)
		}
	}
	if got := b.sh("unshare -U true && echo free", func(c *runtime.Container) { c.Spec.Annotations = nil }); got != "free" {
		t.Errorf("unconfined: %q", got)
	}
}

func TestDevices(t *testing.T) {
	b := newBench(t)
	for _, x := range []struct{ line, want string }{
		{"head -c 4 /dev/zero | wc -c", "4"},
		{"mknod /tmp/null c 1 3 && echo made", "made"},
		{"mknod /tmp/kmsg c 1 11 && cat /tmp/kmsg 2>&1 | grep -c 'not permitted'", "1"},
		{"mknod /tmp/sda b 8 0 && head -c 1 /tmp/sda 2>&1 | grep -c 'not permitted'", "1"},
	} {
		if got := b.sh(x.line); got != x.want {
			t.Errorf("%s: %q, want %q", x.line, got, x.want)
		}
	}
	major, minor := int64(10), int64(200)
	got := b.sh("test -c /dev/sub/tun && stat -c %a /dev/sub/tun; : < /dev/sub/tun && echo ok", func(c *runtime.Container) {
		mode := os.FileMode(0o640)
		c.Spec.Linux.Devices = append(c.Spec.Linux.Devices, specs.LinuxDevice{Path: "/dev/sub/tun", Type: "c", Major: major, Minor: minor, FileMode: &mode})
		c.Spec.Linux.Resources.Devices = append(c.Spec.Linux.Resources.Devices, specs.LinuxDeviceCgroup{Allow: true, Type: "c", Major: &major, Minor: &minor, Access: "r"})
	})
	if got != "640\nok" {
		t.Errorf("a device given: %q", got)
	}
}

func TestMemoryLimitKills(t *testing.T) {
	b := newBench(t)
	c := b.container("sh", "-c", "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null; tail /dev/zero")
	limit := int64(16 << 20)
	c.Spec.Linux.Resources.Memory = &specs.LinuxMemory{Limit: &limit}
	out, code := b.run(c)
	if code != 137 || !strings.Contains(out, "16777216") {
		t.Errorf("code %d: %q", code, out)
	}
	s, err := b.rt.Stats(context.Background(), c.ID)
	if err != nil || s.OOMKills == 0 {
		t.Errorf("no kill was counted: %+v %v", s, err)
	}
}

func TestPidsLimit(t *testing.T) {
	b := newBench(t)
	c := b.container("sh", "-c", "for i in 1 2 3 4 5 6 7 8; do sleep 5 & done; wait")
	limit := int64(4)
	c.Spec.Linux.Resources.Pids = &specs.LinuxPids{Limit: &limit}
	out, _ := b.run(c)
	if !strings.Contains(out, "fork") {
		t.Errorf("no fork failed: %q", out)
	}
}

// A terminal has a name inside, for those who ask (tty, tmux, gpg).
func TestTerminal(t *testing.T) {
	b := newBench(t)
	line := "test -t 0 && test -t 1 && tty; stty size; stat -c %t:%T /dev/console $(tty) | uniq | wc -l; cut -d' ' -f5 /proc/$$/stat | grep -c ^$$"
	c := b.container("sh", "-c", line)
	c.Streams = task.Streams{Kind: task.StreamTerminal, Rows: 30, Cols: 90}
	c.Spec.Process.Terminal = true
	out, code := b.run(c)
	if want := "/dev/pts/0\r\n30 90\r\n1\r\n1\r\n"; code != 0 || out != want {
		t.Errorf("code %d: %q, want %q", code, out, want)
	}
	s := b.sleeper()
	proc := runtime.Default().Process
	proc.Args = []string{"sh", "-c", "tty; stty size; exit 3"}
	out, code = b.execProcess(s, proc, task.Streams{Kind: task.StreamTerminal, Rows: 20, Cols: 70})
	if want := "/dev/pts/0\r\n20 70\r\n"; code != 3 || out != want {
		t.Errorf("exec: code %d: %q, want %q", code, out, want)
	}
}

func TestReaper(t *testing.T) {
	b := newBench(t)
	c := b.container("sh", "-c", "echo $$; trap 'echo got; exit 5' TERM; (sleep 0.05 &); kill -TERM 1; sleep 1000 & wait")
	c.Spec.Annotations[runtime.AnnotationInit] = "true"
	out, code := b.run(c)
	if code != 5 || out != "2\ngot\n" {
		t.Errorf("code %d: %q", code, out)
	}
	c = b.container("nonsense")
	c.Spec.Annotations[runtime.AnnotationInit] = "true"
	if err := b.start(c); !errs.Is(err, errs.CommandNotFound) {
		t.Errorf("a command that is not there: %v", err)
	}
}

// Whoever starts the daemon may ignore signals (a shell does for what it runs in
// the background); a container starts without that.
func TestAContainerIgnoresNoSignal(t *testing.T) {
	signal.Ignore(unix.SIGUSR2)
	defer signal.Reset(unix.SIGUSR2)
	b := newBench(t)
	if out, _ := b.run(b.container("grep", "SigIgn", "/proc/self/status")); out != "SigIgn:\t0000000000000000\n" {
		t.Errorf("it ignores %q", out)
	}
}

func TestJoinedNamespaces(t *testing.T) {
	b := newBench(t)
	first := b.sleeper(func(c *runtime.Container) { c.Spec.Hostname = "first" })
	pids, err := b.rt.Pids(context.Background(), first.ID)
	if err != nil || len(pids) != 1 {
		t.Fatal(pids, err)
	}
	got := b.sh("cat /proc/1/comm; ip -o link | wc -l", func(c *runtime.Container) {
		for i, n := range c.Spec.Linux.Namespaces {
			switch n.Type {
			case specs.PIDNamespace:
				c.Spec.Linux.Namespaces[i].Path = fmt.Sprintf("/proc/%d/ns/pid", pids[0])
			case specs.NetworkNamespace:
				c.Spec.Linux.Namespaces[i].Path = fmt.Sprintf("/proc/%d/ns/net", pids[0])
			}
		}
	})
	if got != "sleep\n1" {
		t.Errorf("got %q", got)
	}
}

func TestHostPidNamespaceLeavesNobody(t *testing.T) {
	b := newBench(t)
	c := b.container("sh", "-c", "sleep 1000 & sleep 1000 & exit 0")
	c.Spec.Linux.Namespaces = without(c.Spec.Linux.Namespaces, specs.PIDNamespace)
	c.Streams.Kind = task.StreamGiven
	null, err := os.OpenFile("/dev/null", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	c.Given = [3]*os.File{null, null, null}
	b.run(c)
	if pids, err := b.rt.Pids(context.Background(), c.ID); err != nil || len(pids) != 2 {
		t.Fatalf("pids %v %v", pids, err)
	}
	if err := b.rt.Delete(context.Background(), c.ID); err != nil {
		t.Fatal(err)
	}
}

func without(list []specs.LinuxNamespace, kind specs.LinuxNamespaceType) []specs.LinuxNamespace {
	var out []specs.LinuxNamespace
	for _, n := range list {
		if n.Type != kind {
			out = append(out, n)
		}
	}
	return out
}

// Many at once: each gets its own, and nothing is left of any.
func TestTwentyAtOnceLeaveNothing(t *testing.T) {
	b := newBench(t)
	ctx := context.Background()
	before, fds := hostMounts(t), openFiles(t)
	var wg sync.WaitGroup
	for i := range 20 {
		c := b.container("sh", "-c", fmt.Sprintf("echo %d; exit %d", i, i))
		wg.Go(func() {
			p, err := b.rt.Create(ctx, c)
			if err != nil {
				t.Error(err)
				return
			}
			_ = p.NetNS.Close()
			if err := b.rt.Start(ctx, task.Key{Container: c.ID}); err != nil {
				t.Error(err)
			}
			if out, code := b.parent.output(task.Key{Container: c.ID}); code != i || out != fmt.Sprintln(i) {
				t.Errorf("%d: %q %d", i, out, code)
			}
			if err := b.rt.Delete(ctx, c.ID); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	own := filepath.Dir(b.lower) // the test's own folders
	for line := range hostMounts(t) {
		// Other tests beside this one mount in their own folders.
		others := strings.Contains(line, " "+os.TempDir()+"/") || strings.Contains(line, " /run/")
		if !before[line] && (strings.Contains(line, own) || !others) {
			t.Errorf("mounted on the host: %s", line)
		}
	}
	if left, _ := filepath.Glob("/sys/fs/cgroup/*/" + b.cgroup + "/*/"); len(left) != 0 {
		t.Errorf("cgroups left: %v", left)
	}
	if n := openFiles(t); n > fds {
		t.Errorf("%d descriptors open, %d before", n, fds)
	}
}

// hostMounts are the lines of the host's table of mounts.
func hostMounts(t *testing.T) map[string]bool {
	t.Helper()
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]bool{}
	for line := range strings.Lines(string(data)) {
		out[line] = true
	}
	return out
}

func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func TestWhatFailsLeavesNothing(t *testing.T) {
	b := newBench(t)
	ctx := context.Background()
	limit := int64(1)
	for name, change := range map[string]func(*runtime.Container){
		"a bad mount":      mountOf("bind", "/no/such", "/x", "rbind"),
		"a bad option":     mountOf("tmpfs", "tmpfs", "/x", "nonsense=1"),
		"a missing layer":  func(c *runtime.Container) { c.Rootfs.Lower = []string{"/no/such", b.lower} },
		"no command":       func(c *runtime.Container) { c.Spec.Process.Args = nil },
		"an unknown limit": func(c *runtime.Container) { c.Spec.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_X"}} },
		"a user namespace": func(c *runtime.Container) {
			c.Spec.Linux.Namespaces = append(c.Spec.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
		},
		"a limit too small": func(c *runtime.Container) { c.Spec.Linux.Resources.CPU = &specs.LinuxCPU{Quota: &limit} },
		"a zero byte":       func(c *runtime.Container) { c.Spec.Process.Env = []string{"A=\x00"} },
		"a host sysctl":     func(c *runtime.Container) { c.Spec.Linux.Sysctl = map[string]string{"kernel.panic": "1"} },
	} {
		c := b.container("true")
		change(c)
		fds := openFiles(t)
		if _, err := b.rt.Create(ctx, c); err == nil {
			t.Errorf("%s: no error", name)
		} else if strings.Contains(err.Error(), "%!") {
			t.Errorf("%s: %v", name, err)
		}
		if left, _ := filepath.Glob("/sys/fs/cgroup/*/" + c.Cgroup); len(left) != 0 {
			t.Errorf("%s: cgroups left: %v", name, left)
		}
		if n := openFiles(t); n > fds {
			t.Errorf("%s: %d descriptors open, %d before", name, n, fds)
		}
		if pids, _ := filepath.Glob("/proc/[0-9]*/cgroup"); len(pids) > 0 {
			for _, p := range pids {
				if data, err := os.ReadFile(p); err == nil && strings.Contains(string(data), c.ID) {
					t.Errorf("%s: a process is left: %s", name, p)
				}
			}
		}
	}
	var st unix.Stat_t
	if err := unix.Stat("/x", &st); err == nil {
		t.Error("/x was made on the host")
	}
}
