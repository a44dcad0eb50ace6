// Package vm holds what is tested on a stock Debian 12 (kernel 6.1, systemd,
// cgroup v2, AppArmor), which scripts/vm boots in QEMU. Its tests run as root
// inside that machine, on the programs and units installed there, one after
// another; anywhere else they skip.
package vm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// patience is for one command under emulation.
const patience = 5 * time.Minute

func TestMain(m *testing.M) {
	if os.Getenv("LUS_VM") == "" {
		fmt.Println("these tests run in a virtual machine: make test-vm")
		return
	}
	os.Exit(m.Run())
}

// try runs a program and returns what it wrote and its exit code.
func try(t *testing.T, program string, args ...string) (out string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var b bytes.Buffer
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stdout, cmd.Stderr = &b, &b
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		code = exit.ExitCode()
	case err != nil:
		t.Fatalf("%s: %v", program, err)
	}
	return strings.TrimSpace(b.String()), code
}

// do runs a program that must succeed.
func do(t *testing.T, program string, args ...string) string {
	t.Helper()
	out, code := try(t, program, args...)
	if code != 0 {
		t.Fatalf("%s %s: exit code %d: %s", program, strings.Join(args, " "), code, out)
	}
	return out
}

func lus(t *testing.T, args ...string) string {
	t.Helper()
	return do(t, "lus", args...)
}

// started runs a container in the background that goes with the test.
func started(t *testing.T, name string, args ...string) {
	t.Helper()
	lus(t, append([]string{"run", "-d", "--name", name}, args...)...)
	t.Cleanup(func() { lus(t, "rm", "-f", "-v", name) })
}

func equal(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s is %q, want %q", what, got, want)
	}
}

// eventually waits until a condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		if holds() {
			return
		}
	}
	t.Fatalf("%s: not within %v", what, patience)
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

// The machine is what it is said to be; the rest would prove little otherwise.
func TestThisIsAStockDebian12(t *testing.T) {
	if release := read(t, "/proc/sys/kernel/osrelease"); !strings.HasPrefix(release, "6.1.") {
		t.Errorf("the kernel is %s", release)
	}
	equal(t, "the first process", read(t, "/proc/1/comm"), "systemd")
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err != nil {
		t.Errorf("no cgroup v2: %v", err)
	}
	if lsm := read(t, "/sys/kernel/security/lsm"); !strings.Contains(lsm, "apparmor") {
		t.Errorf("the security modules are %s", lsm)
	}
}

// systemd holds the socket, and the first command starts the daemon.
func TestSocketActivation(t *testing.T) {
	do(t, "systemctl", "daemon-reload")
	do(t, "systemctl", "start", "lus.socket")
	if state, _ := try(t, "systemctl", "is-active", "lus.service"); state == "active" {
		t.Fatal("the daemon runs before anybody asked")
	}
	t.Log(lus(t, "info"))
	equal(t, "the unit", do(t, "systemctl", "is-active", "lus.service"), "active")
	lus(t, "image", "import", "/opt/lus/busybox.tar", "busybox:latest")
}

func TestRunAndExitCodes(t *testing.T) {
	equal(t, "the output", lus(t, "run", "--rm", "busybox", "echo", "hello"), "hello")
	for command, want := range map[string]int{"exit 7": 7, "sh -c 'kill -TERM $$'; exit $?": 143} {
		if _, code := try(t, "lus", "run", "--rm", "busybox", "sh", "-c", command); code != want {
			t.Errorf("%s: exit code %d, want %d", command, code, want)
		}
	}
	if _, code := try(t, "lus", "run", "--rm", "busybox", "no-such-program"); code != 127 {
		t.Errorf("no such program: exit code %d", code)
	}
	if _, code := try(t, "lus", "run", "--rm", "busybox", "/etc/passwd"); code != 126 {
		t.Errorf("not executable: exit code %d", code)
	}
}

func TestExecLogsAndTop(t *testing.T) {
	started(t, "shell", "busybox", "sh", "-c", "echo begun; exec sleep 1000")
	eventually(t, "the first line", func() bool { return lus(t, "logs", "shell") == "begun" })
	equal(t, "exec", lus(t, "exec", "shell", "sh", "-c", "echo in $(hostname) > /x; cat /proc/1/comm"), "sleep")
	if _, code := try(t, "lus", "exec", "shell", "sh", "-c", "exit 9"); code != 9 {
		t.Errorf("exec: exit code %d, want 9", code)
	}
	if top := lus(t, "top", "shell"); !strings.Contains(top, "sleep 1000") {
		t.Errorf("top says %s", top)
	}
}

