package scenarios

import (
	"os"
	"strings"
	"testing"

	"lus/test/stack"
)

// What people ask for to hold a container tighter, or less tightly, is done or
// refused, never dropped.

func TestNoNewPrivilegesMakesSetuidPointless(t *testing.T) {
	t.Parallel()
	s := shared(t)
	const line = "cp /usr/bin/id /tmp/id && chmod 4755 /tmp/id && setpriv --reuid=1000 --clear-groups /tmp/id -u"
	for opt, want := range map[string]string{"no-new-privileges": "1000", "no-new-privileges:true": "1000", "no-new-privileges=false": "0"} {
		if got := s.OK(t, "run", "--rm", "--security-opt", opt, stack.Debian, "sh", "-c", line); got != want {
			t.Errorf("%s: a setuid program of root has the user %s, want %s", opt, got, want)
		}
	}
	name := named(t, s, "nnp")
	s.OK(t, "run", "-d", "--name", name, "--security-opt", "no-new-privileges", stack.Busybox, "sleep", "300")
	if got := s.OK(t, "exec", name, "grep", "NoNewPrivs", "/proc/self/status"); got != "NoNewPrivs:\t1" {
		t.Errorf("an exec there: %s", got)
	}
}

func TestSeccompProfileFromAFile(t *testing.T) {
	t.Parallel()
	s := shared(t)
	dir := stack.Folder(t, map[string]string{
		"nodirs.json":  `{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO","errnoRet":95}]}`,
		"broken.json":  `{"defaultAction":`,
		"action.json":  `{"defaultAction":"SCMP_ACT_LAUGH"}`,
		"compare.json": `{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["read"],"action":"SCMP_ACT_ERRNO","args":[{"index":1,"op":"SCMP_CMP_ODD"}]}]}`,
		"empty.json":   `{}`,
	})
	name := named(t, s, "nodirs")
	s.OK(t, "run", "-d", "--name", name, "--security-opt", "seccomp="+dir+"/nodirs.json", stack.Busybox, "sh", "-c", "mkdir /x; sleep 300")
	stack.Says(t, s.Lus("exec", name, "mkdir", "/y").Err, "Operation not supported") // the profile's own errno
	stack.Eventually(t, "the first process's error", func() bool {
		return strings.Contains(s.Lus("logs", name).All(), "Operation not supported")
	})
	s.OK(t, "run", "--rm", "--security-opt", "seccomp=unconfined", stack.Busybox, "unshare", "-U", "true")
	if r := s.Lus("run", "--rm", stack.Busybox, "unshare", "-U", "true"); r.Code == 0 {
		t.Error("the default profile allows a user namespace")
	}
	for file, says := range map[string]string{
		"broken.json": "JSON", "action.json": "SCMP_ACT_LAUGH", "compare.json": "SCMP_CMP_ODD", "empty.json": "unconfined", "not-there.json": "no such file",
	} {
		ghost := named(t, s, "ghost")
		said := s.Fail(t, 125, "run", "--name", ghost, "--security-opt", "seccomp="+dir+"/"+file, stack.Busybox, "true")
		stack.Says(t, said, "seccomp", says)
		if s.Lus("inspect", ghost).Code == 0 {
			t.Errorf("%s: a container was made", file)
		}
	}
}

func TestProfilesOfAbsentModulesAreRefused(t *testing.T) {
	t.Parallel()
	s := shared(t)
	absent := []string{"label=type:svirt_t", "apparmor=mine"}
	if _, err := os.Stat("/sys/kernel/security/apparmor"); err != nil {
		absent = append(absent, "apparmor=docker-default")
	}
	for _, opt := range absent {
		ghost := named(t, s, "ghost")
		stack.Says(t, s.Fail(t, 125, "run", "--name", ghost, "--security-opt", opt, stack.Busybox, "true"), opt)
		if s.Lus("inspect", ghost).Code == 0 {
			t.Errorf("%s: a container was made", opt)
		}
	}
	s.OK(t, "run", "--rm", "--security-opt", "apparmor=unconfined", "--security-opt", "label=disable", stack.Busybox, "true")
}

