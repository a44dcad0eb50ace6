package keeper_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lus/internal/keeper/wire"
	initproc "lus/internal/linux/init"
	"lus/internal/model/task"
	"lus/test/need"
)

func TestTiedProcessesDieWithTheirClient(t *testing.T) {
	b := start(t)
	c := b.connect()
	tied := b.logged("tied")
	tied.Tied = true
	s, err := c.Create(t.Context(), tied, script(t, "exec sleep 600", nil))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Go(t.Context(), tied.Key); err != nil {
		t.Fatal(err)
	}
	free := b.run(b.logged("free"), "exec sleep 600")
	_ = c.Close()
	if exit := b.end(tied.Key); exit.Signal != 9 {
		t.Errorf("%+v", exit)
	}
	waitGone(t, s.Pid)
	if err := unix.Kill(free.Pid, 0); err != nil {
		t.Errorf("the other one: %v", err)
	}
}

// A daemon that dies while it clears away must not leave an exit that the next
// one would take for that of a program.
func TestADeletionOutlivesWhoAskedForIt(t *testing.T) {
	b := start(t)
	c := b.logged("doomed")
	waiting, err := b.Create(t.Context(), c, script(t, "exit 0", nil))
	if err != nil {
		t.Fatal(err)
	}
	// The keeper stands still, so that it finds the request and its asker's end at once.
	pid := b.Greeting().Pid
	if err := unix.Kill(pid, unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	fd := b.raw()
	data, _, err := wire.Encode(wire.Request{ID: 1, Op: wire.Delete, Key: &c.Key})
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Sendmsg(fd, data, nil, nil, 0); err != nil {
		t.Fatal(err)
	}
	_ = unix.Close(fd)
	if err := unix.Kill(pid, unix.SIGCONT); err != nil {
		t.Fatal(err)
	}
	waitGone(t, waiting.Pid)
	eventually(t, func() bool { list, err := b.List(t.Context()); return err == nil && len(list) == 0 })
}

func TestACgroupIsKilledWithItsFirstProcess(t *testing.T) {
	b := start(t)
	dir := "/sys/fs/cgroup/pids/lus-test-" + b.where.Instance()
	if _, err := os.Stat("/sys/fs/cgroup/pids/cgroup.procs"); err != nil {
		dir = "/sys/fs/cgroup/lus-test-" + b.where.Instance()
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		need.Unmet(t, "a cgroup tree to write to: %v", err)
	}
	t.Cleanup(func() { _ = os.Remove(dir) })
	c := b.logged("c")
	c.CgroupKill = dir
	s := b.run(c, "read x; echo $$ >"+dir+"/cgroup.procs; setsid sleep 600 & setsid sleep 600 & exit 2")
	if exit := b.end(c.Key); exit.Code != 2 {
		t.Errorf("%+v", exit)
	}
	waitGone(t, s.Pid)
	eventually(t, func() bool {
		members, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
		return err == nil && len(members) == 0
	})
}

// A deletion may come when the init has forked the process that is to be the one
// and the keeper has not heard of it yet: then that one is to die.
func TestADeletionReachesWhomTheInitHasForked(t *testing.T) {
	b := start(t)
	host := b.run(b.logged("host"), "exec sleep 60")
	ns, err := os.Open("/proc/" + strconv.Itoa(host.Pid) + "/ns/pid")
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	goOn := filepath.Join(t.TempDir(), "go-on")
	for name, word := range map[string]wire.Request{"delete": {ID: 1, Op: wire.Delete}, "kill": {ID: 1, Op: wire.Signal, Signal: int(unix.SIGKILL)}} {
		_ = os.Remove(goOn)
		var p initproc.Program
		p.Run(time.Minute, "/", []string{"/bin/sh", "-c", "until [ -e " + goOn + " ]; do sleep 0.01; done"}, []string{"PATH=/usr/bin:/bin"})
		p.Setns(ns, unix.CLONE_NEWPID)
		p.Fork()
		p.Ready()
		p.Wait()
		p.Done()
		f, err := p.Memfd()
		if err != nil {
			t.Fatal(err)
		}
		x := b.logged(name)
		x.Exec, x.Files = "x", 1
		asker, created := b.connect(), make(chan error, 1)
		go func() {
			_, err := asker.Create(context.Background(), x, f, ns)
			created <- err
		}()
		fd, first := b.raw(), 0
		eventually(t, func() bool {
			list, err := b.List(t.Context())
			for _, s := range list {
				if s.Key == x.Key {
					first = s.Pid
				}
			}
			return err == nil && first != 0
		})
		// The keeper stands still, so that it finds the word before what the init says.
		keeper := b.Greeting().Pid
		if err := unix.Kill(keeper, unix.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		word.Key = &x.Key
		data, _, err := wire.Encode(word)
		if err != nil {
			t.Fatal(err)
		}
		if err := unix.Sendmsg(fd, data, nil, nil, 0); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(goOn, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		eventually(t, func() bool {
			stat, err := os.ReadFile("/proc/" + strconv.Itoa(first) + "/stat")
			return err == nil && bytes.Contains(stat, []byte(") Z ")) // it has said whom it forked
		})
		if err := unix.Kill(keeper, unix.SIGCONT); err != nil {
			t.Fatal(err)
		}
		eventually(t, func() bool {
			list, err := b.List(t.Context())
			return err == nil && !slices.ContainsFunc(list, func(s task.Status) bool { return s.Key == x.Key && s.Phase != task.Ended })
		})
		<-created // with what it became, or that it ended
		_ = unix.Close(fd)
		f.Close()
		if err := b.Delete(t.Context(), x.Key); err != nil {
			t.Error(err)
		}
	}
}
