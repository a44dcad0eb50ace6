package scenarios

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"lus/test/need"
	"lus/test/stack"
)

// under runs a test once for each runtime that a container can ask for: ours,
// and those that others wrote.
func under(t *testing.T, test func(t *testing.T, s *stack.Stack, runtime string)) {
	for _, runtime := range []string{"lus", "runc", "crun"} {
		t.Run(runtime, func(t *testing.T) {
			t.Parallel()
			s := shared(t)
			usable(t, s, runtime)
			test(t, s, runtime)
		})
	}
}

// usable skips where a runtime is not there, or refuses this machine.
func usable(t *testing.T, s *stack.Stack, runtime string) {
	t.Helper()
	if runtime == "lus" {
		return
	}
	need.Program(t, runtime, runtime)
	if runtime == "crun" {
		crun.once.Do(func() { crun.result = s.Lus("run", "--rm", "--runtime", runtime, stack.Busybox, "true") })
		if strings.Contains(crun.result.Err, "hybrid mode not supported") {
			t.Skip("crun refuses a host that mounts cgroups of version 1 beside controllers of version 2")
		}
	}
}

// crun is what it said when it was first asked.
var crun struct {
	once   sync.Once
	result stack.Result
}

// runWith is a run of a line of the shell, with options and the runtime.
func runWith(s *stack.Stack, runtime, line string, options ...string) stack.Result {
	return s.Lus(slices.Concat([]string{"run", "--rm", "--runtime", runtime}, options, []string{stack.Busybox, "sh", "-c", line})...)
}

// What a process sees and may do is the same under every runtime. Where it is
// not, docs/runtimes.md has the reason.
func TestTheSameUnderEveryRuntime(t *testing.T) {
	t.Parallel()
	dir := stack.Folder(t, map[string]string{"mark": "from the host\n"})
	rows := []struct {
		name, line string
		options    []string
	}{
		{"exit code and streams", "echo out; echo err >&2; exit 42", nil},
		{"a signal", "kill -KILL $$", nil},
		{"who it is", "id; umask; pwd; echo $HOME; echo $A; echo $PATH", []string{"-u", "1000:7", "-w", "/made/here", "-e", "A=b"}},
		{"what it may do", "grep -E '^(NoNewPrivs|Seccomp|Cap...):' /proc/self/status", nil},
		{"what a user may do", "grep -E '^(NoNewPrivs|Seccomp|Cap...):' /proc/self/status", []string{"-u", "1000", "--cap-add", "NET_ADMIN", "--security-opt", "no-new-privileges"}},
		{"privileged", "grep -E '^(NoNewPrivs|Seccomp|Cap...):' /proc/self/status", []string{"--privileged"}},
		{"its names", "hostname; cat /proc/sys/kernel/domainname; grep -c box /etc/hosts", []string{"-h", "box", "--domainname", "example.org"}},
		{"its devices", "cd /dev && for f in null zero full random urandom tty; do stat -c '%n %t:%T %a' $f; done; stat -c '%t:%T' /dev/mine", []string{"--device", "/dev/null:/dev/mine"}},
		{"what is hidden and read-only", "cat /proc/keys | wc -c; ls -A /proc/acpi /sys/firmware 2>/dev/null | wc -l; touch /proc/sys/x /proc/irq/x 2>&1", nil},
		{"limits", "ulimit -n; ulimit -Hn; cat /proc/self/oom_score_adj", []string{"--ulimit", "nofile=64:128", "--oom-score-adj", "77"}},
		{"a sysctl", "cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/net/core/somaxconn", []string{"--sysctl", "net.core.somaxconn=77"}},
		{"binds", "cat /a/mark /f; touch /a/x 2>&1; echo w > /b/written && cat /b/written; rm /b/written", []string{"-v", dir + ":/a:ro", "-v", dir + "/mark:/f", "-v", dir + ":/b"}},
		{"a tmpfs", "grep ' /scratch ' /proc/mounts | cut -d' ' -f1-3; df -k /scratch | tail -1 | awk '{print $2}'", []string{"--tmpfs", "/scratch:size=1m"}},
		{"a read-only root", "touch /x 2>&1; touch /tmp/x && echo ok", []string{"--read-only", "--tmpfs", "/tmp"}},
		{"shared memory", "df -k /dev/shm | tail -1 | awk '{print $2}'", []string{"--shm-size", "2m"}},
		{"a first process that reaps", "test $$ -gt 1 && echo not the first; p=$(sh -c 'sleep 0.1 >/dev/null & echo $!'); i=0; while test -d /proc/$p && test $i -lt 3000; do sleep 0.1; i=$((i+1)); done; test -d /proc/$p || echo reaped; exit 3", []string{"--init"}},
		{"the same, as a user, killed", "id -u; kill -9 $$", []string{"--init", "-u", "1000"}},
		{"no network", "ls /sys/class/net; ip -o addr show lo | grep -c 127.0.0.1", []string{"--network", "none"}},
		{"the host's network", "test $(ls /sys/class/net | wc -l) -gt 1; echo $?", []string{"--network", "host"}},
		{"the host's processes", "test $$ -gt 1 && test -d /proc/2 && echo seen", []string{"--pid", "host"}},
	}
	under(t, func(t *testing.T, s *stack.Stack, runtime string) {
		for _, x := range rows {
			want := runWith(s, "lus", x.line, x.options...)
			r := runWith(s, runtime, x.line, x.options...)
			if r.Out != want.Out || r.Err != want.Err || r.Code != want.Code {
				t.Errorf("%s: %s says (%d)\n%s%s\nlus says (%d)\n%s%s", x.name, runtime, r.Code, r.Out, r.Err, want.Code, want.Out, want.Err)
			}
		}
	})
}