// Device rules, tried on the kernel's log, which every host has and no
// container gets: opening it to write needs nothing but the rule.
func TestDeviceRulesAllowAndDeny(t *testing.T) {
	t.Parallel()
	s := shared(t)
	const (
		node  = "mknod /tmp/kmsg c 1 11; "
		write = node + "( : > /tmp/kmsg ) 2>/dev/null && echo open || echo shut"
	)
	for _, c := range []struct {
		what, want, line string
		flags            []string
	}{
		{"without a rule", "shut", write, nil},
		{"--device-cgroup-rule for it", "open", write, []string{"--device-cgroup-rule", "c 1:11 w"}},
		{"for all of its kind", "open", write, []string{"--device-cgroup-rule", "c 1:* rwm"}},
		{"to read only", "shut", write, []string{"--device-cgroup-rule", "c 1:11 r"}},
		{"for another one", "shut", write, []string{"--device-cgroup-rule", "c 10:11 rwm"}},
		{"for block devices", "shut", write, []string{"--device-cgroup-rule", "b 1:11 rwm"}},
		{"every capability, no device", "shut", write, []string{"--cap-add", "ALL"}},
		{"--privileged", "open", write, []string{"--privileged"}},
		{"--device", "open", "test -c /dev/log2 && : > /dev/log2 && echo open", []string{"--device", "/dev/kmsg:/dev/log2:rw"}},
		{"--device to read only", "shut", "( : > /dev/kmsg ) 2>/dev/null && echo open || echo shut", []string{"--device", "/dev/kmsg:/dev/kmsg:r"}},
		{"--device alone lets none be made", "shut", "mknod /tmp/x c 1 11 2>/dev/null && echo open || echo shut", []string{"--device", "/dev/kmsg:/dev/kmsg:rw", "--cap-drop", "MKNOD"}},
	} {
		args := append(append([]string{"run", "--rm"}, c.flags...), stack.Busybox, "sh", "-c", c.line)
		if got := s.OK(t, args...); got != c.want {
			t.Errorf("%s: the device is %s, want %s", c.what, got, c.want)
		}
	}
	s.Fail(t, 127, "run", "--rm", "--device", "/dev/no-such-device", stack.Busybox, "true") // as with docker
	for _, bad := range [][]string{
		{"--device-cgroup-rule", "c 1:x rwm"}, {"--device-cgroup-rule", "d 1:1 r"}, {"--device-cgroup-rule", "c 1:1 rr"},
		{"--device", "/etc/passwd"}, {"--device", "/dev/kmsg:/dev/kmsg:x"},
	} {
		s.Fail(t, 125, append(append([]string{"run", "--rm"}, bad...), stack.Busybox, "true")...)
	}
}

func TestPrivilegedAndAllCapabilities(t *testing.T) {
	t.Parallel()
	s := shared(t)
	const look = "grep -E '^(CapEff|Seccomp):' /proc/self/status | tr '\\t\\n' '  '; touch /sys/x 2>&1 | grep -o Read-only; ( echo 4 > /proc/sys/kernel/printk ) 2>&1 | grep -o Read-only; test -c /dev/kmsg && echo kmsg; head -c 1 /proc/keys | wc -c"
	printk, err := os.ReadFile("/proc/sys/kernel/printk")
	if err != nil {
		t.Fatal(err)
	}
	host := s.Do(nil, "sh", "-c", "grep CapBnd /proc/self/status | cut -f2").Want(t, 0)
	plain := s.OK(t, "run", "--rm", stack.Busybox, "sh", "-c", look)
	if want := "CapEff: 00000000a80425fb Seccomp: 2 Read-only\nRead-only\n0"; plain != want {
		t.Errorf("plain:\n%s\nwant\n%s", plain, want)
	}
	all := s.OK(t, "run", "--rm", "--cap-add", "ALL", stack.Busybox, "sh", "-c", look)
	if want := "CapEff: " + host + " Seccomp: 2 Read-only\nRead-only\n0"; all != want {
		t.Errorf("with every capability:\n%s\nwant\n%s", all, want)
	}
	// Without writing to the host's parameters: they would be open to it.
	privileged := s.OK(t, "run", "--rm", "--privileged", stack.Busybox, "sh", "-c",
		"grep -E '^(CapEff|Seccomp):' /proc/self/status | tr '\\t\\n' '  '; grep -E ' /(proc/sys|sys) ' /proc/mounts | grep -c ' ro,'; test -c /dev/kmsg && echo kmsg")
	if want := "CapEff: " + host + " Seccomp: 0 0\nkmsg"; privileged != want {
		t.Errorf("privileged:\n%s\nwant\n%s", privileged, want)
	}
	if now, err := os.ReadFile("/proc/sys/kernel/printk"); err != nil || string(now) != string(printk) {
		t.Errorf("the host's parameter was %q and is %q", printk, now)
	}
}

