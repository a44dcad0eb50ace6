package runtime_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"lus/internal/base/ids"
	"lus/internal/linux/runtime"
	"lus/internal/model/task"
	"lus/test/need"
)

// The tests of this file and of races_test.go are known escapes from other
// runtimes, tried on ours.

// program compiles a static C program into the image's /bin.
func (b *bench) program(name, source string) {
	b.t.Helper()
	c := file(b.t.(*testing.T), filepath.Join(b.t.TempDir(), name+".c"), source)
	if out, err := exec.Command(need.Program(b.t, "gcc", "gcc"), "-static", "-O1", "-o", filepath.Join(b.lower, "bin", name), c).CombinedOutput(); err != nil {
		b.t.Fatalf("%v: %s", err, out)
	}
}

// waiting creates an exec that has not got the word to go: the moment in which
// the runtime's own program stands inside the container.
func (b *bench) waiting(c *runtime.Container, words ...string) task.Key {
	b.t.Helper()
	proc := runtime.Default().Process
	proc.Args = words
	k := task.Key{Container: c.ID, Exec: ids.New()}
	if _, err := b.rt.Exec(context.Background(), c.ID, k.Exec, &runtime.Exec{Process: proc, Generation: 1, Streams: task.Streams{Kind: task.StreamLog}}); err != nil {
		b.t.Fatal(err)
	}
	return k
}

// pidInside is the number of a process in its own pid namespace.
func (b *bench) pidInside(k task.Key) int {
	b.t.Helper()
	b.parent.mu.Lock()
	pid := b.parent.tasks[k].pid
	b.parent.mu.Unlock()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(status), "\nNSpid:")
	line, _, _ := strings.Cut(after, "\n")
	numbers := strings.Fields(line)
	inside, err := strconv.Atoi(numbers[len(numbers)-1])
	if err != nil {
		b.t.Fatal(err)
	}
	return inside
}

// initSum is a checksum of the runtime's own program.
func (b *bench) initSum() [sha256.Size]byte {
	b.t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/self/fd/%d", b.parent.init))
	if err != nil {
		b.t.Fatal(err)
	}
	return sha256.Sum256(data)
}

func withPtrace(c *runtime.Container) {
	p := c.Spec.Process.Capabilities
	all := append(runtime.DefaultCapabilities(), "CAP_SYS_PTRACE")
	p.Bounding, p.Effective, p.Permitted = all, all, all
}

// overwrite opens /proc/PID/exe of the process given (or of every one but its
// own and pid 1), says so in the file /tmp/held, waits until the program that it
// holds no longer runs, and writes to it.
const overwrite = `#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
int main(int argc, char **argv) {
	char path[64], seen[256] = "";
	int fd = -1, pid, w, i, from = 2, to = 64, tries = 3000;
	if (argc > 1) from = to = atoi(argv[1]), tries = 10;
	for (pid = from; pid <= to && fd < 0; pid++) {
		if (pid == getpid()) continue;
		snprintf(path, sizeof path, "/proc/%d/exe", pid);
		fd = open(path, O_RDONLY);
		if (fd < 0 && errno != ENOENT) printf("open: %s\n", strerror(errno));
	}
	close(open("/tmp/held", O_CREAT | O_WRONLY, 0600));
	if (fd < 0) return 1;
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	i = readlink(path, seen, sizeof seen - 1);
	printf("held: %.*s\n", i, seen);
	fflush(stdout);
	for (i = 0; i < tries; i++) {
		w = open(path, O_WRONLY);
		if (w >= 0 || errno != ETXTBSY) break;
		usleep(10000);
	}
	if (w < 0) { printf("reopen: %s\n", strerror(errno)); return 2; }
	if (write(w, "#!/bin/sh\n", 10) < 0) { printf("write: %s\n", strerror(errno)); return 3; }
	printf("overwritten\n");
	return 0;
}
`