func TestLifeUnderEveryRuntime(t *testing.T) {
	t.Parallel()
	under(t, func(t *testing.T, s *stack.Stack, runtime string) {
		name := named(t, s, "life")
		run := []string{"run", "-d", "--name", name, "--runtime", runtime}
		s.OK(t, append(run, stack.Busybox, "sh", "-c", "trap 'echo told; exit 3' TERM; echo begun; while :; do sleep 0.1; done")...)
		stack.Says(t, s.OK(t, "inspect", "-f", "{{.HostConfig.Runtime}} {{.State.Status}}", name), runtime+" running")
		s.OK(t, "pause", name)
		stack.Says(t, s.OK(t, "ps", "--filter", "name="+name), "(Paused)")
		s.OK(t, "unpause", name)
		await(t, s, name, "begun")
		s.OK(t, "stop", "-t", "60", name)
		stack.Says(t, s.OK(t, "ps", "-a", "--filter", "name="+name), "Exited (3)")
		stack.Says(t, s.OK(t, "logs", name), "begun\ntold")

		s.OK(t, "start", name)
		s.OK(t, "kill", name)
		if code := s.OK(t, "wait", name); code != "137" {
			t.Errorf("killed, it ended with %s", code)
		}
		s.OK(t, "start", name)
		s.OK(t, "restart", "-t", "0", name)
		s.OK(t, "rm", "-f", name)
		if out := s.OK(t, "ps", "-aq", "--filter", "name="+name); out != "" {
			t.Errorf("removed, it is still there: %s", out)
		}
	})
}

// await waits until a container's log says something.
func await(t *testing.T, s *stack.Stack, name, word string) {
	t.Helper()
	stack.Eventually(t, name+" says "+word, func() bool { return strings.Contains(s.Lus("logs", name).All(), word) })
}

func TestNoCommandUnderEveryRuntime(t *testing.T) {
	t.Parallel()
	under(t, func(t *testing.T, s *stack.Stack, runtime string) {
		for command, code := range map[string]int{"no-such-thing": 127, "/no/such/thing": 127, "/etc": 126, "/etc/passwd": 126} {
			name := named(t, s, "none")
			if r := s.Lus("run", "--name", name, "--runtime", runtime, stack.Busybox, command); r.Code != code {
				t.Errorf("%s ended with %d, want %d: %s", command, r.Code, code, r.All())
			}
			stack.Says(t, s.OK(t, "inspect", "-f", "{{.State.Status}} {{.State.ExitCode}} {{.State.Pid}}", name), "created ", " 0")
		}
	})
}

