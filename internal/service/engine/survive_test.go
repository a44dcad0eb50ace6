package engine_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lus/internal/base/errs"
	"lus/internal/model/container"
	model "lus/internal/model/network"
)

func policy(name string, retries int) func(*container.CreateRequest) {
	return func(r *container.CreateRequest) {
		r.HostConfig.RestartPolicy = container.RestartPolicy{Name: name, MaximumRetryCount: retries}
	}
}

func TestRestartPolicies(t *testing.T) {
	h := start(t)
	ctx := limited(t)
	failing := h.run("failing", "exit 3", policy("on-failure", 2))
	if x := h.wait(failing, "not-running"); x.Code != 3 {
		t.Errorf("%+v", x)
	}
	if c := h.inspect(failing); c.RestartCount != 2 || c.State.Status != container.Exited {
		t.Errorf("on-failure:2 was started %d times again, %s", c.RestartCount, c.State.Status)
	}
	fine := h.run("fine", "exit 0", policy("on-failure", 0))
	h.wait(fine, "not-running")
	if c := h.inspect(fine); c.RestartCount != 0 {
		t.Errorf("a success was started again")
	}
	stubborn := h.run("stubborn", "exit 0", policy("always", 0))
	until(t, "the third start", func() bool { return h.inspect(stubborn).RestartCount >= 2 })
	must(t, h.engine.StopContainer(ctx, stubborn, "", nil))
	if c := h.inspect(stubborn); c.State.Status != container.Exited {
		t.Errorf("stopped between restarts: %+v", c.State)
	}
	killed := h.run("killed", "sleep 1000", policy("unless-stopped", 0))
	must(t, h.engine.KillContainer(ctx, killed, ""))
	if c := h.inspect(killed); c.State.Status != container.Exited || !c.ManuallyStopped {
		t.Errorf("killed by hand: %+v", c.State)
	}
	must(t, h.engine.StartContainer(ctx, killed))
	if _, code := h.exec(killed, "kill -9 -1; kill 1"); code == 0 {
		t.Log("the exec outlived what it did")
	}
	must(t, h.engine.RestartContainer(ctx, killed, "KILL", nil))
	if c := h.inspect(killed); c.State.Status != container.Running {
		t.Errorf("restarted: %+v", c.State)
	}
}

func TestHealth(t *testing.T) {
	h := start(t)
	ctx, cancel := context.WithCancel(limited(t))
	defer cancel()
	events, err := h.engine.Events(ctx, time.Time{}, time.Time{}, map[string][]string{"event": {"health_status"}})
	must(t, err)
	// Well from its first moment, however long that takes to come.
	id := h.run("patient", "sleep 1000", func(r *container.CreateRequest) {
		r.Healthcheck = &container.Healthcheck{Test: []string{"CMD-SHELL", "echo looking; test ! -e /tmp/ill"}, Interval: 20 * time.Millisecond, Retries: 2}
	})
	next := func(want string) {
		t.Helper()
		select {
		case e := <-events:
			if e.Action != "health_status: "+want || e.Actor.Attributes["name"] != "patient" {
				t.Fatalf("event %+v, want %s", e, want)
			}
		case <-ctx.Done():
			t.Fatal("no event")
		}
	}
	next("healthy")
	if hl := h.inspect(id).State.Health; hl.Status != container.Healthy || len(hl.Log) == 0 || hl.Log[0].Output != "looking\n" {
		t.Errorf("%+v", hl)
	}
	h.exec(id, "touch /tmp/ill")
	next("unhealthy")
	if hl := h.inspect(id).State.Health; hl.FailingStreak < 2 || hl.Log[len(hl.Log)-1].ExitCode != 1 {
		t.Errorf("%+v", hl)
	}
	h.exec(id, "rm /tmp/ill")
	next("healthy")
	l, err := h.engine.ListContainers(ctx, container.ListOptions{Filters: map[string][]string{"health": {"healthy"}}})
	must(t, err)
	if len(l) != 1 {
		t.Errorf("listed by its health: %d", len(l))
	}

	slow := h.run("slow", "sleep 1000", func(r *container.CreateRequest) {
		r.Healthcheck = &container.Healthcheck{Test: []string{"CMD", "sleep", "1000"}, Interval: 10 * time.Millisecond, Timeout: 30 * time.Millisecond, Retries: 1}
	})
	until(t, "the timeout", func() bool { return h.inspect(slow).State.Health.Status == container.Unhealthy })
	if out := h.inspect(slow).State.Health.Log[0].Output; out != "Health check exceeded timeout (30ms)" {
		t.Errorf("output %q", out)
	}
}

