package keeper_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lus/internal/base/errs"
	"lus/internal/keeper/client"
	"lus/internal/model/task"
)

// numbered is a script that prints n numbered lines, a line at a time.
func numbered(n int, pause string) string {
	return fmt.Sprintf("i=0; while [ $i -lt %d ]; do echo $i; i=$((i+1)); %s done; exit 17", n, pause)
}

func checkNumbered(t *testing.T, out string, n int) {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	if len(lines) != n {
		t.Errorf("%d lines, want %d", len(lines), n)
	}
	for i, l := range lines {
		if l != strconv.Itoa(i) {
			t.Fatalf("line %d is %q", i, l)
		}
	}
}

func TestOutputOutlivesItsClients(t *testing.T) {
	b := start(t)
	b.run(b.logged("busy"), numbered(20_000, ""))
	for range 20 {
		c, err := client.Connect(t.Context(), b.where.KeeperSocket())
		if err != nil {
			t.Fatal(err)
		}
		_ = c.Close()
	}
	if exit := b.end(key("busy")); exit.Code != 17 {
		t.Errorf("%+v", exit)
	}
	out, _, _ := b.output("busy")
	checkNumbered(t, out, 20_000)
}

func TestUpgradeLosesNothing(t *testing.T) {
	b := start(t)
	const busy = 8
	for i := range busy {
		b.run(b.logged("busy"+strconv.Itoa(i)), numbered(5_000, ""))
	}
	in := b.logged("in")
	in.Streams.Stdin = true
	b.run(in, "cat; exit 3")
	tty := b.logged("tty")
	tty.Streams.Kind = task.StreamTerminal
	b.run(tty, "read line; echo got $line; exit 4")
	tied := b.logged("tied")
	tied.Tied = true
	b.run(tied, "exec sleep 60")
	b.run(b.logged("ended"), "exit 5")
	b.end(key("ended"))
	waiting := b.logged("waiting")
	if _, err := b.Create(t.Context(), waiting, script(t, "exit 6", nil)); err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Hold(t.Context(), "port 80", w); err != nil {
		t.Fatal(err)
	}
	w.Close()

	pid := b.Greeting().Pid
	other := b.connect() // stays connected throughout, as does one that watches
	told := make(chan string, 100)
	watcher := b.connect()
	go func() { _ = watcher.Watch(t.Context(), func(s task.Status) { told <- s.Container }) }()
	for i := range 10 {
		if err := b.Upgrade(t.Context(), b.self, b.self, "--run", b.where.Run, "--root", b.where.Root); err != nil {
			t.Fatal(err)
		}
		if g := b.Greeting(); g.Pid != pid || g.Generation != i+1 {
			t.Fatalf("%+v after %d upgrades of %d", g, i+1, pid)
		}
	}
	ends := map[string]int{"in": 3, "tty": 4, "ended": 5, "waiting": 6}
	for i := range busy {
		ends["busy"+strconv.Itoa(i)] = 17
	}
	for _, name := range []string{"in", "tty"} {
		f, err := b.Stdin(t.Context(), key(name))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(f, "typed")
		f.Close()
	}
	if err := other.CloseStdin(t.Context(), key("in")); err != nil {
		t.Fatal(err)
	}
	if _, err := other.Go(t.Context(), waiting.Key); err != nil {
		t.Fatal(err)
	}
	for name, code := range ends {
		if exit := b.endOf(other, key(name)).Exit; exit.Code != code {
			t.Errorf("%s: %+v, want %d", name, exit, code)
		}
	}
	for i := range busy {
		out, _, _ := b.output("busy" + strconv.Itoa(i))
		checkNumbered(t, out, 5_000)
	}
	for missing := len(ends); missing > 0; {
		if name := <-told; ends[name] != 0 {
			ends[name] = 0
			missing--
		}
	}
	if out, _, _ := b.output("tty"); !strings.Contains(out, "got typed") {
		t.Errorf("terminal: %q", out)
	}
	files, err := b.Take(t.Context(), "port 80")
	if err != nil || len(files) != 1 {
		t.Fatalf("held: %v, %v", files, err)
	}
	fmt.Fprint(files[0], "held")
	files[0].Close()
	if err := b.Drop(t.Context(), "port 80"); err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	if _, err := got.ReadFrom(r); err != nil || got.String() != "held" {
		t.Errorf("through the held pipe: %q, %v", got.String(), err)
	}
	r.Close()
}

func TestAnUpgradeToNonsenseIsRefused(t *testing.T) {
	b := start(t)
	b.run(b.logged("c"), "exec sleep 60")
	for _, program := range []string{"/bin/false", "/etc/passwd"} {
		if err := b.Upgrade(t.Context(), program, program); err == nil {
			t.Errorf("%s: no error", program)
		}
	}
	if list, err := b.List(t.Context()); err != nil || len(list) != 1 || list[0].Phase != task.Running {
		t.Errorf("%+v, %v", list, err)
	}
}