func TestExecUnderEveryRuntime(t *testing.T) {
	t.Parallel()
	under(t, func(t *testing.T, s *stack.Stack, runtime string) {
		name := named(t, s, "exec")
		s.OK(t, "run", "-d", "--name", name, "--runtime", runtime, "-e", "A=b", stack.Busybox, "sleep", "1000")
		for range 5 { // one that ends at once is not lost
			s.Fail(t, 7, "exec", name, "sh", "-c", "exit 7")
		}
		// Others answer before their init becomes the program.
		stack.Eventually(t, "its program", func() bool { return s.OK(t, "exec", name, "cat", "/proc/1/comm") == "sleep" })
		stack.Says(t, s.OK(t, "exec", "-u", "1000:7", "-w", "/etc", name, "sh", "-c", "id -u; id -g; pwd; echo $A; cat /proc/1/comm"), "1000\n7\n/etc\nb\nsleep")
		r := s.Do(strings.NewReader("through\n"), filepath.Join(s.Bin, "lus"), "exec", "-i", name, "cat")
		if out := r.Want(t, 0); strings.TrimSpace(out) != "through" {
			t.Errorf("cat said %q", out)
		}
		s.OK(t, "exec", "-d", name, "touch", "/tmp/detached")
		stack.Eventually(t, "the detached exec did its work", func() bool { return s.Lus("exec", name, "test", "-e", "/tmp/detached").Code == 0 })
		s.Fail(t, 127, "exec", name, "no-such-thing")
		s.Fail(t, 126, "exec", name, "/etc")

		term := s.Terminal(t, "exec", "-it", name, "sh")
		term.Type("tty; stty size; echo re''ady\n")
		term.Sees("ready")
		term.Sees("/dev/pts/")
		term.Type("echo sle''eps; sleep 1000\n")
		term.Sees("sleeps")
		term.Type("\x03")
		term.Asks("echo interrupt''ed $?", "interrupted 130")
		term.Type("exit 5\n")
		if code := term.Ends(); code != 5 {
			t.Errorf("the exec on a terminal ended with %d, want 5", code)
		}
	})
}

// An exec's pid, as inspect tells it, is that of its process.
func TestInspectOfAnExecUnderEveryRuntime(t *testing.T) {
	t.Parallel()
	under(t, func(t *testing.T, s *stack.Stack, runtime string) {
		name := named(t, s, "pid")
		s.OK(t, "run", "-d", "--name", name, "--runtime", runtime, stack.Busybox, "sleep", "1000")
		s.OK(t, "exec", "-d", name, "sleep", "1001")
		var c struct{ ExecIDs []string }
		var x struct {
			Pid     int
			Running bool
		}
		get(t, s, "/containers/"+name+"/json", &c)
		if len(c.ExecIDs) != 1 {
			t.Fatalf("its execs are %v", c.ExecIDs)
		}
		get(t, s, "/exec/"+c.ExecIDs[0]+"/json", &x)
		is := func() bool {
			line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", x.Pid))
			return err == nil && string(line) == "sleep\x001001\x00"
		}
		// runc answers before its init becomes the program; ours does not.
		if runtime == "runc" || runtime == "crun" {
			stack.Eventually(t, fmt.Sprintf("process %d is the exec's", x.Pid), is)
		}
		if !is() || !x.Running {
			t.Errorf("%+v is not the exec's", x)
		}
	})
}