// CVE-2019-5736: a process in the container opens the runtime's program by
// /proc/PID/exe of an exec that is on its way, waits for its end and overwrites
// it, so that the host runs what the container wrote the next time.
func TestCVE2019_5736AnExecsProgramCannotBeOverwritten(t *testing.T) {
	b := newBench(t)
	b.program("overwrite", overwrite)
	before := b.initSum()
	for _, x := range []struct {
		name   string
		change func(*runtime.Container)
		want   string
	}{
		{"as every container is", func(*runtime.Container) {}, "open: Permission denied"},
		{"with CAP_SYS_PTRACE, which may look", withPtrace, "held: /memfd:lus-init (deleted)\nwrite: Operation not permitted"},
	} {
		c := b.sleeper(x.change)
		k := b.waiting(c, "echo", "fine")
		attack := runtime.Default().Process
		attack.Args = []string{"overwrite"}
		attack.Capabilities = c.Spec.Process.Capabilities
		out := make(chan string, 1)
		go func() {
			said, _ := b.execProcess(c, attack, task.Streams{Kind: task.StreamLog})
			out <- said
		}()
		held := filepath.Join(c.Rootfs.Upper, "tmp/held")
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
			if _, err := os.Stat(held); err == nil || time.Now().After(deadline) {
				break
			}
		}
		if err := b.rt.Start(context.Background(), k); err != nil {
			t.Fatal(err)
		}
		if said, code := b.parent.output(k); said != "fine\n" || code != 0 {
			t.Errorf("%s: the exec that was attacked: %q %d", x.name, said, code)
		}
		if said := strings.TrimSpace(<-out); said != x.want {
			t.Errorf("%s: the attack says %q, want %q", x.name, said, x.want)
		}
	}
	if b.initSum() != before {
		t.Fatal("the runtime's program was changed from inside a container")
	}
}

// The same at the start of a container: its first process is "#!/proc/self/exe",
// which makes the runtime's program its interpreter; or it is our reaper.
func TestCVE2019_5736AStartsProgramCannotBeOverwritten(t *testing.T) {
	b := newBench(t)
	b.program("overwrite", overwrite)
	trap := file(t, filepath.Join(b.lower, "trap"), "#!/proc/self/exe\n")
	if err := os.Chmod(trap, 0o755); err != nil {
		t.Fatal(err)
	}
	before := b.initSum()
	// The program finds nothing that it was made for, and has nothing to load
	// that the image could have replaced: no library, no interpreter.
	if out, code := b.run(b.container("/trap")); code == 0 || out != "" {
		t.Errorf("the runtime's program, run by the image, ended with %d: %q", code, out)
	}
	for name, x := range map[string]struct {
		change func(*runtime.Container)
		want   string
	}{
		"as every container is": {func(*runtime.Container) {}, "open: Permission denied"},
		// It runs for as long as the container, so it cannot even be opened.
		"with CAP_SYS_PTRACE": {withPtrace, "held: /memfd:lus-init (deleted)\n"},
	} {
		c := b.container("overwrite", "1")
		c.Spec.Annotations[runtime.AnnotationInit] = "true"
		x.change(c)
		out, code := b.run(c)
		if code == 0 || !strings.HasPrefix(out, x.want) {
			t.Errorf("%s: ended with %d: %q, want %q first", name, code, out, x.want)
		}
	}
	if b.initSum() != before {
		t.Fatal("the runtime's program was changed from inside a container")
	}
}

// CVE-2016-9962: a process in the container looks into an exec that is on its
// way there, takes the descriptors it has open, or its root and memory.
func TestCVE2016_9962AnExecOnItsWayIsClosed(t *testing.T) {
	b := newBench(t)
	c := b.sleeper()
	k := b.waiting(c, "true")
	out, _ := b.exec(c, fmt.Sprintf(`cd /proc/%d && for f in exe cwd root fd/0 fd/3 fd/4 fd/5 ns/mnt; do readlink $f; done
cat mem environ maps 2>&1 | grep -v -i denied
echo over`, b.pidInside(k)))
	if out != "over\n" {
		t.Errorf("it could be looked into:\n%s", out)
	}
	if err := b.rt.Start(context.Background(), k); err != nil {
		t.Fatal(err)
	}
	b.parent.output(k)
}