// The time may be over while a probe is being started: that is told in the same
// words, and what was forked by then does not stay.
func TestAProbeWithoutTimeLeavesNobody(t *testing.T) {
	h := start(t)
	for _, timeout := range []time.Duration{1, 2, 3, 4, 6, 9} {
		timeout *= time.Millisecond
		id := h.run("", "exec sleep 1000", func(r *container.CreateRequest) {
			r.Healthcheck = &container.Healthcheck{Test: []string{"CMD", "sleep", "1001"}, Interval: time.Millisecond, Timeout: timeout, Retries: 8}
		})
		until(t, "eight probes", func() bool { return h.inspect(id).State.Health.Status == container.Unhealthy })
		want := fmt.Sprintf("Health check exceeded timeout (%v)", timeout)
		for _, r := range h.inspect(id).State.Health.Log {
			if r.ExitCode != -1 || r.Output != want {
				t.Errorf("a probe ended with %d and said %q, want %q", r.ExitCode, r.Output, want)
			}
		}
		until(t, "at most one probe at a time", func() bool {
			pids, err := h.rt.Pids(limited(t), id)
			must(t, err)
			return len(pids) <= 2
		})
	}
}

func TestTheNextEngineGoesOn(t *testing.T) {
	root := newRoot(t)
	h := reopen(t, root)
	ctx := limited(t)
	_, _, err := h.engine.CreateNetwork(ctx, &model.Network{Name: "app"})
	must(t, err)
	web := h.run("web", "while :; do echo tick; sleep 0.02; done", onNetwork("app"), published("18082", "80/tcp"), binds("kept:/v"))
	ip := h.inspect(web).Networks["app"].IPAddress
	brief := h.run("brief", "read x < /v/fifo; exit 42", binds("kept:/v"), func(r *container.CreateRequest) {})
	_ = brief
	waiting := h.run("waiting", "while test ! -e /v/go; do sleep 0.02; done; exit 42", binds("kept:/v"))
	auto := h.run("auto", "while test ! -e /v/go; do sleep 0.02; done", binds("kept:/v"), func(r *container.CreateRequest) { r.HostConfig.AutoRemove = true })
	created := h.create("created", "true")
	stopped := h.run("stopped", "sleep 1000", policy("unless-stopped", 0))
	must(t, h.engine.StopContainer(ctx, stopped, "KILL", nil))
	v, err := h.engine.InspectVolume(ctx, "kept")
	must(t, err)
	h.close()

	// While nobody watches two of them end.
	must(t, os.WriteFile(v.Mountpoint+"/go", nil, 0o644))

	h = reopen(t, root)
	until(t, "the exit that nobody saw", func() bool { return !h.inspect(waiting).State.Running() })
	if st := h.inspect(waiting).State; st.ExitCode != 42 {
		t.Errorf("its code: %+v", st)
	}
	until(t, "the removal", func() bool {
		_, err := h.engine.InspectContainer(ctx, auto, false)
		return errs.Is(err, errs.NotFound)
	})
	if c := h.inspect(web); c.State.Status != container.Running || c.Networks["app"].IPAddress != ip || c.Ports["80/tcp"][0].HostPort != "18082" {
		t.Errorf("adopted: %+v %+v", c.State, c.Ports)
	}
	if out, code := h.exec(web, "nslookup web 127.0.0.11"); code != 0 || !strings.Contains(out, ip) {
		t.Errorf("its name: %s", out)
	}
	lines := strings.Count(h.logs(web), "tick")
	until(t, "more output", func() bool { return strings.Count(h.logs(web), "tick") > lines })
	if c := h.inspect(created); c.State.Status != container.Created {
		t.Errorf("created: %+v", c.State)
	}
	if c := h.inspect(stopped); c.State.Status != container.Exited {
		t.Errorf("unless-stopped, stopped: %+v", c.State)
	}
	must(t, h.engine.StopContainer(ctx, web, "KILL", nil))
	other := h.run("other", "true", onNetwork("app"), published("18082", "80/tcp"))
	h.wait(other, "")
}

