package runtime_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"lus/internal/linux/runtime"
	"lus/internal/linux/seccomp"
	"lus/internal/model/task"
	"lus/test/need"
)

// yardstick is the runc of this host with one container's bundle.
type yardstick struct {
	b             *bench
	c             *runtime.Container
	bundle, state string
}

// newYardstick writes a container's spec as runc reads it, and mounts its root.
func newYardstick(b *bench, c *runtime.Container) *yardstick {
	b.t.Helper()
	need.Program(b.t, "runc", "runc")
	y := &yardstick{b: b, c: c, bundle: b.t.TempDir()}
	y.state = filepath.Join(y.bundle, "state")
	root := filepath.Join(y.bundle, "rootfs")
	y.must(os.Mkdir(root, 0o755))
	y.must(unix.Mount("overlay", root, "overlay", 0, "lowerdir="+c.Rootfs.Lower[0]+",upperdir="+c.Rootfs.Upper+",workdir="+c.Rootfs.Work))
	b.t.Cleanup(func() {
		_ = exec.Command("runc", "--root", y.state, "delete", "--force", c.ID).Run()
		_ = unix.Unmount(root, unix.MNT_DETACH)
		// runc makes its groups in hierarchies, too, that ours leaves alone.
		for _, group := range []string{c.Cgroup, filepath.Dir(c.Cgroup)} {
			left, _ := filepath.Glob("/sys/fs/cgroup/*/" + group)
			for _, dir := range left {
				_ = os.Remove(dir)
			}
		}
	})
	s := *c.Spec
	s.Root = &specs.Root{Path: root, Readonly: c.Spec.Root.Readonly}
	linux := *s.Linux
	linux.CgroupsPath = "/" + c.Cgroup
	if s.Annotations[runtime.AnnotationSeccomp] == "default" {
		var err error
		linux.Seccomp, err = seccomp.Default(&s)
		y.must(err)
	}
	s.Linux, s.Annotations = &linux, nil
	y.write("config.json", &s)
	return y
}

func (y *yardstick) must(err error) {
	y.b.t.Helper()
	if err != nil {
		y.b.t.Fatal(err)
	}
}

func (y *yardstick) write(name string, v any) string {
	y.b.t.Helper()
	data, err := json.Marshal(v)
	y.must(err)
	path := filepath.Join(y.bundle, name)
	y.must(os.WriteFile(path, data, 0o600))
	return path
}

// do gives back what a command of runc wrote, and its exit code.
func (y *yardstick) do(words ...string) (string, int) {
	y.b.t.Helper()
	var out bytes.Buffer
	cmd := exec.Command("runc", append([]string{"--root", y.state}, words...)...)
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		y.b.t.Fatal(err)
	}
	return out.String(), cmd.ProcessState.ExitCode()
}

// runc runs the same container by the runc of this host.
func (b *bench) runc(c *runtime.Container) (string, int) {
	b.t.Helper()
	y := newYardstick(b, c)
	return y.do("run", "--bundle", y.bundle, c.ID)
}

