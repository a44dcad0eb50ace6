package runtime_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"lus/internal/base/errs"
	"lus/internal/base/ids"
	"lus/internal/linux/runtime"
	"lus/internal/model/task"
)

// flip exchanges two names of the host as fast as it can until the test's
// function returns, as a container that shares a volume could.
func flip(t *testing.T, a, b string) (stop func()) {
	t.Helper()
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-done:
				return
			default:
				if err := unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE); err != nil {
					t.Errorf("exchange %s and %s: %v", a, b, err)
					return
				}
			}
		}
	}()
	return func() { close(done); <-ended }
}

func folder(t *testing.T, path string) string {
	t.Helper()
	if err := os.MkdirAll(path, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func link(t *testing.T, to, path string) {
	t.Helper()
	if err := os.Symlink(to, path); err != nil {
		t.Fatal(err)
	}
}

// attempts is how often a race is tried: each costs some milliseconds.
const attempts = 25

// CVE-2021-30465, CVE-2024-45310: the target of a mount lies in a volume that another container
// has too, and which exchanges it with a link while the mount is made; the
// mount, and the folder made for it, would land on the host.
func TestCVE2021_30465AMountsTargetIsExchanged(t *testing.T) {
	b := newBench(t)
	host := t.TempDir()
	victim := folder(t, filepath.Join(host, "victim"))
	volume, source := folder(t, filepath.Join(host, "volume")), folder(t, filepath.Join(host, "source"))
	file(t, filepath.Join(source, "mark"), "inside")
	folder(t, filepath.Join(volume, "a"))
	link(t, victim, filepath.Join(volume, "b"))
	stop := flip(t, filepath.Join(volume, "a"), filepath.Join(volume, "b"))
	defer stop()
	came := 0
	for range attempts {
		c := b.container("cat", "/v/a/made/here/mark")
		mountOf("bind", volume, "/v", "rbind")(c)
		mountOf("bind", source, "/v/a/made/here", "rbind")(c)
		if err := b.start(c); err != nil {
			continue // it met the link, which leads nowhere inside
		}
		out, _ := b.parent.output(task.Key{Container: c.ID})
		if out == "inside" {
			came++
		}
		if entries, err := os.ReadDir(victim); err != nil || len(entries) != 0 {
			t.Fatalf("the host's folder was written to: %v %v", entries, err)
		}
	}
	if entries, err := os.ReadDir(victim); err != nil || len(entries) != 0 {
		t.Fatalf("the host's folder was written to: %v %v", entries, err)
	}
	t.Logf("the mount was there in %d of %d starts", came, attempts)
}

// CVE-2019-19921, CVE-2023-27561: /proc or /sys of the image is a link into a
// volume, so that another container that has it can move the file system away
// before its dangerous parts are hidden.
func TestCVE2019_19921ProcAndSysAreNoLinks(t *testing.T) {
	for _, name := range []string{"proc", "sys"} {
		b := newBench(t)
		volume := t.TempDir()
		folder(t, filepath.Join(volume, name))
		if err := os.Remove(filepath.Join(b.lower, name)); err != nil {
			t.Fatal(err)
		}
		link(t, "/v/"+name, filepath.Join(b.lower, name))
		folder(t, filepath.Join(b.lower, "v", name))
		c := b.container("true")
		// The volume first, as an image's VOLUME could be sorted before them.
		c.Spec.Mounts = append([]specs.Mount{{Type: "bind", Source: volume, Destination: "/v", Options: []string{"rbind"}}}, c.Spec.Mounts...)
		if err := b.start(c); err == nil {
			t.Errorf("/%s that is a link was mounted over", name)
		}
	}
}

// CVE-2019-16884: a volume of the image mounted over /proc, or a part of it,
// shows a false /proc/self/attr, and the LSM's label is written to nowhere.
func TestCVE2019_16884NothingIsMountedOnProc(t *testing.T) {
	b := newBench(t)
	for name, to := range map[string]string{
		"whole": "/proc", "attr": "/proc/self/attr", "thread": "/proc/thread-self/attr", "one": "proc/1", "sysctl": "/proc/sys/kernel",
	} {
		link(t, to, filepath.Join(b.lower, name))
	}
	source := t.TempDir()
	for _, target := range []string{
		"/proc", "/proc/", "/./proc", "/x/../proc", "/proc/self/attr", "/proc/1", "/proc/sys", "/proc/thread-self/attr/exec", "/proc/self/attr/apparmor/exec",
		"/whole", "/whole/self/attr", "/attr", "/thread", "/one", "/one/attr", "/sysctl",
	} {
		for _, kind := range []string{"bind", "tmpfs"} {
			c := b.container("true")
			mountOf(kind, source, target, map[string]string{"bind": "rbind", "tmpfs": "mode=755"}[kind])(c)
			err := b.start(c)
			if err == nil {
				t.Errorf("a %s at %s was accepted", kind, target)
			} else if !errs.Is(err, errs.Invalid) {
				t.Errorf("a %s at %s: %v, of kind %v", kind, target, err, errs.KindOf(err))
			}
		}
	}
}

// nullDev is a folder to be a container's /dev.
func nullDev(t *testing.T) string {
	t.Helper()
	dev := folder(t, filepath.Join(t.TempDir(), "dev"))
	for _, d := range []string{"pts", "shm", "mqueue"} {
		folder(t, filepath.Join(dev, d))
	}
	return dev
}

// over puts a folder in the place of the container's own /dev.
func over(dev string) func(*runtime.Container) {
	return func(c *runtime.Container) {
		for i, m := range c.Spec.Mounts {
			if m.Destination == "/dev" {
				c.Spec.Mounts[i] = specs.Mount{Type: "bind", Source: dev, Destination: "/dev", Options: []string{"rbind"}}
			}
		}
	}
}

// CVE-2025-31133: files of /proc are hidden below /dev/null; a container that
// puts something else there gets that mounted over them, writable: a link to
// /proc/sys/kernel/core_pattern, say, or nothing, and they stay open.
func TestCVE2025_31133WhatHidesIsTheNullDevice(t *testing.T) {
	b := newBench(t)
	null := int(unix.Mkdev(1, 3))
	for name, make := range map[string]func(path string) error{
		"nothing":         func(string) error { return nil },
		"a file":          func(p string) error { return os.WriteFile(p, nil, 0o666) },
		"a link":          func(p string) error { return os.Symlink("/proc/sys/kernel/core_pattern", p) },
		"a link to null":  func(p string) error { return os.Symlink("/dev/real", p) },
		"a folder":        func(p string) error { return os.Mkdir(p, 0o755) },
		"another device":  func(p string) error { return unix.Mknod(p, unix.S_IFCHR|0o666, int(unix.Mkdev(1, 5))) },
		"a block device":  func(p string) error { return unix.Mknod(p, unix.S_IFBLK|0o666, null) },
		"the null device": func(p string) error { return unix.Mknod(p, unix.S_IFCHR|0o666, null) },
	} {
		dev := nullDev(t)
		if err := unix.Mknod(filepath.Join(dev, "real"), unix.S_IFCHR|0o666, null); err != nil {
			t.Fatal(err)
		}
		if err := make(filepath.Join(dev, "null")); err != nil {
			t.Fatal(err)
		}
		c := b.container("sh", "-c", "stat -c %t:%T /proc/kcore /proc/keys /proc/timer_list 2>/dev/null | sort -u")
		over(dev)(c)
		err := b.start(c)
		if name != "the null device" {
			if err == nil {
				t.Errorf("%s was taken for the null device", name)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if out, _ := b.parent.output(task.Key{Container: c.ID}); out != "1:3\n" {
			t.Errorf("what hides is %q", out)
		}
	}
}

// The same as a race: what is looked at and what is mounted must be one thing.
func TestCVE2025_31133TheNullDeviceIsExchanged(t *testing.T) {
	b := newBench(t)
	dev := nullDev(t)
	if err := unix.Mknod(filepath.Join(dev, "null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))); err != nil {
		t.Fatal(err)
	}
	file(t, filepath.Join(dev, "mine"), "")
	defer flip(t, filepath.Join(dev, "null"), filepath.Join(dev, "mine"))()
	hidden := 0
	for range attempts {
		c := b.container("sh", "-c", "stat -c %t:%T /proc/kcore /proc/keys /proc/timer_list 2>/dev/null | sort -u")
		over(dev)(c)
		if b.start(c) != nil {
			continue
		}
		if out, _ := b.parent.output(task.Key{Container: c.ID}); out != "1:3\n" {
			t.Fatalf("what hides is %q", out)
		}
		hidden++
	}
	t.Logf("%d of %d started", hidden, attempts)
}

// CVE-2025-52565: the terminal is shown as /dev/console before /proc is closed;
// a /dev of the container's choosing leads that mount to a file of /proc, or
// shows something else than the terminal there.
func TestCVE2025_52565TheConsoleIsTheTerminal(t *testing.T) {
	b := newBench(t)
	terminal := func(c *runtime.Container) {
		c.Streams = task.Streams{Kind: task.StreamTerminal, Rows: 24, Cols: 80}
		c.Spec.Process.Terminal = true
	}
	for name, to := range map[string]string{
		"a parameter of the kernel": "/proc/sys/kernel/core_pattern", "a link up": "../proc/sysrq-trigger", "the runtime": "/proc/self/exe",
	} {
		dev := nullDev(t)
		if err := unix.Mknod(filepath.Join(dev, "null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))); err != nil {
			t.Fatal(err)
		}
		link(t, to, filepath.Join(dev, "console"))
		c := b.container("true")
		over(dev)(c)
		terminal(c)
		if err := b.start(c); err == nil {
			t.Errorf("%s: the console was mounted there", name)
		}
	}
	link(t, "/dev/pts", filepath.Join(b.lower, "terminals"))
	fake := t.TempDir()
	file(t, filepath.Join(fake, "0"), "false")
	c := b.container("cat", "/dev/console")
	mountOf("bind", fake, "/terminals", "rbind")(c)
	terminal(c)
	if err := b.start(c); err == nil {
		t.Error("a file of a volume was shown as the console")
	}
}

// CVE-2025-52881: what the runtime writes to /proc (sysctls, scores, labels)
// goes to a harmless file, or to a dangerous one, because the container put
// something in its place.
func TestCVE2025_52881WritesToProcAreNotLedAway(t *testing.T) {
	b := newBench(t)
	decoy := file(t, filepath.Join(t.TempDir(), "decoy"), "untouched")
	const key = "/proc/sys/net/ipv4/ip_unprivileged_port_start"
	link(t, key, filepath.Join(b.lower, "led-away"))
	for _, target := range []string{key, "/led-away"} {
		c := b.container("true")
		mountOf("bind", decoy, target, "bind")(c)
		c.Spec.Linux.Sysctl = map[string]string{"net.ipv4.ip_unprivileged_port_start": "7"}
		if err := b.start(c); err == nil {
			t.Errorf("a mount at %s was accepted", target)
		}
	}
	for _, name := range []string{"net.ipv4.../../../kernel/core_pattern", "net/../kernel/core_pattern", "net//../../sysrq-trigger", "/net/x", "kernel.core_pattern"} {
		c := b.container("true")
		c.Spec.Linux.Sysctl = map[string]string{name: "7"}
		if err := b.start(c); !errs.Is(err, errs.Invalid) {
			t.Errorf("sysctl %s: %v", name, err)
		}
	}

	// An exec's score is written before it enters the container, whose /proc is
	// what the container says.
	s := b.sleeper(func(c *runtime.Container) {
		c.Spec.Annotations = nil
		all := append(runtime.DefaultCapabilities(), "CAP_SYS_ADMIN")
		c.Spec.Process.Capabilities.Bounding = all
		c.Spec.Process.Args = []string{"sh", "-c", "mkdir /real && mount --move /proc /real; mount -t tmpfs x /proc && mkdir /proc/self && : > /proc/self/oom_score_adj && exec sleep 1000"}
		c.Spec.Process.Capabilities.Effective, c.Spec.Process.Capabilities.Permitted = all, all
	})
	for n := 0; ; n++ {
		if out, _ := b.exec(s, "ls -d /proc/self/oom_score_adj /real/self/oom_score_adj | wc -l; ls /proc | wc -l"); out == "2\n1\n" {
			break
		} else if n > 200 {
			t.Fatalf("the false /proc does not come: %q", out)
		}
	}
	proc := runtime.Default().Process
	score := 321
	proc.OOMScoreAdj = &score
	proc.Args = []string{"sh", "-c", "wc -c < /proc/self/oom_score_adj; cat /real/self/oom_score_adj"}
	if out, _ := b.execProcess(s, proc, task.Streams{Kind: task.StreamLog}); out != "0\n321\n" {
		t.Errorf("the false file has that many bytes, the true one says: %q", out)
	}
	if text, err := os.ReadFile(decoy); err != nil || string(text) != "untouched" {
		t.Errorf("the decoy says %q, %v", text, err)
	}
}

// The runtime's working directory of a container is made in its root: a volume
// that exchanges its parent with a link must not have it made on the host.
func TestAWorkingDirectorysParentIsExchanged(t *testing.T) {
	b := newBench(t)
	host := t.TempDir()
	victim, volume := folder(t, filepath.Join(host, "victim")), folder(t, filepath.Join(host, "volume"))
	folder(t, filepath.Join(volume, "a"))
	link(t, victim, filepath.Join(volume, "b"))
	defer flip(t, filepath.Join(volume, "a"), filepath.Join(volume, "b"))()
	for i := range attempts {
		c := b.container("true")
		mountOf("bind", volume, "/v", "rbind")(c)
		c.Spec.Process.Cwd = fmt.Sprintf("/v/a/%d/%s", i, ids.New())
		if p, err := b.rt.Create(context.Background(), c); err == nil {
			_ = p.NetNS.Close()
			if err := b.rt.Delete(context.Background(), c.ID); err != nil {
				t.Fatal(err)
			}
		} else if strings.Contains(err.Error(), "%!") {
			t.Error(err)
		}
	}
	if entries, err := os.ReadDir(victim); err != nil || len(entries) != 0 {
		t.Fatalf("made on the host: %v %v", entries, err)
	}
}