// The limits stand in the container's own cgroup, and the kernel keeps them.
func TestLimits(t *testing.T) {
	started(t, "limited", "--memory", "64m", "--cpus", "0.5", "--pids-limit", "20", "--cpuset-cpus", "0", "busybox", "sleep", "1000")
	for file, want := range map[string]string{"memory.max": "67108864", "cpu.max": "50000 100000", "pids.max": "20", "cpuset.cpus": "0"} {
		equal(t, file, lus(t, "exec", "limited", "cat", "/sys/fs/cgroup/"+file), want)
	}
	forks := "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 5 & done"
	if out, code := try(t, "lus", "run", "--rm", "--pids-limit", "8", "busybox", "sh", "-c", forks); code == 0 || !strings.Contains(out, "can't fork") {
		t.Errorf("twelve processes under a limit of eight: %d %q", code, out)
	}
	_, code := try(t, "lus", "run", "--name", "hungry", "--memory", "16m", "--memory-swap", "16m", "busybox", "sh", "-c", "dd if=/dev/zero of=/dev/shm/x bs=1M count=48")
	equal(t, "what became of it", lus(t, "inspect", "-f", "{{.State.OOMKilled}}", "hungry"), "true")
	if code == 0 {
		t.Error("48 MB in 16 MB: exit code 0")
	}
	lus(t, "rm", "hungry")
}

// Version 2 keeps devices away by a program in the kernel.
func TestDevices(t *testing.T) {
	script := "mknod /tmp/disk b 254 0 && head -c 16 /tmp/disk >/dev/null"
	if out, code := try(t, "lus", "run", "--rm", "busybox", "sh", "-c", script); code == 0 || !strings.Contains(out, "not permitted") {
		t.Errorf("the host's disk was read: %d %s", code, out)
	}
	lus(t, "run", "--rm", "--device", "/dev/vda", "busybox", "sh", "-c", "head -c 16 /dev/vda >/dev/null")
	if _, code := try(t, "lus", "run", "--rm", "--device", "/dev/vda:/dev/vda:r", "busybox", "sh", "-c", ": >>/dev/vda"); code == 0 {
		t.Error("a device given for reading was opened for writing")
	}
	lus(t, "run", "--rm", "busybox", "sh", "-c", "echo x >/dev/null && head -c 4 /dev/urandom >/dev/null && test -c /dev/full")
}

func TestNetworks(t *testing.T) {
	lus(t, "network", "create", "app")
	t.Cleanup(func() { lus(t, "network", "rm", "app") })
	started(t, "web", "--network", "app", "-p", "8080:80", "busybox", "httpd", "-f", "-h", "/etc")
	eventually(t, "the page on 127.0.0.1:8080", func() bool {
		page, err := http.Get("http://127.0.0.1:8080/passwd")
		if err != nil {
			return false
		}
		defer page.Body.Close()
		text, err := io.ReadAll(page.Body)
		return err == nil && strings.Contains(string(text), "root:")
	})
	if page := lus(t, "run", "--rm", "--network", "app", "busybox", "wget", "-qO-", "http://web/passwd"); !strings.Contains(page, "root:") {
		t.Errorf("by name: %q", page)
	}
	if out, code := try(t, "lus", "run", "--rm", "-p", "8080:80", "busybox", "true"); code != 125 || !strings.Contains(out, "web") {
		t.Errorf("a taken port: %d %s", code, out)
	}
	equal(t, "without a network", lus(t, "run", "--rm", "--network", "none", "busybox", "ls", "/sys/class/net"), "lo")
}

