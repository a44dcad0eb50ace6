package runtime_test

import (
	"context"
	"strings"
	"testing"

	"lus/internal/base/errs"
	"lus/internal/linux/runtime"
	"lus/internal/model/task"
)

func TestAContainerRunsAndTellsItsCode(t *testing.T) {
	b := newBench(t)
	out, code := b.run(b.container("sh", "-c", "echo hello; exit 7"))
	if out != "hello\n" || code != 7 {
		t.Errorf("wrote %q and ended with %d, want hello and 7", out, code)
	}
}

func TestAContainerIsAWorldOfItsOwn(t *testing.T) {
	b := newBench(t)
	for _, c := range []struct{ line, want string }{
		{"echo $$", "1"},
		{"hostname", "box"},
		{"cat /proc/self/cgroup | cut -d: -f3 | sort -u", "/"},
		{"ip -o link | wc -l", "1"},
		{"ip link show lo | grep -c UP", "1"},
		{"ls /proc | grep -c '^[0-9]'", "3"},
		{"cat /proc/self/status | grep CapEff | cut -f2", "00000000a80425fb"},
		{"cat /proc/self/status | grep CapBnd | cut -f2", "00000000a80425fb"},
		{"cat /proc/self/status | grep ^Seccomp: | cut -f2", "2"},
		{"cat /proc/self/status | grep NoNewPrivs | cut -f2", "0"},
		{"ls /dev | tr '\\n' ' '", "core fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero "},
		{"stat -c %a /dev/null /dev/shm /dev/pts/ptmx | tr '\\n' ' '", "666 1777 666 "},
		{"ls /proc/self/fd | wc -l", "4"},
		{"umask", "0022"},
		{"ls /proc/acpi /sys/firmware 2>/dev/null | wc -w", "2"},
		{"cat /proc/kcore /proc/keys /proc/timer_list 2>/dev/null | wc -c", "0"},
		{"touch /sys/x /sys/fs/cgroup/x 2>&1 | grep -c Read-only", "2"},
		{"echo 1 2>&1 > /proc/sys/kernel/printk | grep -c Read-only", "1"},
		{"ls /sys/fs/cgroup | grep -c -e memory -e cgroup.procs", "1"},
		{"cat /proc/self/oom_score_adj", "0"},
		{"cut -d' ' -f6 /proc/1/stat", "1"},
	} {
		out := b.sh(c.line, func(c *runtime.Container) { c.Spec.Hostname = "box" })
		if out != strings.TrimSpace(c.want) {
			t.Errorf("%s: got %q, want %q", c.line, out, c.want)
		}
	}
}

func TestACommandThatCannotRun(t *testing.T) {
	b := newBench(t)
	for _, c := range []struct {
		command string
		kind    errs.Kind
		says    string
	}{
		{"nonsense", errs.CommandNotFound, `exec: "nonsense": executable file not found in $PATH`},
		{"/no/such", errs.CommandNotFound, "no such file or directory"},
		{"/etc", errs.CommandNotExecutable, "is a directory"},
		{"/etc/passwd", errs.CommandNotExecutable, "permission denied"},
	} {
		err := b.start(b.container(c.command))
		if !errs.Is(err, c.kind) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: error %v of kind %v, want one of kind %v that says %q", c.command, err, errs.KindOf(err), c.kind, c.says)
		}
	}
}

func TestAnIDIsTakenOnce(t *testing.T) {
	b := newBench(t)
	c := b.container("sleep", "100")
	if err := b.start(c); err != nil {
		t.Fatal(err)
	}
	if _, err := b.rt.Create(context.Background(), c); !errs.Is(err, errs.Conflict) {
		t.Errorf("second create: %v, want a conflict", err)
	}
	if err := b.rt.Signal(context.Background(), task.Key{Container: c.ID}, 9); err != nil {
		t.Fatal(err)
	}
	if _, code := b.parent.output(task.Key{Container: c.ID}); code != 137 {
		t.Errorf("code %d after SIGKILL, want 137", code)
	}
}