// The same spec under runc and under Native: what a process sees and may do is
// the same. Where it is not, the difference is named here, with its reason.
func TestTheSameUnderRunc(t *testing.T) {
	b := newBench(t)
	user := func(c *runtime.Container) {
		c.Spec.Process.User = specs.User{UID: 1000, GID: 1001, AdditionalGids: []uint32{1001, 7}}
		c.Spec.Process.Capabilities.Effective, c.Spec.Process.Capabilities.Permitted = nil, nil
	}
	source := t.TempDir()
	file(t, filepath.Join(source, "mark"), "x")
	for _, x := range []struct {
		name, line string
		change     func(*runtime.Container)
		differs    string // what we say where runc says something else; the comment has the reason
	}{
		{"its status", "grep -E '^(Name|State|Uid|Gid|Groups|NoNewPrivs|Seccomp|Cap...):' /proc/self/status", nil, ""},
		{"a user's", "grep -E '^(Uid|Gid|Groups|Cap...):' /proc/self/status; umask", user, ""},
		{"no_new_privs", "grep NoNewPrivs /proc/self/status", func(c *runtime.Container) { c.Spec.Process.NoNewPrivileges = true }, ""},
		{"its mounts", "awk '{print $2, $3}' /proc/mounts | grep -v -e '^/proc/' -e cgroup | sort", nil, ""},
		{"how they may be used", "for m in /proc /dev /dev/pts /sys /dev/mqueue /dev/shm; do grep \" $m \" /proc/mounts | awk '{print $2, $4}' | tr ',' '\\n' | grep -e ^/ -e nosuid -e noexec -e nodev -e ^ro -e mode -e size | tr '\\n' ' '; echo; done", nil, ""},
		{"what is hidden", "for p in /proc/keys /proc/timer_list /proc/acpi /sys/firmware /proc/scsi /proc/interrupts; do ls -A $p 2>&1 | head -1; stat -c %F $p 2>&1; cat $p 2>/dev/null | wc -c; done", nil, ""},
		{"what is read-only", "for p in bus fs irq sys sysrq-trigger; do touch /proc/$p 2>&1; grep -c \" /proc/$p proc ro\" /proc/mounts; done", nil, ""},
		{"its devices", "cd /dev && for f in *; do stat -c '%n %F %t:%T %a' $f; done | grep -v -e ^core -e ^ptmx; for l in fd stdin stdout stderr; do readlink $l; done", nil, ""},
		{"what devices let it", "for d in 1:11 1:1 8:0; do mknod /tmp/$d c ${d%:*} ${d#*:} && ( : < /tmp/$d ) 2>&1; done; head -c 3 /dev/zero | wc -c", nil, ""},
		// Before version 1.2 runc gave every container /dev/net/tun, which the spec does not.
		{"the device of tunnels", "mknod /tmp/tun c 10 200 && ( : < /tmp/tun ) 2>&1", nil, "sh: can't open /tmp/tun: Operation not permitted\n"},
		{"its namespaces", "for n in mnt pid net ipc uts cgroup; do test -n \"$(readlink /proc/self/ns/$n)\" && echo $n; done; cut -d: -f3 /proc/self/cgroup | sort -u; echo $$; ip -o link | wc -l; ip link show lo | grep -c UP", nil, ""},
		{"its descriptors", "ls /proc/self/fd | tr '\\n' ' '", nil, ""},
		// Not what it ignores: runc passes on what its own caller ignored.
		{"its signals", "grep -E '^Sig(Blk|Cgt)' /proc/1/status", nil, ""},
		{"limits", "ulimit -n; ulimit -Hn; ulimit -c; cat /proc/self/oom_score_adj", func(c *runtime.Container) {
			score := 77
			c.Spec.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 128, Hard: 128}, {Type: "RLIMIT_CORE", Soft: 512, Hard: 1024}}
			c.Spec.Process.OOMScoreAdj = &score
		}, ""},
		{"limits of the cgroup", "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/pids/pids.max", func(c *runtime.Container) {
			memory, pids := int64(64<<20), int64(33)
			c.Spec.Linux.Resources.Memory, c.Spec.Linux.Resources.Pids = &specs.LinuxMemory{Limit: &memory}, &specs.LinuxPids{Limit: &pids}
		}, ""},
		{"names", "hostname; cat /proc/sys/kernel/domainname", func(c *runtime.Container) { c.Spec.Hostname = "box" }, ""},
		{"a sysctl", "cat /proc/sys/net/ipv4/ip_unprivileged_port_start", func(c *runtime.Container) {
			c.Spec.Linux.Sysctl = map[string]string{"net.ipv4.ip_unprivileged_port_start": "7"}
		}, ""},
		{"binds", "cat /a/mark; touch /a/y 2>&1; cat /f; stat -c %F /f", func(c *runtime.Container) {
			mountOf("bind", source, "/a", "rbind", "ro")(c)
			mountOf("bind", source+"/mark", "/f", "bind")(c)
		}, ""},
		{"a read-only root", "touch /x 2>&1; touch /dev/shm/x && echo ok", func(c *runtime.Container) { c.Spec.Root.Readonly = true }, ""},
		{"a working folder that is made", "pwd; stat -c '%a %u' /srv/a /srv/a/b", func(c *runtime.Container) { c.Spec.Process.Cwd = "/srv/a/b" }, ""},
		{"an exit code", "exit 42", nil, ""},
		{"a signal", "kill -TERM $$; sh -c 'kill -KILL $$' 2>/dev/null; echo $?", nil, ""},
		{"its environment", "env | sort", func(c *runtime.Container) {
			c.Spec.Process.Env = append(c.Spec.Process.Env, "A=b", "EMPTY=", "HOME=/h")
		}, ""},
		// runc looks HOME up where the spec has none; with us the engine has done so.
		{"its home", "echo \"home $HOME\"", nil, "home \n"},
		{"seccomp", "unshare -U true 2>&1; mount -t tmpfs x /tmp 2>&1; chroot / true; echo $?", nil, ""},
	} {
		change := x.change
		if change == nil {
			change = func(*runtime.Container) {}
		}
		ours, theirs := b.container("sh", "-c", x.line), b.container("sh", "-c", x.line)
		change(ours)
		change(theirs)
		out, code := b.run(ours)
		want, wantCode := b.runc(theirs)
		if x.differs != "" {
			if out != x.differs {
				t.Errorf("%s: we say %q, want %q", x.name, out, x.differs)
			}
			continue
		}
		if out != want || code != wantCode {
			t.Errorf("%s:\nwe say (%d)\n%s\nrunc says (%d)\n%s", x.name, code, indent(out), wantCode, indent(want))
		}
	}
}

