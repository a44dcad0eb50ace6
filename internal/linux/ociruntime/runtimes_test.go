package ociruntime_test

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"lus/internal/base/errs"
	"lus/internal/base/ids"
	"lus/internal/linux/runtime"
	"lus/internal/model/task"
	"lus/test/need"
)

// The container's process is the keeper's own child, and nobody stands between.
func TestTheKeeperIsTheParent(t *testing.T) {
	t.Parallel()
	need.Program(t, "runc", "runc")
	h := newHouse(t)
	c := h.container("sleep", "1000")
	pid := h.create(c)
	must(t, h.Start(t.Context(), task.Key{Container: c.ID}))
	keeper := h.keeper.Greeting().Pid
	var children string
	for deadline := time.Now().Add(long); children != fmt.Sprint(pid) && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		// The init is about to end when the start is told.
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", keeper, keeper))
		must(t, err)
		children = strings.TrimSpace(string(data))
	}
	if children != fmt.Sprint(pid) {
		t.Errorf("the keeper's children are %q, want the container's process %d alone", children, pid)
	}
	must(t, h.Signal(t.Context(), task.Key{Container: c.ID}, 9))
	if s := h.end(task.Key{Container: c.ID}); s.Exit.Code != 137 || s.Exit.Signal != 9 {
		t.Errorf("it ended with %+v", s.Exit)
	}
}

// Another user of the host sees nothing of a container: its environment may
// hold secrets.
func TestOnlyRootSeesTheBundle(t *testing.T) {
	t.Parallel()
	need.Program(t, "runc", "runc")
	h := newHouse(t)
	h.sleeper()
	err := filepath.WalkDir(h.where.OCI(), func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && d.IsDir() && name == h.where.OCI() && info.Mode().Perm() != 0o700 {
			t.Errorf("%s has the mode %v", name, info.Mode())
		}
		if err == nil && filepath.Base(name) == "config.json" && info.Mode().Perm() != 0o600 {
			t.Errorf("%s has the mode %v", name, info.Mode())
		}
		return err
	})
	must(t, err)
}

// However short an exec is, its exit code is that of its process.
func TestExecsThatEndAtOnce(t *testing.T) {
	t.Parallel()
	need.Program(t, "runc", "runc")
	h := newHouse(t)
	c, _ := h.sleeper()
	for code := range 12 {
		proc := runtime.Default().Process
		proc.Args = []string{"sh", "-c", fmt.Sprintf("exit %d", code)}
		k := task.Key{Container: c.ID, Exec: ids.New()}
		_, err := h.Exec(t.Context(), c.ID, k.Exec, &runtime.Exec{Process: proc, Generation: 1, Streams: task.Streams{Kind: task.StreamNull}})
		must(t, err)
		must(t, h.Start(t.Context(), k))
		if s := h.end(k); s.Exit.Code != code {
			t.Errorf("an exec ended with %+v, want %d", s.Exit, code)
		}
		must(t, h.Ack(t.Context(), k, 1))
	}
	if left, err := filepath.Glob(filepath.Join(h.where.OCI(), "runc", "bundles", c.ID, "*.json")); err != nil || len(left) != 1 {
		t.Errorf("execs left files: %q, %v", left, err)
	}
}

// A container that was created and cannot be started is ended, though the init
// stood for it no more.
func TestAStartThatFailsEndsTheContainer(t *testing.T) {
	t.Parallel()
	need.Program(t, "runc", "runc")
	h := newHouse(t)
	c := h.container("sleep", "1000")
	pid := h.create(c)
	must(t, os.Remove(filepath.Join(h.where.OCI(), "runc", "state", c.ID, "exec.fifo")))
	err := h.Start(t.Context(), task.Key{Container: c.ID})
	if err == nil || !strings.Contains(err.Error(), "runc") {
		t.Errorf("the start said %v", err)
	}
	h.end(task.Key{Container: c.ID})
	if _, err := os.Stat(fmt.Sprintf("/proc/%d", pid)); err == nil {
		t.Errorf("process %d is still there", pid)
	}
}