// get reads an answer of the API.
func get(t *testing.T, s *stack.Stack, path string, into any) {
	t.Helper()
	answer := api(t, s, path)
	defer answer.Body.Close()
	if err := json.NewDecoder(answer.Body).Decode(into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

func TestHealthUnderEveryRuntime(t *testing.T) {
	t.Parallel()
	under(t, func(t *testing.T, s *stack.Stack, runtime string) {
		name := named(t, s, "health")
		s.OK(t, "run", "-d", "--name", name, "--runtime", runtime, "--health-cmd", "test -e /well", "--health-interval", "100ms", "--health-retries", "1", stack.Busybox, "sleep", "1000")
		health := func(word string) {
			stack.Eventually(t, name+" is "+word, func() bool { return s.OK(t, "inspect", "-f", "{{.State.Health.Status}}", name) == word })
		}
		health("unhealthy")
		s.OK(t, "exec", name, "touch", "/well")
		health("healthy")
	})
}

func TestATerminalUnderEveryRuntime(t *testing.T) {
	t.Parallel()
	under(t, func(t *testing.T, s *stack.Stack, runtime string) {
		term := s.Terminal(t, "run", "-it", "--rm", "--runtime", runtime, "--name", named(t, s, "tty"), stack.Busybox, "sh")
		term.Type("stty size; tty\n")
		term.Sees("24 80")
		term.Sees("/dev/pts/0")
		term.Resize(40, 132)
		term.Type("until stty size | grep -q 132; do sleep 0.05; done; stty size; echo re''sized\n")
		term.Sees("resized")
		term.Sees("40 132")
		term.Type("echo sle''eps; sleep 1000\n")
		term.Sees("sleeps")
		term.Type("\x03") // Ctrl-C reaches the program inside
		term.Asks("echo interrupt''ed $?", "interrupted 130")
		term.Type("exit 3\n")
		if code := term.Ends(); code != 3 {
			t.Errorf("exit code %d, want 3", code)
		}
	})
}

func TestNetworksUnderEveryRuntime(t *testing.T) {
	t.Parallel()
	under(t, func(t *testing.T, s *stack.Stack, runtime string) {
		net, web, port := network(t, s), named(t, s, "web"), stack.Port(t)
		s.OK(t, "run", "-d", "--name", web, "--runtime", runtime, "--network", net, "-p", port+":80", stack.Busybox, "httpd", "-f", "-h", "/etc")
		stack.Says(t, stack.Page(t, port, "/passwd"), "root:")
		fetch := []string{"run", "--rm", "--runtime", runtime, "--network", net, stack.Busybox, "wget", "-qO-", "http://" + web + "/passwd"}
		stack.Says(t, s.OK(t, fetch...), "root:")
		// Another's namespaces are joined, of another runtime's too.
		for _, other := range []string{runtime, "lus"} {
			out := s.OK(t, "run", "--rm", "--runtime", other, "--network", "container:"+web, "--pid", "container:"+web, stack.Busybox,
				"sh", "-c", "wget -qO- http://127.0.0.1/passwd; ps")
			stack.Says(t, out, "root:", "httpd -f")
		}
	})
}

func TestVolumesUnderEveryRuntime(t *testing.T) {
	t.Parallel()
	under(t, func(t *testing.T, s *stack.Stack, runtime string) {
		v, name := volume(t, s), named(t, s, "vol")
		runWith(s, runtime, "mkdir /data/part; echo kept > /data/part/file", "-v", v+":/data").Want(t, 0)
		part := "type=volume,src=" + v + ",dst=/part,volume-subpath=part,readonly"
		s.OK(t, "run", "-d", "--name", name, "--runtime", runtime, "--mount", part, stack.Busybox, "sleep", "1000")
		stack.Says(t, s.OK(t, "exec", name, "sh", "-c", "cat /part/file; touch /part/x 2>&1 || true"), "kept", "Read-only file system")
		dir := t.TempDir()
		s.OK(t, "cp", name+":/part/file", dir)
		if data, err := os.ReadFile(filepath.Join(dir, "file")); err != nil || string(data) != "kept\n" {
			t.Errorf("copied out of a volume: %q, %v", data, err)
		}
		s.OK(t, "cp", filepath.Join(dir, "file"), name+":/tmp/in")
		stack.Says(t, s.OK(t, "exec", name, "cat", "/tmp/in"), "kept")
		stack.Eventually(t, "its program", func() bool { return strings.Contains(s.OK(t, "top", name), "sleep 1000") })
		stack.Says(t, s.OK(t, "diff", name), "A /tmp/in")
	})
}

func TestMemoryUnderEveryRuntime(t *testing.T) {
	t.Parallel()
	under(t, func(t *testing.T, s *stack.Stack, runtime string) {
		name := named(t, s, "oom")
		s.Lus("run", "--name", name, "--runtime", runtime, "-m", "16m", "--memory-swap", "16m", stack.Busybox, "sh", "-c", "tail /dev/zero; exit $?").Want(t, 137)
		stack.Says(t, s.OK(t, "inspect", "-f", "{{.State.OOMKilled}} {{.HostConfig.Memory}}", name), "true 16777216")
		s.OK(t, "run", "-d", "--name", name+"b", "--runtime", runtime, "-m", "16m", stack.Busybox, "sleep", "1000")
		defer s.Lus("rm", "-f", name+"b")
		s.OK(t, "update", "-m", "32m", "--memory-swap", "64m", name+"b")
		stack.Says(t, s.OK(t, "stats", "--no-stream", name+"b"), "/ 32MiB")
	})
}

func TestARestartPolicyUnderEveryRuntime(t *testing.T) {
	t.Parallel()
	under(t, func(t *testing.T, s *stack.Stack, runtime string) {
		name := named(t, s, "again")
		s.OK(t, "run", "-d", "--name", name, "--runtime", runtime, "--restart", "on-failure:2", stack.Busybox, "sh", "-c", "echo tried; exit 9")
		stack.Eventually(t, "it was tried three times", func() bool {
			return s.OK(t, "inspect", "-f", "{{.State.Status}} {{.RestartCount}}", name) == "exited 2"
		})
		if out := s.OK(t, "logs", name); out != "tried\ntried\ntried" {
			t.Errorf("its log says %q", out)
		}
	})
}