// crasher is an engine in a process of its own, to be killed.
type crasher struct {
	t   *testing.T
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

func crash(t *testing.T, root string, env ...string) *crasher {
	t.Helper()
	c := begin(t, root, env...)
	if got := c.line(); got != "ready" {
		t.Fatalf("the engine said %q", got)
	}
	return c
}

func begin(t *testing.T, root string, env ...string) *crasher {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(append(os.Environ(), childEnv+"="+root), env...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	return &crasher{t: t, cmd: cmd, in: in, out: bufio.NewScanner(out)}
}

// dead waits until it killed itself.
func (c *crasher) dead() {
	c.t.Helper()
	if got := c.line(); got != "(end)" {
		c.t.Fatalf("it was to die, and said %q", got)
	}
	_ = c.cmd.Wait() // killed
}

func (c *crasher) line() string {
	if !c.out.Scan() {
		return "(end)"
	}
	return c.out.Text()
}

func (c *crasher) order(format string, args ...any) {
	c.t.Helper()
	c.send(format, args...)
	if got := c.line(); got != "done" {
		c.t.Fatalf("%s: %s", fmt.Sprintf(format, args...), got)
	}
}

func (c *crasher) send(format string, args ...any) {
	c.t.Helper()
	_, err := fmt.Fprintf(c.in, format+"\n", args...)
	must(c.t, err)
}

// die kills it as the kernel kills: without a word.
func (c *crasher) die() {
	c.t.Helper()
	must(c.t, c.cmd.Process.Kill())
	_ = c.cmd.Wait() // killed
}

func TestKilledAtAnyMoment(t *testing.T) {
	root := newRoot(t)
	for round := range 8 {
		c := crash(t, root)
		c.order("run steady%d while :; do sleep 0.05; done", round)
		c.order("run ending%d exit %d", round, 10+round)
		c.order("restarting again%d sleep 0.05; exit 1", round)
		// Die in the middle of these, a little later each time.
		c.send("run maybe%d sleep 1000", round)
		c.send("removing brief%d sleep 0.01", round)
		c.send("create half%d", round)
		time.Sleep(time.Duration(round) * 3 * time.Millisecond)
		c.die()
	}
	h := reopen(t, root)
	for round := range 8 {
		if st := h.inspect(fmt.Sprint("steady", round)).State; st.Status != container.Running {
			t.Errorf("steady%d: %+v", round, st)
		}
		if out, code := h.exec(fmt.Sprint("steady", round), "echo here"); code != 0 || out != "here\n" {
			t.Errorf("exec into steady%d: %d %q", round, code, out)
		}
		ending := fmt.Sprint("ending", round)
		until(t, "the end", func() bool { return !h.inspect(ending).State.Running() })
		if st := h.inspect(ending).State; st.ExitCode != 10+round {
			t.Errorf("%s: %+v", ending, st)
		}
		again := fmt.Sprint("again", round)
		until(t, "a restart", func() bool { return h.inspect(again).RestartCount > 0 })
		if c, err := h.engine.InspectContainer(context.Background(), fmt.Sprint("brief", round), false); err == nil {
			until(t, "the removal", func() bool {
				_, err := h.engine.InspectContainer(context.Background(), c.ID, false)
				return errs.Is(err, errs.NotFound)
			})
		}
	}
	// Everything that runs is known, and everything known can be removed:
	// tearDown compares with the kernel.
}

// What never ran is not taken for something whose end was not seen, wherever the
// daemon dies, and the next one too.
func TestAStartThatCameToNothingIsNoRun(t *testing.T) {
	for _, c := range []struct{ name, order, first string }{
		{"cut short before the fork", "wired box sleep 1000", "create"},
		{"cut short", "run box sleep 1000", "start"},
		{"failed", "missing box nothing", "delete"},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := newRoot(t)
			first := crash(t, root, dieAt+"="+c.first)
			first.send("%s", c.order)
			first.dead()
			if c.first == "start" { // the process waits at the keeper; whoever finds it dies, too
				begin(t, root, dieAt+"=delete").dead()
			}
			h := reopen(t, root)
			if st := h.inspect("box").State; st.Status != container.Created || st.ExitCode == 255 {
				t.Errorf("it never ran, and is %+v", st)
			}
		})
	}
}

// Of a volume whose making was cut short before its record nothing is left; what
// has files in it is not touched.
func TestVolumesMadeInPartGoAtTheNextStart(t *testing.T) {
	t.Parallel()
	root := newRoot(t)
	h := reopen(t, root)
	folder := func(digit string) string { return filepath.Join(h.layout.Volumes(), strings.Repeat(digit, 64)) }
	for _, digit := range []string{"a", "b", "c"} {
		must(t, os.MkdirAll(filepath.Join(folder(digit), "_data"), 0o755))
	}
	must(t, os.Remove(filepath.Join(folder("b"), "_data")))
	must(t, os.WriteFile(filepath.Join(folder("c"), "_data", "file"), nil, 0o600))
	h.close()
	h = reopen(t, root)
	for digit, stays := range map[string]bool{"a": false, "b": false, "c": true} {
		if _, err := os.Stat(folder(digit)); (err == nil) != stays {
			t.Errorf("%s: %v, stays: %v", digit, err, stays)
		}
	}
}
