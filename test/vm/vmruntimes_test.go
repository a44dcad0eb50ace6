package vm

import (
	"strconv"
	"strings"
	"testing"
)

// Debian's runc and crun with cgroup v2 and AppArmor: containers by them are as
// ours. crun refuses machines that have cgroups of both versions.
func TestOtherRuntimes(t *testing.T) {
	do(t, "systemctl", "start", "lus.socket")
	t.Cleanup(func() { do(t, "systemctl", "stop", "lus.service", "lus.socket") })
	lus(t, "image", "import", "/opt/lus/busybox.tar", "busybox:latest")
	for _, runtime := range []string{"lus", "runc", "crun"} {
		t.Run(runtime, func(t *testing.T) {
			runsContainers(t, runtime)
			survives(t, runtime)
		})
	}
}

func runsContainers(t *testing.T, runtime string) {
	run := func(options string, line string) (string, int) {
		t.Helper()
		args := append([]string{"run", "--rm", "--runtime", runtime}, strings.Fields(options)...)
		return try(t, "lus", append(args, "busybox", "sh", "-c", line)...)
	}
	for _, x := range []struct {
		options, line, out string
		code               int
	}{
		{"", "echo hello; exit 7", "hello", 7},
		{"", "cat /proc/self/attr/current; cut -d: -f3 /proc/self/cgroup", "docker-default (enforce)\n/", 0},
		{"--memory 64m --cpus 0.5 --pids-limit 20", "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/cpu.max /sys/fs/cgroup/pids.max", "67108864\n50000 100000\n20", 0},
		{"--user 1000:7 --workdir /made", "id -u; id -g; pwd", "1000\n7\n/made", 0},
		{"--hostname box --network none", "hostname; ls /sys/class/net", "box\nlo", 0},
		{"--device /dev/vda:/dev/disk:r", "head -c 1 /dev/disk | wc -c; ( : >>/dev/disk ) 2>/dev/null || echo kept", "1\nkept", 0},
		{"--read-only --tmpfs /tmp", "touch /x 2>/dev/null || touch /tmp/x && echo there", "there", 0},
	} {
		if out, code := run(x.options, x.line); out != x.out || code != x.code {
			t.Errorf("%s %q: %d %q, want %d %q", x.options, x.line, code, out, x.code, x.out)
		}
	}
	for command, want := range map[string]int{"no-such-program": 127, "/no/such/program": 127, "/etc/passwd": 126, "/etc": 126} {
		if out, code := try(t, "lus", "run", "--rm", "--runtime", runtime, "busybox", command); code != want {
			t.Errorf("%s: exit code %d, want %d: %s", command, code, want, out)
		}
	}
	hungry := "hungry-" + runtime
	_, _ = try(t, "lus", "run", "--name", hungry, "--runtime", runtime, "--memory", "16m", "--memory-swap", "16m", "busybox", "tail", "/dev/zero")
	equal(t, "what became of it", lus(t, "inspect", "-f", "{{.State.OOMKilled}} {{.State.ExitCode}}", hungry), "true 137")
	lus(t, "rm", hungry)
}

// survives: a kill of the daemon costs the container nothing.
func survives(t *testing.T, runtime string) {
	name := "lives-" + runtime
	started(t, name, "--runtime", runtime, "busybox", "sh", "-c", "i=0; while :; do i=$((i+1)); echo $i; sleep 1; done")
	if out, code := try(t, "lus", "exec", name, "sh", "-c", "exit 9"); code != 9 {
		t.Errorf("exec: exit code %d, want 9: %s", code, out)
	}
	if out, code := try(t, "lus", "exec", name, "no-such-program"); code != 127 {
		t.Errorf("exec of nothing: exit code %d, want 127: %s", code, out)
	}
	lus(t, "pause", name)
	equal(t, "paused", lus(t, "inspect", "-f", "{{.State.Status}}", name), "paused")
	lus(t, "unpause", name)
	pid := lus(t, "inspect", "-f", "{{.State.Pid}}", name)
	do(t, "systemctl", "kill", "-s", "KILL", "--kill-whom=main", "lus.service")
	equal(t, "after a kill", lus(t, "inspect", "-f", "{{.State.Status}} {{.State.Pid}}", name), "running "+pid)
	lus(t, "update", "--memory", "64m", "--memory-swap", "64m", name)
	equal(t, "the new limit", lus(t, "exec", name, "cat", "/sys/fs/cgroup/memory.max"), "67108864")
	lus(t, "stop", "-t", "0", name)
	equal(t, "its end", lus(t, "inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", name), "exited 137")
	for i, line := range strings.Fields(lus(t, "logs", name)) {
		if line != strconv.Itoa(i+1) {
			t.Fatalf("line %d of the log is %s", i+1, line)
		}
	}
}