func TestAKilledKeeperLeavesNobodyUnaccountedFor(t *testing.T) {
	b := start(t)
	running := b.run(b.logged("running"), "exec sleep 600")
	waiting, err := b.Create(t.Context(), b.logged("waiting"), script(t, "exit 0", nil))
	if err != nil {
		t.Fatal(err)
	}
	b.run(b.logged("ended"), "exit 5")
	b.end(key("ended"))
	// A record of a killed write, and one of a process that is somebody else by now.
	records := filepath.Join(b.where.Run, "keeper")
	for name, text := range map[string]string{"torn": "123", "other": fmt.Sprintf("%-95s\n{}", fmt.Sprintf("%d 1 x", os.Getpid()))} {
		if err := os.WriteFile(filepath.Join(records, name+".json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Kill(b.Greeting().Pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-b.Done()
	if _, err := b.List(t.Context()); !errs.Is(err, errs.Unavailable) {
		t.Errorf("a dead keeper answers %v", err)
	}
	_ = b.Close()
	b.ensure()
	for _, pid := range []int{running.Pid, waiting.Pid} {
		waitGone(t, pid)
	}
	list, err := b.List(t.Context())
	if err != nil || len(list) != 5 {
		t.Fatalf("%+v, %v", list, err)
	}
	for _, s := range list {
		want := task.ExitUnknown
		if s.Container == "ended" {
			want = 5
		}
		if s.Phase != task.Ended || s.Exit.Code != want || (want < 0 && s.Exit.Step == "") {
			t.Errorf("%+v %+v", s, s.Exit)
		}
	}
}

func TestTwoAtOnceStartOneKeeper(t *testing.T) {
	b := start(t)
	if err := b.Quit(t.Context()); err != nil {
		t.Fatal(err)
	}
	<-b.Done()
	_ = b.Close()
	waitGone(t, b.Greeting().Pid)
	clients := make([]*client.Client, 4)
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() {
			c, err := client.Ensure(t.Context(), b.where, b.self)
			if err != nil {
				t.Error(err)
				return
			}
			clients[i] = c
		})
	}
	wg.Wait()
	for _, c := range clients {
		if c == nil {
			t.FailNow()
		}
		if c.Greeting().Pid != clients[0].Greeting().Pid {
			t.Error("two keepers")
		}
	}
	for _, c := range clients[1:] {
		_ = c.Close()
	}
	b.Client = clients[0]
	if out, err := exec.Command(b.self, "--run", b.where.Run, "--root", b.where.Root).CombinedOutput(); err == nil || !bytes.Contains(out, []byte("already")) {
		t.Errorf("a second keeper by hand: %v, %s", err, out)
	}
}

func TestTheKeeperDoesNotEndWhileSomethingRuns(t *testing.T) {
	b := start(t)
	b.run(b.logged("c"), "exec sleep 60")
	if err := b.Quit(t.Context()); !errs.Is(err, errs.Conflict) {
		t.Errorf("quit: %v", err)
	}
	for _, sig := range []unix.Signal{unix.SIGTERM, unix.SIGHUP, unix.SIGINT} {
		if err := unix.Kill(b.Greeting().Pid, sig); err != nil {
			t.Fatal(err)
		}
	}
	if list, err := b.List(t.Context()); err != nil || len(list) != 1 {
		t.Fatalf("%+v, %v", list, err)
	}
	if err := b.Delete(t.Context(), key("c")); err != nil {
		t.Fatal(err)
	}
	for _, sig := range []unix.Signal{unix.SIGHUP, unix.SIGINT, unix.SIGTERM} {
		if err := unix.Kill(b.Greeting().Pid, sig); err != nil {
			t.Fatal(err)
		}
	}
	<-b.Done()
	waitGone(t, b.Greeting().Pid)
	b.ensure()
}

func TestAKilledClientLeavesWholeProcesses(t *testing.T) {
	b := start(t)
	for i := range 20 {
		c := b.connect()
		created := b.logged("c" + strconv.Itoa(i))
		f := script(t, "exit 8", nil)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = c.Create(ctx, created, f)
		}()
		time.Sleep(time.Duration(i) * 50 * time.Microsecond)
		_ = c.Close()
		cancel()
		<-done
		// The next client asks again, gets the same or a new one, and goes on.
		if _, err := b.Create(t.Context(), created, f); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Go(t.Context(), created.Key); err != nil {
			t.Fatal(err)
		}
		if exit := b.end(created.Key); exit.Code != 8 {
			t.Errorf("%+v", exit)
		}
	}
}

func TestAThousandExits(t *testing.T) {
	b := start(t)
	const n = 300
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		b.run(&task.Create{Key: key("c" + strconv.Itoa(i)), Streams: task.Streams{Kind: task.StreamGiven}},
			"read x; (exit 0) & (exit 0) & exit "+strconv.Itoa(i%256), r, os.Stderr, os.Stderr)
	}
	w.Close() // all of them, and two orphans of each, end at once
	r.Close()
	ctx, cancel := context.WithTimeout(t.Context(), long)
	defer cancel()
	got := map[string]int{}
	err = b.Watch(ctx, func(s task.Status) {
		got[s.Container] = s.Exit.Code
		if len(got) == n {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("%d ends, %v", len(got), err)
	}
	for i := range n {
		if code := got["c"+strconv.Itoa(i)]; code != i%256 {
			t.Errorf("%d: %d", i, code)
		}
	}
	list, err := b.List(t.Context())
	if err != nil || len(list) != n {
		t.Fatalf("%d, %v", len(list), err)
	}
	for _, s := range list {
		if err := b.Ack(t.Context(), s.Key, s.Generation); err != nil {
			t.Error(err)
		}
	}
}

// readOnce is what the keeper writes as one record at most.
const readOnce = 128 << 10

func TestMemoryOfManyIdleProcesses(t *testing.T) {
	b := start(t)
	const n = 200
	empty := pss(t, b.Greeting().Pid)
	for i := range n {
		b.run(b.logged("c"+strconv.Itoa(i)), "exec sleep 600")
	}
	full := pss(t, b.Greeting().Pid)
	t.Logf("PSS of the keeper: %d kB empty, %d kB with %d processes", empty, full, n)
}

func pss(t testing.TB, pid int) int {
	t.Helper()
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/smaps_rollup")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "Pss:" {
			n, err := strconv.Atoi(f[1])
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	return 0
}
