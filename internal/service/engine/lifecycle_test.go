package engine_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"lus/internal/base/errs"
	"lus/internal/model/container"
)

func TestRunToTheEnd(t *testing.T) {
	h := start(t)
	out, code := h.output("echo out; echo err >&2; exit 7")
	if code != 7 || !strings.Contains(out, "out\n") || !strings.Contains(out, "err\n") {
		t.Errorf("code %d, output %q", code, out)
	}
	if _, code := h.output("sh -c 'kill -9 $$'; exit $?"); code != 137 {
		t.Errorf("killed by signal 9: %d", code)
	}
	id := h.create("again", "echo once more")
	for range 3 {
		must(t, h.engine.StartContainer(context.Background(), "again"))
		if x := h.wait(id, ""); x.Code != 0 {
			t.Fatalf("%+v", x)
		}
	}
	if got := h.logs(id); got != strings.Repeat("once more\n", 3) {
		t.Errorf("three runs wrote %q", got)
	}
}

func TestACommandThatCannotRun(t *testing.T) {
	h := start(t)
	for cmd, want := range map[string]struct {
		code int
		kind errs.Kind
		text string
	}{
		"/no/such":    {127, errs.CommandNotFound, "no such file or directory"},
		"nosuchthing": {127, errs.CommandNotFound, "executable file not found"},
		"/etc/passwd": {126, errs.CommandNotExecutable, "permission denied"},
	} {
		id := h.create("", "", func(r *container.CreateRequest) { r.Cmd = container.Strings{cmd} })
		err := h.engine.StartContainer(context.Background(), id)
		if !errs.Is(err, want.kind) || !strings.Contains(err.Error(), want.text) {
			t.Errorf("%s: %v", cmd, err)
		}
		if st := h.inspect(id).State; st.ExitCode != want.code || st.Error == "" || st.Running() {
			t.Errorf("%s: state %+v", cmd, st)
		}
		if err := h.engine.RemoveContainer(context.Background(), id, container.RemoveOptions{}); err != nil {
			t.Error(err)
		}
	}
	must(t, h.engine.Settle(context.Background()))
	h.clean()
}

func TestAutoRemoveLeavesNothing(t *testing.T) {
	h := start(t)
	id := h.create("brief", "exit 3", func(r *container.CreateRequest) { r.HostConfig.AutoRemove = true })
	gone, err := h.engine.WaitContainer(limited(t), id, "removed")
	must(t, err)
	must(t, h.engine.StartContainer(context.Background(), id))
	if x := h.exit(gone); x.Code != 3 {
		t.Errorf("exit %+v", x)
	}
	// The name is free the moment the exit is reported.
	again := h.create("brief", "true", func(r *container.CreateRequest) { r.HostConfig.AutoRemove = true })
	gone, err = h.engine.WaitContainer(limited(t), again, "removed")
	must(t, err)
	must(t, h.engine.StartContainer(context.Background(), again))
	h.exit(gone)
	must(t, h.engine.Settle(context.Background()))
	h.clean()
	if _, err := h.engine.InspectContainer(context.Background(), id, false); !errs.Is(err, errs.NotFound) {
		t.Errorf("it is still there: %v", err)
	}
}

func TestStopKillPause(t *testing.T) {
	h := start(t)
	ctx := limited(t)
	graceful := h.run("graceful", "trap 'echo bye; exit 5' TERM; echo trapped; while :; do sleep 0.02; done")
	until(t, "the trap", func() bool { return strings.Contains(h.logs(graceful), "trapped") })
	must(t, h.engine.StopContainer(ctx, graceful, "", nil))
	if st := h.inspect(graceful).State; st.ExitCode != 5 || st.Status != container.Exited {
		t.Errorf("after stop: %+v", st)
	}
	if err := h.engine.StopContainer(ctx, graceful, "", nil); !errs.Is(err, errs.NotModified) {
		t.Errorf("stopping twice: %v", err)
	}

	deaf := h.run("deaf", "trap '' TERM; while :; do sleep 0.02; done")
	soon := 0
	must(t, h.engine.StopContainer(ctx, deaf, "", &soon))
	if st := h.inspect(deaf).State; st.ExitCode != 137 {
		t.Errorf("a deaf process: %+v", st)
	}

	frozen := h.run("frozen", "sleep 1000")
	must(t, h.engine.PauseContainer(ctx, frozen))
	if st := h.inspect(frozen).State; st.Status != container.Paused {
		t.Errorf("paused: %+v", st)
	}
	if _, err := h.engine.CreateExec(ctx, frozen, &container.ExecConfig{Cmd: container.Strings{"true"}}); !errs.Is(err, errs.Conflict) {
		t.Errorf("exec into a paused container: %v", err)
	}
	must(t, h.engine.UnpauseContainer(ctx, frozen))
	must(t, h.engine.PauseContainer(ctx, frozen))
	must(t, h.engine.KillContainer(ctx, frozen, ""))
	if st := h.inspect(frozen).State; st.ExitCode != 137 || st.Status != container.Exited {
		t.Errorf("killed while paused: %+v", st)
	}
	if err := h.engine.KillContainer(ctx, frozen, ""); !errs.Is(err, errs.Conflict) {
		t.Errorf("killing the dead: %v", err)
	}
	if err := h.engine.KillContainer(ctx, frozen, "SIGNONSENSE"); !errs.Is(err, errs.Invalid) {
		t.Errorf("an unknown signal: %v", err)
	}
}