// Kernels before 6.8 take no lowerdir+: a deep image goes the other way.
func TestADeepImageIsBuiltAndRuns(t *testing.T) {
	dir := t.TempDir()
	lines := []string{"FROM busybox"}
	for i := range 45 {
		lines = append(lines, fmt.Sprintf("COPY f /f%d", i))
	}
	lines = append(lines, "RUN ls / | grep -c '^f[0-9]' >/count")
	for name, text := range map[string]string{"Dockerfile": strings.Join(lines, "\n") + "\n", "f": "x"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	lus(t, "build", "-q", "-t", "deep", dir)
	equal(t, "the files of all layers", lus(t, "run", "--rm", "deep", "cat", "/count"), "45")
}

func TestVolumesAndReadOnly(t *testing.T) {
	lus(t, "run", "--rm", "-v", "kept:/data", "busybox", "sh", "-c", "echo here >/data/f")
	equal(t, "the volume's file", lus(t, "run", "--rm", "--read-only", "-v", "kept:/data:ro", "busybox", "cat", "/data/f"), "here")
	if _, code := try(t, "lus", "run", "--rm", "-v", "kept:/data:ro", "busybox", "touch", "/data/g"); code == 0 {
		t.Error("a read-only volume was written to")
	}
	if _, code := try(t, "lus", "run", "--rm", "--read-only", "busybox", "touch", "/g"); code == 0 {
		t.Error("a read-only root was written to")
	}
	lus(t, "volume", "rm", "kept")
}

func TestConfinement(t *testing.T) {
	for what, script := range map[string]string{
		"mount":                     "mount -t tmpfs x /mnt",
		"the kernel's switches":     "echo 1 >/proc/sys/kernel/panic",
		"the kernel's log":          "dmesg",
		"the host's name":           "hostname other",
		"the kernel's memory":       "test -n \"$(head -c 1 /proc/kcore)\"",
		"the cgroup's own limits":   "echo max >/sys/fs/cgroup/memory.max",
		"another process namespace": "nsenter -t 1 -m -u true",
	} {
		if out, code := try(t, "lus", "run", "--rm", "busybox", "sh", "-c", script); code == 0 && out == "" {
			t.Errorf("%s: allowed", what)
		}
	}
	equal(t, "seccomp", lus(t, "run", "--rm", "busybox", "sh", "-c", "grep Seccomp: /proc/self/status | tr -d '\\t'"), "Seccomp:2")
}

// Containers, what is executed in them and build steps run under Docker's
// default profile.
func TestAppArmor(t *testing.T) {
	const mine, confined = "/proc/self/attr/current", "docker-default (enforce)"
	equal(t, "a container's profile", lus(t, "run", "--rm", "busybox", "cat", mine), confined)
	equal(t, "with an init", lus(t, "run", "--rm", "--init", "busybox", "cat", mine), confined)
	started(t, "confined", "busybox", "sleep", "1000")
	equal(t, "an exec's profile", lus(t, "exec", "confined", "cat", mine), confined)
	equal(t, "what inspect says", lus(t, "inspect", "-f", "{{.AppArmorProfile}}", "confined"), "docker-default")
	equal(t, "unconfined", lus(t, "run", "--rm", "--security-opt", "apparmor=unconfined", "busybox", "cat", mine), "unconfined")
	equal(t, "privileged", lus(t, "run", "--rm", "--privileged", "busybox", "cat", mine), "unconfined")
	if out, code := try(t, "lus", "run", "--rm", "--security-opt", "apparmor=no-such", "busybox", "true"); code != 125 || !strings.Contains(out, "apparmor_parser") {
		t.Errorf("a profile that is not loaded: %d %s", code, out)
	}
	// What capabilities would allow, the profile denies.
	if _, code := try(t, "lus", "run", "--rm", "--cap-add", "SYS_ADMIN", "busybox", "mount", "-t", "tmpfs", "x", "/tmp"); code == 0 {
		t.Error("a confined container mounted a file system")
	}
	lus(t, "run", "--rm", "--cap-add", "SYS_ADMIN", "--security-opt", "apparmor=unconfined", "busybox", "mount", "-t", "tmpfs", "x", "/tmp")
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte("FROM busybox\nRUN cat "+mine+" >/profile\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	lus(t, "build", "-q", "-t", "step", dir)
	equal(t, "a build step's profile", lus(t, "run", "--rm", "step", "cat", "/profile"), confined)
	if info := lus(t, "info"); !strings.Contains(info, "name=apparmor") {
		t.Errorf("info does not tell: %s", info)
	}
}

// A restart of the unit, a kill and a stop leave the containers alone.
func TestTheUnitRestartsUnderRunningContainers(t *testing.T) {
	started(t, "survivor", "-p", "8081:80", "busybox", "sh", "-c", "httpd -h /etc; i=0; while :; do i=$((i+1)); echo $i; sleep 1; done")
	pid := lus(t, "inspect", "-f", "{{.State.Pid}}", "survivor")
	same := func(after string) {
		t.Helper()
		equal(t, "the process after "+after, lus(t, "inspect", "-f", "{{.State.Status}} {{.State.Pid}}", "survivor"), "running "+pid)
		answer, err := http.Get("http://127.0.0.1:8081/passwd")
		if err != nil {
			t.Errorf("after %s the port does not answer: %v", after, err)
			return
		}
		answer.Body.Close()
	}
	do(t, "systemctl", "restart", "lus.service")
	same("a restart")
	do(t, "systemctl", "kill", "-s", "KILL", "--kill-whom=main", "lus.service")
	same("a kill")
	do(t, "systemctl", "stop", "lus.service", "lus.socket")
	if _, err := os.Stat("/proc/" + pid); err != nil {
		t.Fatal("the container ended with the unit")
	}
	do(t, "systemctl", "start", "lus.socket")
	same("a stop and a start")
	do(t, "systemctl", "daemon-reload")
	same("a daemon-reload")
	for i, line := range strings.Fields(lus(t, "logs", "survivor")) {
		if line != fmt.Sprint(i+1) {
			t.Fatalf("line %d of the log is %s", i+1, line)
		}
	}
}

// Where nothing runs, stopping the unit leaves nothing behind.
func TestTheStopLeavesNothing(t *testing.T) {
	do(t, "systemctl", "stop", "lus.service", "lus.socket")
	var left string
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("left: %s\nthe unit's last lines: %s", left, do(t, "journalctl", "-u", "lus.service", "-n", "20", "--no-pager"))
		}
	})
	eventually(t, "no cgroup, interface, table or process of ours", func() bool {
		groups, _ := filepath.Glob("/sys/fs/cgroup/lus-*")
		links, _ := try(t, "ip", "-br", "link")
		tables, _ := try(t, "nft", "list", "tables")
		ours, _ := try(t, "pgrep", "-a", "lus-")
		left = fmt.Sprintf("%v\n%s\n%s\n%s", groups, links, tables, ours)
		return len(groups) == 0 && !strings.Contains(links, "lus") && !strings.Contains(tables, "lus") && ours == ""
	})
}