// CVE-2024-21626: a descriptor of a folder of the host that the runtime left
// open is a way out, as a working directory or by /proc/self/fd.
func TestCVE2024_21626NoDescriptorOfTheHostLeaks(t *testing.T) {
	b := newBench(t)
	// As if somebody had forgotten to close it on exec.
	leaked, err := unix.Open("/etc", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(leaked)
	if got := b.sh("ls /proc/self/fd | tr '\\n' ' '"); got != "0 1 2 3" { // 3 is the folder ls reads
		t.Errorf("a container's first process has the descriptors %s", got)
	}
	for name, to := range map[string]string{"way": fmt.Sprintf("/proc/self/fd/%d", leaked), "up": "/proc/self/fd/../../1/cwd"} {
		if err := os.Symlink(to, filepath.Join(b.lower, name)); err != nil {
			t.Fatal(err)
		}
	}
	s := b.sleeper()
	if got, _ := b.exec(s, "ls /proc/self/fd | tr '\\n' ' '"); got != "0 1 2 3 " {
		t.Errorf("an exec has the descriptors %s", got)
	}
	folders := []string{"/way", fmt.Sprintf("/proc/self/fd/%d", leaked), fmt.Sprintf("/proc/self/fd/%d/..", leaked), fmt.Sprintf("/proc/thread-self/fd/%d", leaked)}
	for n := range 30 {
		folders = append(folders, fmt.Sprintf("/proc/self/fd/%d", n))
	}
	for _, cwd := range folders {
		c := b.container("ls")
		c.Spec.Process.Cwd = cwd
		if err := b.start(c); err == nil {
			t.Errorf("run: the working directory %s was entered", cwd)
		}
		proc := runtime.Default().Process
		proc.Args, proc.Cwd = []string{"ls"}, cwd
		k := task.Key{Container: s.ID, Exec: ids.New()}
		if _, err := b.rt.Exec(context.Background(), s.ID, k.Exec, &runtime.Exec{Process: proc, Generation: 1, Streams: task.Streams{Kind: task.StreamLog}}); err != nil {
			t.Fatal(err)
		}
		if err := b.rt.Start(context.Background(), k); err == nil {
			t.Errorf("exec: the working directory %s was entered", cwd)
		}
	}
}

// CVE-2022-29162, CVE-2022-24769: inheritable capabilities let a program with
// file capabilities gain what its user should not have.
func TestCVE2022_29162NoCapabilityIsInheritable(t *testing.T) {
	b := newBench(t)
	const line = "grep -E 'Cap(Inh|Amb)' /proc/self/status | cut -f2 | sort -u"
	const none = "0000000000000000"
	user := func(c *runtime.Container) { c.Spec.Process.User = specs.User{UID: 1000, GID: 1000} }
	for name, change := range map[string]func(*runtime.Container){"root": func(*runtime.Container) {}, "a user": user, "with a reaper": func(c *runtime.Container) { c.Spec.Annotations[runtime.AnnotationInit] = "true" }} {
		if got := b.sh(line, change); got != none {
			t.Errorf("%s: %s", name, got)
		}
		c := b.sleeper(change)
		proc := runtime.Default().Process
		proc.Args, proc.User = []string{"sh", "-c", line}, c.Spec.Process.User
		if got, _ := b.execProcess(c, proc, task.Streams{Kind: task.StreamLog}); strings.TrimSpace(got) != none {
			t.Errorf("exec, %s: %s", name, got)
		}
	}
}

// CVE-2022-0492: the release agent of a cgroup hierarchy is a program that the
// kernel runs as root of the host; a container that can write to its file, or
// mount the hierarchy anew to do so, has the host.
func TestCVE2022_0492TheReleaseAgentIsOutOfReach(t *testing.T) {
	b := newBench(t)
	got := b.sh(`for f in $(find /sys/fs/cgroup -name release_agent -o -name notify_on_release -o -name devices.allow -o -name cgroup.procs); do ( echo x > $f ) 2>&1; done | grep -v -e 'Read-only file system' -e 'Permission denied'
mkdir /tmp/c
for fs in cgroup cgroup2; do mount -t $fs none /tmp/c 2>&1 | grep -v -i -e denied -e 'not permitted'; done
unshare -U -r -m sh -c 'mount -t cgroup -o memory none /tmp/c && echo mounted' 2>&1 | grep -v 'not permitted'
find /sys/fs/cgroup -name cgroup.procs | head -1 | wc -l`)
	if got != "1" {
		t.Errorf("not refused, or no cgroup to be seen: %s", got)
	}
}

// Without a seccomp filter a container may make a user namespace and be root
// there. What is hidden and read-only must stay so in it: each such mount is
// locked to the one below, and no second /proc can be had that shows more.
func TestAUserNamespaceUnveilsNothing(t *testing.T) {
	b := newBench(t)
	got := b.sh(`mkdir /tmp/p /tmp/s
unshare -U -r -m sh -c '
umount /proc/timer_list; umount /proc/keys; umount -l /proc/sys; umount /sys/firmware
mount -o remount,bind,rw /proc/sys; mount -o remount,bind,rw /sys; mount -o remount,bind,rw /volume
mount --move /proc/keys /tmp/p
touch /volume/x /proc/sys/kernel/x /sys/x
cat /proc/keys /proc/timer_list | wc -c
ls -A /sys/firmware | wc -l' 2>/dev/null
unshare -U -r -m -p -f sh -c 'mount -t proc proc /tmp/p && echo proc again' 2>/dev/null
unshare -U -r -m -n sh -c 'mount -t sysfs sysfs /tmp/s && echo sysfs again' 2>/dev/null
ls /volume | wc -l; true`, func(c *runtime.Container) {
		c.Spec.Annotations = nil
		mountOf("bind", t.TempDir(), "/volume", "rbind", "ro")(c)
	})
	if got != "0\n0\n0" {
		t.Errorf("unveiled: %q", got)
	}
}