// The next daemon goes on with what runs, and removes what is left of the rest.
func TestTheNextDaemon(t *testing.T) {
	t.Parallel()
	need.Program(t, "runc", "runc")
	h := newHouse(t)
	c, pid := h.sleeper()
	half := filepath.Join(h.where.OCI(), "runc", "bundles", ids.New())
	must(t, os.MkdirAll(filepath.Join(half, "rootfs"), 0o700))
	must(t, h.Close())
	h.open()
	if _, err := os.Stat(half); err == nil {
		t.Errorf("%s is still there", half)
	}
	if pids, err := h.Pids(t.Context(), c.ID); err != nil || len(pids) != 1 || pids[0] != pid {
		t.Errorf("its processes are %v, %v; want %d", pids, err, pid)
	}
	if _, err := h.Create(t.Context(), c); errs.KindOf(err) != errs.Conflict {
		t.Errorf("made twice: %v", err)
	}
	k := task.Key{Container: c.ID, Exec: ids.New()}
	proc := runtime.Default().Process
	proc.Args = []string{"no-such-thing"}
	_, err := h.Exec(t.Context(), c.ID, k.Exec, &runtime.Exec{Process: proc, Generation: 1, Streams: task.Streams{Kind: task.StreamNull}})
	must(t, err)
	if err := h.Start(t.Context(), k); errs.KindOf(err) != errs.CommandNotFound {
		t.Errorf("an exec of nothing: %v", err)
	}
	must(t, h.Delete(t.Context(), c.ID))
	if pids, err := h.Pids(t.Context(), c.ID); errs.KindOf(err) != errs.NotFound {
		t.Errorf("deleted, its processes are %v, %v", pids, err)
	}
}

// Whatever a runtime does wrong is told, in its own words where it has any, and
// nothing is left of the container.
func TestARuntimeThatFails(t *testing.T) {
	dir := t.TempDir()
	// $4 is the log; PATH is the container's default, so the shell has its tools.
	const word = `echo '{"level":"error","msg":"%s"}' > "$4"; exit 1`
	said := func(msg string) string { return fmt.Sprintf(word, msg) }
	pidFile := `while [ "$1" != --pid-file ]; do shift; done; `
	for _, x := range []struct {
		name, script, want string
		kind               errs.Kind
		terminal           bool
	}{
		{"says nothing", "exit 1", "does not say why", errs.Internal, false},
		{"names no process", "exit 0", "read the process's number", errs.Internal, false},
		{"names nonsense", pidFile + `echo nonsense > "$2"`, "read the process's number", errs.Internal, false},
		{"names the first process", pidFile + `echo 1 > "$2"`, "read the process's number", errs.Internal, false},
		{"makes no terminal", "exit 0", "take the terminal", errs.Internal, true},
		{"dies", "kill -9 $$", "does not say why", errs.Internal, false},
		{"finds no command", said(`unable to start container process: exec: \"x\": executable file not found in $PATH`), "executable file not found", errs.CommandNotFound, false},
		{"may not run it", said(`unable to start container process: exec: \"/x\": permission denied`), "permission denied", errs.CommandNotExecutable, false},
		{"finds no command, as crun says it", said("executable file 'x' not found in $PATH: No such file or directory"), "executable file not found", errs.CommandNotFound, false},
		{"is given a folder, as crun says it", said("open executable: Operation not permitted"), "permission denied", errs.CommandNotExecutable, false},
		{"may not run it, as crun says it", said("open executable: Permission denied"), "permission denied", errs.CommandNotExecutable, false},
		{"hangs", "echo $$ >" + dir + "/hung; sleep 1000", "did not end within 5s and was killed", errs.Unavailable, false},
		{"cannot mount", said(`error mounting \"/a\" to rootfs at \"/b\": not a directory`), "not a directory", errs.Invalid, false},
	} {
		t.Run(x.name, func(t *testing.T) {
			h := newHouse(t)
			must(t, os.WriteFile(filepath.Join(dir, "runc"), []byte("#!/bin/sh\n"+x.script+"\n"), 0o755))
			t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
			if path, err := exec.LookPath("runc"); err != nil || filepath.Dir(path) != dir {
				t.Fatalf("runc is %s, %v", path, err)
			}
			if x.kind == errs.Unavailable {
				h.Patience = 5 * time.Second // in which a shell begins, on a busy machine too
			}
			c := h.container("true")
			if x.terminal {
				c.Streams = task.Streams{Kind: task.StreamTerminal, Log: task.Log{Path: filepath.Join(t.TempDir(), "log")}}
			}
			_, err := h.Create(context.Background(), c)
			if errs.KindOf(err) != x.kind || err == nil || !strings.Contains(err.Error(), x.want) {
				t.Errorf("kind %v: %v; want kind %v and %q", errs.KindOf(err), err, x.kind, x.want)
			}
			if list, err := h.keeper.List(context.Background()); err != nil || len(list) != 0 {
				t.Errorf("the keeper has %v, %v", list, err)
			}
			h.empty()
			if x.kind == errs.Unavailable {
				groupEnds(t, filepath.Join(dir, "hung"))
			}
		})
	}
}

// groupEnds waits until all processes of a group are gone, whose leader's number
// is in a file.
func groupEnds(t *testing.T, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	must(t, err)
	leader, err := strconv.Atoi(strings.TrimSpace(string(text)))
	must(t, err)
	for deadline := time.Now().Add(long); syscall.Kill(-leader, 0) == nil; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("processes of the group %d are still there", leader)
		}
	}
}