func TestNamesAreTakenAndGivenBack(t *testing.T) {
	h := start(t)
	ctx := limited(t)
	id := h.create("web", "true")
	_, err := h.engine.CreateContainer(ctx, "web", request("true"))
	want := `Conflict. The container name "/web" is already in use by container "` + id + `". You have to remove (or rename) that container to be able to reuse that name.`
	if !errs.Is(err, errs.Conflict) || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	must(t, h.engine.RenameContainer(ctx, "web", "old"))
	h.create("web", "true")
	if err := h.engine.RenameContainer(ctx, "old", "web"); !errs.Is(err, errs.Conflict) {
		t.Errorf("renaming to a taken name: %v", err)
	}
	if got := h.inspect(id[:12]).Name; got != "old" {
		t.Errorf("by its short id it is %q", got)
	}
	for _, bad := range []string{"a b", "../x", "-x", "ä"} {
		if _, err := h.engine.CreateContainer(ctx, bad, request("true")); !errs.Is(err, errs.Invalid) {
			t.Errorf("name %q: %v", bad, err)
		}
	}
	if _, err := h.engine.CreateContainer(ctx, "", &container.CreateRequest{Config: container.Config{Image: "nope"}}); !errs.Is(err, errs.NotFound) {
		t.Errorf("an unknown image: %v", err)
	}
	h.run("busy", "sleep 1000")
	if err := h.engine.RemoveContainer(ctx, "busy", container.RemoveOptions{}); !errs.Is(err, errs.Conflict) {
		t.Errorf("removing what runs: %v", err)
	}
}

func TestWhatTheProcessSees(t *testing.T) {
	h := start(t)
	for line, want := range map[string]string{
		"echo $FROM $X $HOME":      "image x /root",
		"hostname":                 "box",
		"cat /etc/hostname":        "box",
		"pwd":                      "/srv/dir",
		"id -u; id -g":             "65534\n65534",
		"touch /x 2>&1":            "touch: /x: Read-only file system",
		"touch /tmp/x && echo yes": "yes",
		"ulimit -n":                "123",
		"cat /proc/1/status | grep -c NoNewPrivs:.1": "1",
		"set -- /proc/[0-9]*; echo $#":               "1", // the shell, in a pid namespace of its own
		"grep -c :1:cpu /proc/self/cgroup || true":   "0",
	} {
		user := strings.HasPrefix(line, "id")
		out, _ := h.output(line, func(r *container.CreateRequest) {
			r.Env, r.Hostname, r.WorkingDir = []string{"X=x"}, "box", "/srv/dir"
			r.HostConfig.Ulimits = []container.Ulimit{{Name: "nofile", Soft: 123, Hard: 456}}
			r.HostConfig.SecurityOpt = []string{"no-new-privileges"}
			r.HostConfig.Tmpfs = map[string]string{"/tmp": ""}
			if user {
				r.User = "nobody"
			}
			if strings.HasPrefix(line, "touch") {
				r.WorkingDir, r.HostConfig.ReadonlyRootfs = "/", true
			}
		})
		if got := strings.TrimSpace(out); got != want {
			t.Errorf("%s:\n got %q\nwant %q", line, got, want)
		}
	}
}

// Whoever kills a container while it ends hears of that end; nobody is left
// waiting for the end of a run that has not begun.
func TestKillsAtTheMomentOfTheEndAllReturn(t *testing.T) {
	t.Parallel()
	h := start(t)
	ctx := limited(t)
	id := h.create("brief", "sleep 60")
	for range 30 {
		must(t, h.engine.StartContainer(ctx, id))
		var all sync.WaitGroup
		for range 16 {
			all.Go(func() {
				for {
					err := h.engine.KillContainer(ctx, id, "")
					if errs.Is(err, errs.Conflict) {
						return
					}
					if err != nil {
						t.Errorf("kill: %v", err)
						return
					}
				}
			})
		}
		all.Wait()
	}
}

// A container that its own end removes is not started once more by who asks just
// then: nobody would know of that run.
func TestNothingStartsWhatItsEndRemoves(t *testing.T) {
	t.Parallel()
	h := start(t)
	ctx := limited(t)
	for range 40 {
		id := h.run("", "exit 0", func(r *container.CreateRequest) { r.HostConfig.AutoRemove = true })
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				for {
					err := h.engine.StartContainer(ctx, id)
					switch {
					case errs.Is(err, errs.NotModified):
						continue
					case err == nil:
						t.Errorf("%s was started again", id)
					case !errs.Is(err, errs.NotFound) && !errs.Is(err, errs.Conflict):
						t.Errorf("starting it again: %v", err)
					}
					return
				}
			})
		}
		all.Wait()
	}
}

// What a frozen process would have done next it does not do when it is killed.
func TestAKilledFrozenContainerDoesNothingMore(t *testing.T) {
	t.Parallel()
	h := start(t)
	ctx := limited(t)
	for i, kill := range []func(id string) error{
		func(id string) error { return h.engine.KillContainer(ctx, id, "") },
		func(id string) error {
			now := 0
			return h.engine.StopContainer(ctx, id, "KILL", &now)
		},
	} {
		name := fmt.Sprint("frozen", i)
		id := h.run(name, "i=0; while :; do i=$((i+1)); echo $i >>/count; done")
		count := func() int64 {
			info, err := os.Stat(filepath.Join(h.layout.Container(id), "upper", "count"))
			if err != nil {
				return 0
			}
			return info.Size()
		}
		until(t, "it writes", func() bool { return count() > 0 })
		must(t, h.engine.PauseContainer(ctx, id))
		before := count()
		must(t, kill(id))
		if after := count(); after != before {
			t.Errorf("%s wrote %d bytes more", name, after-before)
		}
	}
}