func TestSysctlsAreTheContainersOwn(t *testing.T) {
	t.Parallel()
	s := shared(t)
	if got := s.OK(t, "run", "--rm", "--sysctl", "net.ipv4.ip_default_ttl=77", "--sysctl", "kernel.shmmni=123", "--sysctl", "fs.mqueue.msg_max=12", stack.Busybox,
		"cat", "/proc/sys/net/ipv4/ip_default_ttl", "/proc/sys/kernel/shmmni", "/proc/sys/fs/mqueue/msg_max"); got != "77\n123\n12" {
		t.Errorf("the container has %q", got)
	}
	for file, never := range map[string]string{"/proc/sys/net/ipv4/ip_default_ttl": "77\n", "/proc/sys/kernel/shmmni": "123\n", "/proc/sys/fs/mqueue/msg_max": "12\n"} {
		if data, err := os.ReadFile(file); err != nil || string(data) == never {
			t.Errorf("the host's %s: %q %v", file, data, err)
		}
	}
	for _, flags := range [][]string{
		{"--sysctl", "kernel.panic=7"}, {"--sysctl", "vm.swappiness=7"}, {"--sysctl", "kernel.core_pattern=|/x"}, {"--sysctl", "fs.file-max=7"},
		{"--sysctl", "net/../kernel/panic=7"}, {"--network", "host", "--sysctl", "net.ipv4.ip_default_ttl=77"}, {"--ipc", "host", "--sysctl", "kernel.shmmni=7"},
	} {
		stack.Says(t, s.Fail(t, 125, append(append([]string{"run", "--rm"}, flags...), stack.Busybox, "true")...), "sysctl")
	}
}

func TestLimitsOfProcessesHoldForExecsToo(t *testing.T) {
	t.Parallel()
	s := shared(t)
	name := named(t, s, "limits")
	const look = "ulimit -n; ulimit -Hn; ulimit -c; cat /proc/self/oom_score_adj"
	const want = "100\n200\n0\n500"
	s.OK(t, "run", "-d", "--name", name, "--ulimit", "nofile=100:200", "--ulimit", "core=0", "--oom-score-adj", "500", stack.Busybox, "sh", "-c", look+"; sleep 300")
	stack.Eventually(t, "its output", func() bool { return strings.Count(s.OK(t, "logs", name), "\n") == 3 })
	if got := s.OK(t, "logs", name); got != want {
		t.Errorf("run: %q, want %q", got, want)
	}
	if got := s.OK(t, "exec", name, "sh", "-c", look); got != want {
		t.Errorf("exec: %q, want %q", got, want)
	}
	for _, bad := range [][]string{{"--ulimit", "nofile=200:100"}, {"--ulimit", "smiles=1"}, {"--oom-score-adj", "1001"}} {
		s.Fail(t, 125, append(append([]string{"run", "--rm"}, bad...), stack.Busybox, "true")...)
	}
}