func indent(s string) string {
	return "\t" + strings.ReplaceAll(strings.TrimSuffix(s, "\n"), "\n", "\n\t")
}

// The same for processes in a running container.
func TestExecIsTheSameUnderRunc(t *testing.T) {
	b := newBench(t)
	ours, theirs := b.sleeper(), b.container("sleep", "1000")
	y := newYardstick(b, theirs)
	null, err := os.OpenFile("/dev/null", os.O_RDWR, 0)
	y.must(err)
	defer null.Close()
	run := exec.Command("runc", "--root", y.state, "run", "--detach", "--bundle", y.bundle, theirs.ID)
	run.Stdin, run.Stdout, run.Stderr = null, null, null
	y.must(run.Run())
	for _, x := range []struct {
		name, line string
		change     func(*specs.Process)
	}{
		{"its status", "grep -E '^(Uid|Gid|Groups|NoNewPrivs|Seccomp|Cap...):' /proc/self/status", nil},
		{"a user's", "grep -E '^(Uid|Gid|Groups|NoNewPrivs|Seccomp|Cap...):' /proc/self/status; umask", func(p *specs.Process) {
			p.User = specs.User{UID: 1000, GID: 1001, AdditionalGids: []uint32{1001, 7}}
			p.Capabilities.Effective, p.Capabilities.Permitted = nil, nil
		}},
		{"no_new_privs", "grep NoNewPrivs /proc/self/status", func(p *specs.Process) { p.NoNewPrivileges = true }},
		{"no capability", "grep -E '^Cap' /proc/self/status", func(p *specs.Process) { p.Capabilities = &specs.LinuxCapabilities{} }},
		{"where it is", "cat /proc/1/comm; cut -d: -f3 /proc/self/cgroup | sort -u; pwd", nil},
		{"a working folder", "pwd", func(p *specs.Process) { p.Cwd = "/etc" }},
		{"its descriptors", "ls /proc/self/fd | tr '\\n' ' '", nil},
		{"its signals", "grep -E '^Sig(Blk|Cgt)' /proc/self/status", nil},
		// Not its score for the OOM killer: runc gives an exec that of the container.
		// Not a soft limit of files below the hard one: runc's own Go runtime now and
		// then raises it on the way.
		{"limits", "ulimit -n; ulimit -Hn; ulimit -c; ulimit -Hc", func(p *specs.Process) {
			p.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 128, Hard: 128}, {Type: "RLIMIT_CORE", Soft: 512, Hard: 1024}}
		}},
		{"its environment", "env | sort", func(p *specs.Process) { p.Env = append(p.Env, "A=b", "HOME=/h") }},
		{"what is hidden and read-only", "cat /proc/keys | wc -c; touch /proc/sys/x 2>&1; ( : < /dev/kmsg ) 2>&1", nil},
		{"an exit code", "exit 42", nil},
		{"a signal", "kill -KILL $$", nil},
	} {
		proc := runtime.Default().Process
		proc.Args = []string{"sh", "-c", x.line}
		if x.change != nil {
			x.change(proc)
		}
		out, code := b.execProcess(ours, proc, task.Streams{Kind: task.StreamLog})
		want, wantCode := y.do("exec", "--process", y.write("process.json", proc), theirs.ID)
		if out != want || code != wantCode {
			t.Errorf("%s:\nwe say (%d)\n%s\nrunc says (%d)\n%s", x.name, code, indent(out), wantCode, indent(want))
		}
	}
}
