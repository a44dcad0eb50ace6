package scenarios

import (
	"strings"
	"testing"

	"lus/test/stack"
)

// limits reads a running container's limits as the kernel has them, by the
// names of cgroup version 1 or 2.
const limits = `cd /sys/fs/cgroup
for f in memory/memory.limit_in_bytes memory/memory.memsw.limit_in_bytes cpu/cpu.cfs_quota_us cpu/cpu.shares pids/pids.max cpuset/cpuset.cpus \
	memory.max memory.swap.max cpu.max cpu.weight pids.max cpuset.cpus; do
	test -e $f && echo $f=$(cat $f)
done; true`

func TestUpdateOfWhatRunsAndWhatDoesNot(t *testing.T) {
	t.Parallel()
	s := shared(t)
	for client, program := range map[string]string{"lus": s.Bin + "/lus", "docker": dockerClient(t)} {
		t.Run(client, func(t *testing.T) {
			do := func(args ...string) string { t.Helper(); return s.Do(nil, program, args...).Want(t, 0) }
			name := named(t, s, "update")
			do("run", "-d", "--name", name, "-m", "32m", "--pids-limit", "50", stack.Busybox, "sleep", "600")
			if got := do("inspect", "-f", "{{.HostConfig.MemorySwap}}", name); got != "67108864" {
				t.Errorf("memory and swap together are %s", got)
			}
			if got := do("update", "-m", "48m", "--memory-swap", "96m", "--cpus", "0.5", "--cpu-shares", "512", "--pids-limit", "77", "--cpuset-cpus", "0", "--restart", "on-failure:3", name); got != name {
				t.Errorf("update printed %q", got)
			}
			wantLimits(t, do("exec", name, "sh", "-c", limits), "50331648", "77")
			want := "50331648 100663296 500000000 512 77 0 {on-failure 3}"
			const format = "{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}} {{.HostConfig.NanoCpus}} {{.HostConfig.CpuShares}} {{.HostConfig.PidsLimit}} {{.HostConfig.CpusetCpus}} " +
				"{ {{- .HostConfig.RestartPolicy.Name}} {{.HostConfig.RestartPolicy.MaximumRetryCount -}} }"
			if got := do("inspect", "-f", format, name); got != want {
				t.Errorf("inspect says %s, want %s", got, want)
			}

			// A limit taken away, and one that stays.
			do("update", "--pids-limit", "-1", name)
			wantLimits(t, do("exec", name, "sh", "-c", limits), "50331648", "pids.max=max")

			// What stands still gets it with its next start.
			do("stop", "-t", "0", name)
			do("update", "-m", "40m", "--pids-limit", "66", name)
			do("start", name)
			wantLimits(t, do("exec", name, "sh", "-c", limits), "41943040", "66")

			for flag, why := range map[string]string{
				"-m=200m":            "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time",
				"-m=1m":              "Minimum memory limit allowed is 6MB",
				"--cpu-quota=50000":  "NanoCPUs has already been set",
				"--restart=sometime": "invalid restart policy",
			} {
				r := s.Do(nil, program, "update", flag, name)
				r.Want(t, 1)
				stack.Says(t, r.Err, "Error response from daemon: ", why)
			}
			wantLimits(t, do("exec", name, "sh", "-c", limits), "41943040", "66")
			r := s.Do(nil, program, "update", name)
			r.Want(t, 1)
			stack.Says(t, r.Err, "you must provide one or more flags when using this command")
		})
	}
	name := named(t, s, "update")
	s.OK(t, "run", "-d", "--rm", "--name", name, stack.Busybox, "sleep", "600")
	stack.Says(t, s.Fail(t, 1, "update", "--restart", "always", name), "Restart policy cannot be updated because AutoRemove is enabled")
}

func wantLimits(t *testing.T, got string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(got, w) {
			t.Errorf("the kernel does not have the limit %s:\n%s", w, got)
		}
	}
}

func TestAnUpdateOutlivesTheDaemon(t *testing.T) {
	t.Parallel()
	s := stack.Start(t)
	name := named(t, s, "kept")
	s.OK(t, "run", "-d", "--name", name, stack.Busybox, "sleep", "600")
	s.OK(t, "update", "-m", "24m", "--restart", "unless-stopped", name)
	s.Kill()
	s.StartDaemon(t)
	if got := s.OK(t, "inspect", "-f", "{{.HostConfig.Memory}} {{.HostConfig.RestartPolicy.Name}}", name); got != "25165824 unless-stopped" {
		t.Errorf("after the daemon was killed inspect says %s", got)
	}
	wantLimits(t, s.OK(t, "exec", name, "sh", "-c", limits), "25165824")
	s.OK(t, "restart", "-t", "0", name)
	wantLimits(t, s.OK(t, "exec", name, "sh", "-c", limits), "25165824")
}