func TestInitReapsAndForwards(t *testing.T) {
	t.Parallel()
	s := shared(t)
	zombies := func(name string) string {
		return s.OK(t, "exec", name, "sh", "-c", "grep -l '^State:.Z' /proc/[0-9]*/status | wc -l")
	}
	reaped, plain := named(t, s, "init"), named(t, s, "plain")
	s.OK(t, "run", "-d", "--init", "--name", reaped, stack.Busybox, "sleep", "300")
	s.OK(t, "run", "-d", "--name", plain, stack.Busybox, "sleep", "300")
	for _, name := range []string{reaped, plain} {
		for range 3 { // each leaves an orphan that ends at once
			s.OK(t, "exec", name, "sh", "-c", "( true & ) ; exit 0")
		}
	}
	// sleep is no init: its orphans stay, or the test would show nothing.
	stack.Eventually(t, "the orphans without --init", func() bool { return zombies(plain) == "3" })
	stack.Eventually(t, "the orphans with --init to be gone", func() bool { return zombies(reaped) == "0" })
	if got := s.OK(t, "exec", reaped, "cat", "/proc/1/comm"); got != "lus-init" {
		t.Errorf("ps shows the first process as %q", got)
	}

	told := named(t, s, "told")
	s.OK(t, "run", "-d", "--init", "--name", told, stack.Busybox, "sh", "-c", "trap 'echo told; exit 9' USR1; echo ready; while :; do sleep 0.05; done")
	stack.Eventually(t, "its trap", func() bool { return s.OK(t, "logs", told) == "ready" })
	s.OK(t, "kill", "-s", "USR1", told)
	if code := s.OK(t, "wait", told); code != "9" {
		t.Errorf("it ended with %s, want 9", code)
	}
	if got := s.OK(t, "logs", told); got != "ready\ntold" {
		t.Errorf("it said %q", got)
	}
	// With an init above it, a command can be killed from inside.
	s.Lus("run", "--rm", "--init", stack.Busybox, "sh", "-c", "kill -9 $$").Want(t, 137)
}

func TestAForkBombIsHeld(t *testing.T) {
	t.Parallel()
	s := shared(t)
	name := named(t, s, "bomb")
	s.OK(t, "run", "-d", "--name", name, "--pids-limit", "20", "--cpus", "0.2", stack.Busybox, "sh", "-c", "b() { b | b & }; b & exec sleep 1000")
	refused := func() bool { return strings.Contains(s.Lus("logs", "--tail", "50", name).All(), "fork") }
	stack.Eventually(t, "a fork that is refused", refused)
	if n := len(strings.Split(s.OK(t, "top", name, "-o", "pid"), "\n")) - 1; n > 20 {
		t.Errorf("%d processes, the limit is 20", n)
	}
	s.OK(t, "run", "--rm", stack.Busybox, "true") // nobody else feels it
	s.OK(t, "rm", "-f", name)
}

func TestAKillForMemoryIsRecorded(t *testing.T) {
	t.Parallel()
	s := shared(t)
	over, under := named(t, s, "over"), named(t, s, "under")
	s.Lus("run", "--name", over, "--memory", "16m", stack.Busybox, "tail", "/dev/zero").Want(t, 137)
	s.Lus("run", "--name", under, "--memory", "16m", stack.Busybox, "sh", "-c", "exit 137").Want(t, 137)
	for name, want := range map[string]string{over: "true 137 exited", under: "false 137 exited"} {
		if got := s.OK(t, "inspect", "-f", "{{.State.OOMKilled}} {{.State.ExitCode}} {{.State.Status}}", name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// With the host's IPC a container sees the host's message queues, also where the
// host has mounted them nowhere; with its own it does not.
func TestTheHostsMessageQueues(t *testing.T) {
	t.Parallel()
	s := shared(t)
	queue := "/dev/mqueue/" + named(t, s, "queue")
	s.OK(t, "run", "--rm", "--ipc", "host", stack.Busybox, "touch", queue)
	t.Cleanup(func() { s.OK(t, "run", "--rm", "--ipc", "host", stack.Busybox, "rm", queue) })
	s.OK(t, "run", "--rm", "--ipc", "host", stack.Busybox, "test", "-e", queue)
	s.Lus("run", "--rm", stack.Busybox, "test", "-e", queue).Want(t, 1)
}
