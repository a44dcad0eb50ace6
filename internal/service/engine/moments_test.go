package engine_test

import (
	"context"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"lus/internal/base/errs"
	"lus/internal/linux/runtime"
	"lus/internal/model/container"
	model "lus/internal/model/network"
	"lus/internal/model/task"
	"lus/internal/service/engine"
)

// gate holds up a call, where it is shut, until it is opened.
type gate struct {
	mu      sync.Mutex
	arrived chan struct{} // nil: open
	open    chan struct{}
}

// shut makes the next call wait.
func (g *gate) shut() (arrived <-chan struct{}, open func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.arrived, g.open = make(chan struct{}), make(chan struct{})
	return g.arrived, sync.OnceFunc(func() { close(g.open) })
}

func (g *gate) pass() {
	g.mu.Lock()
	arrived, open := g.arrived, g.open
	g.arrived = nil
	g.mu.Unlock()
	if arrived != nil {
		close(arrived)
		<-open
	}
}

// gated is a runtime and a name server whose calls can be held up.
type gated struct {
	runtime.Runtime
	engine.Names
	create, remove, serve gate
	signalled             gate        // a signal was sent
	refuse                atomic.Bool // to create
}

func (g *gated) into(d *engine.Deps) {
	g.Runtime, g.Names = d.Runtime, d.Names
	d.Runtime, d.Names = gatedRuntime{g.Runtime, g}, gatedNames{g.Names, g}
}

type gatedRuntime struct {
	runtime.Runtime
	g *gated
}

func (r gatedRuntime) Create(ctx context.Context, c *runtime.Container) (*runtime.Process, error) {
	r.g.create.pass()
	if r.g.refuse.Load() {
		return nil, errs.New(errs.Unavailable, "the test refuses")
	}
	return r.Runtime.Create(ctx, c)
}

func (r gatedRuntime) Delete(ctx context.Context, id string) error {
	r.g.remove.pass()
	return r.Runtime.Delete(ctx, id)
}

func (r gatedRuntime) Signal(ctx context.Context, k task.Key, sig int) error {
	err := r.Runtime.Signal(ctx, k, sig)
	r.g.signalled.pass()
	return err
}

type gatedNames struct {
	engine.Names
	g *gated
}

func (n gatedNames) Serve(ctx context.Context, id string, netns *os.File, networks, upstream []string) error {
	err := n.Names.Serve(ctx, id, netns, networks, upstream)
	n.g.serve.pass()
	return err
}

// secondTime is a program that fails at once and stays when it is started again.
const secondTime = "test -e /again && exec sleep 1000; touch /again; exit 1"

// A stop that comes while the restart policy starts the container stops what is
// being started, also when it gives no time.
func TestAStopDuringARestartStopsIt(t *testing.T) {
	t.Parallel()
	var g gated
	h := start(t, g.into)
	ctx := limited(t)
	id := h.create("again", secondTime, policy("always", 0))
	over := h.next(id)
	must(t, h.engine.StartContainer(ctx, id))
	arrived, open := g.create.shut()
	defer open()
	h.exit(over)
	<-arrived
	stopped := make(chan error, 1)
	go func() { now := 0; stopped <- h.engine.StopContainer(ctx, id, "", &now) }()
	until(t, "the stop to be noted", func() bool { return h.inspect(id).ManuallyStopped })
	open()
	must(t, <-stopped)
	if st := h.inspect(id).State; st.Status != container.Exited {
		t.Errorf("stopped, and is %+v", st)
	}
}

// next is the end of the container's next run.
func (h *house) next(name string) <-chan container.Exit {
	h.t.Helper()
	ch, err := h.engine.WaitContainer(limited(h.t), name, "next-exit")
	must(h.t, err)
	return ch
}

// Whoever waits for a container that is between two starts, or follows its
// output, hears when a stop ends that.
func TestAStopBetweenRestartsEndsWaiting(t *testing.T) {
	t.Parallel()
	h := start(t)
	ctx := limited(t)
	id := h.run("failing", "echo here; exit 3", policy("always", 0))
	between := func() bool {
		c := h.inspect(id)
		return c.State.Status == container.Restarting && c.RestartCount >= 4 // the pause is long by then
	}
	until(t, "a long pause between starts", between)
	ch, err := h.engine.WaitContainer(ctx, id, "not-running")
	must(t, err)
	follower, _, err := h.engine.Logs(ctx, id, container.LogOptions{Stdout: true, Follow: true, Tail: -1})
	must(t, err)
	defer follower.Close()
	must(t, h.engine.StopContainer(ctx, id, "", nil))
	if x := h.exit(ch); x.Code != 3 {
		t.Errorf("it ended with %+v", x)
	}
	if out := readAll(t, follower); !strings.HasPrefix(out, "here\n") {
		t.Errorf("followed: %q", out)
	}
}

// A start by hand takes the place of the one that the policy was about to make.
func TestAStartByHandIsNotFollowedByThePolicys(t *testing.T) {
	t.Parallel()
	var g gated
	h := start(t, g.into)
	ctx := limited(t)
	id := h.create("again", secondTime, policy("always", 0))
	arrived, open := g.remove.shut()
	defer open()
	over := h.next(id)
	must(t, h.engine.StartContainer(ctx, id))
	h.exit(over)
	<-arrived // its end is cleaned up, after which its restart is due
	started := make(chan error, 1)
	go func() { started <- h.engine.StartContainer(ctx, id) }()
	until(t, "the start by hand", func() bool { return h.inspect(id).RestartCount == 0 })
	open()
	must(t, <-started)
	// The policy's start would come after a tenth of a second.
	for end := time.Now().Add(500 * time.Millisecond); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if st := h.inspect(id).State; st.Status != container.Running {
			t.Fatalf("it runs, and is %+v", st)
		}
	}
}

// What is told of a container comes in the order in which it happened, however
// long each word takes.
func TestEventsComeInTheOrderOfWhatHappened(t *testing.T) {
	slow := func(d *engine.Deps) {
		d.Now = func() time.Time {
			time.Sleep(10 * time.Millisecond)
			return time.Now()
		}
	}
	h := start(t, slow)
	ctx, cancel := context.WithCancel(limited(t))
	defer cancel()
	_, _, err := h.engine.CreateNetwork(ctx, &model.Network{Name: "app"})
	must(t, err)
	events, err := h.engine.Events(ctx, time.Time{}, time.Time{}, map[string][]string{"type": {"container"}})
	must(t, err)
	id := h.create("brief", "true", onNetwork("app"), binds("kept:/v"))
	must(t, h.engine.StartContainer(ctx, id))
	until(t, "its end", func() bool { return !h.inspect(id).State.Running() })
	must(t, h.engine.RemoveContainer(ctx, id, container.RemoveOptions{}))
	var told []string
	for _, want := range []string{"create", "start", "die", "destroy"} {
		select {
		case e := <-events:
			told = append(told, e.Action)
		case <-ctx.Done():
			t.Fatalf("no %s after %v", want, told)
		}
	}
	if got := strings.Join(told, " "); got != "create start die destroy" {
		t.Errorf("told: %s", got)
	}
}

// A container that ends while it is being connected to a network keeps nothing
// of it: no address, no interface, no name.
func TestAnEndDuringAConnectionLeavesNothingOfIt(t *testing.T) {
	var g gated
	h := start(t, g.into)
	ctx := limited(t)
	_, _, err := h.engine.CreateNetwork(ctx, &model.Network{Name: "app", IPAM: model.IPAM{Config: []model.Pool{{Subnet: "10.213.7.0/24"}}}})
	must(t, err)
	mine := &container.Endpoint{IPAMConfig: &container.EndpointIPAM{IPv4Address: "10.213.7.9"}}
	id := h.run("brief", "exec sleep 1000", onNetwork(model.Bridge))
	arrived, open := g.serve.shut()
	defer open()
	connected := make(chan error, 1)
	go func() { connected <- h.engine.ConnectNetwork(ctx, "app", id, mine) }()
	<-arrived
	must(t, h.engine.KillContainer(ctx, id, ""))
	open()
	if err := <-connected; err != nil {
		t.Log("the connection was refused:", err)
	}
	for name, ep := range h.inspect(id).Networks {
		if ep.IPAddress != "" || ep.EndpointID != "" {
			t.Errorf("ended, and on %s: %+v", name, ep)
		}
	}
	other := h.run("other", "exec sleep 1000", onNetwork(model.Bridge))
	if err := h.engine.ConnectNetwork(ctx, "app", other, mine); err != nil {
		t.Errorf("its address is not free: %v", err)
	}
	if out, code := h.exec(other, "nslookup brief 127.0.0.11"); code == 0 {
		t.Errorf("its name still leads somewhere:\n%s", out)
	}
	must(t, h.engine.StopContainer(ctx, other, "KILL", nil))
	must(t, h.engine.Settle(ctx))
	if left := h.traces(); strings.Contains(left, "link") {
		t.Errorf("left behind:\n%s", left)
	}
}

// What a container was killed by is told before its end, also where that is known
// before the answer that the signal was sent.
func TestAKillIsToldBeforeTheEnd(t *testing.T) {
	t.Parallel()
	var g gated
	h := start(t, g.into)
	ctx, cancel := context.WithCancel(limited(t))
	defer cancel()
	events, err := h.engine.Events(ctx, time.Time{}, time.Time{}, map[string][]string{"event": {"kill", "die", "start"}})
	must(t, err)
	id := h.run("one", "exec sleep 1000")
	over := h.next(id)
	arrived, open := g.signalled.shut()
	defer open()
	killed := make(chan error, 1)
	go func() { killed <- h.engine.KillContainer(ctx, id, "KILL") }()
	<-arrived
	h.exit(over)
	open()
	must(t, <-killed)
	must(t, h.engine.StartContainer(ctx, id))
	var told []string
	for len(told) < 4 {
		select {
		case e := <-events:
			told = append(told, e.Action)
		case <-ctx.Done():
			t.Fatalf("told were %q", told)
		}
	}
	if want := []string{"start", "kill", "die", "start"}; !slices.Equal(told, want) {
		t.Errorf("told were %q, want %q", told, want)
	}
}

// A restart that the policy wants and that fails is told of: whoever watches the
// container hears that it will not come back.
func TestARestartThatFailsIsTold(t *testing.T) {
	t.Parallel()
	var g gated
	h := start(t, g.into)
	ctx, cancel := context.WithCancel(limited(t))
	defer cancel()
	events, err := h.engine.Events(ctx, time.Time{}, time.Time{}, map[string][]string{"event": {"start", "die"}})
	must(t, err)
	id := h.create("again", "exit 3", policy("always", 0))
	over := h.next(id)
	must(t, h.engine.StartContainer(ctx, id))
	arrived, open := g.create.shut()
	defer open()
	h.exit(over)
	<-arrived
	g.refuse.Store(true)
	open()
	for _, want := range []string{"start", "die 3", "die 128"} {
		select {
		case e := <-events:
			if got := strings.TrimSpace(e.Action + " " + e.Actor.Attributes["exitCode"]); got != want {
				t.Fatalf("told: %s, want %s", got, want)
			}
		case <-ctx.Done():
			t.Fatalf("%s is not told", want)
		}
	}
	if st := h.inspect(id).State; st.Status != container.Exited || st.ExitCode != 128 {
		t.Errorf("it could not be started again, and is %+v", st)
	}
}

// The end of an exec is told by the time that its output ends.
func TestAnExecsEndIsToldBeforeItsOutputEnds(t *testing.T) {
	t.Parallel()
	slow := func(d *engine.Deps) {
		d.Now = func() time.Time {
			time.Sleep(10 * time.Millisecond)
			return time.Now()
		}
	}
	h := start(t, slow)
	h.run("box", "exec sleep 1000")
	before := time.Now()
	h.exec("box", "exit 4")
	events, err := h.engine.Events(limited(t), before, time.Now(), map[string][]string{"event": {"exec_die"}})
	must(t, err)
	if e, told := <-events; !told || e.Actor.Attributes["exitCode"] != "4" {
		t.Errorf("told: %v %+v", told, e)
	}
}

// A container that is being started while the name server is replaced has its
// names all the same.
func TestANewNameServerServesWhoIsBeingStarted(t *testing.T) {
	var g gated
	h := start(t, g.into)
	ctx := limited(t)
	_, _, err := h.engine.CreateNetwork(ctx, &model.Network{Name: "app"})
	must(t, err)
	id := h.create("web", "exec sleep 1000", onNetwork("app"))
	arrived, open := g.serve.shut()
	defer open()
	started := make(chan error, 1)
	go func() { started <- h.engine.StartContainer(ctx, id) }()
	<-arrived
	must(t, h.engine.ServeNames(ctx))
	open()
	must(t, <-started)
	must(t, h.engine.Settle(ctx))
	if out, code := h.exec(id, "nslookup web 127.0.0.11"); code != 0 {
		t.Errorf("it does not find itself:\n%s", out)
	}
}

// The volumes that were made for a container are gone when it is, for all that
// there is still to clean up.
func TestAnonymousVolumesGoAtOnce(t *testing.T) {
	t.Parallel()
	var g gated
	h := start(t, g.into)
	ctx := limited(t)
	own := func(r *container.CreateRequest) { r.Volumes = map[string]struct{}{"/own": {}} }
	auto := func(r *container.CreateRequest) { r.HostConfig.AutoRemove = true }
	for what, end := range map[string]func(id string){
		"a removal": func(id string) {
			must(t, h.engine.RemoveContainer(ctx, id, container.RemoveOptions{Force: true, Volumes: true}))
		},
		"its end": func(id string) {
			gone, err := h.engine.WaitContainer(ctx, id, "removed")
			must(t, err)
			must(t, h.engine.KillContainer(ctx, id, ""))
			h.exit(gone)
		},
	} {
		before := time.Now()
		id := h.run("", "exec sleep 1000", own, auto)
		arrived, open := g.remove.shut()
		end(id)
		<-arrived
		if list, err := h.engine.ListVolumes(ctx, nil); err != nil || len(list) != 0 {
			t.Errorf("after %s: %v, %d volumes", what, err, len(list))
		}
		events, err := h.engine.Events(ctx, before, time.Now(), map[string][]string{"event": {"destroy"}})
		must(t, err)
		var told []string
		for e := range events {
			told = append(told, e.Type)
		}
		if got := strings.Join(told, " "); got != "volume container" {
			t.Errorf("after %s these were told to be gone: %s", what, got)
		}
		open()
		must(t, h.engine.Settle(ctx))
		if left, err := os.ReadDir(h.layout.Volumes()); err != nil || len(left) != 0 {
			t.Errorf("after %s: %v, %d folders", what, err, len(left))
		}
	}
}

// held is a reader that nothing comes from until it is let go; then it is empty.
type held struct {
	*gate
}

func (r held) Read([]byte) (int, error) {
	r.pass()
	return 0, io.EOF
}

// A container that is being made has its name, and is seen when it is whole.
func TestAContainerIsSeenWhenItIsMade(t *testing.T) {
	t.Parallel()
	h := start(t)
	ctx := limited(t)
	var files gate
	arrived, open := files.shut()
	defer open()
	made := make(chan error, 1)
	go func() {
		req := request("true")
		req.Files = held{&files}
		_, err := h.engine.CreateContainer(ctx, "half", req)
		made <- err
	}()
	<-arrived
	if list, err := h.engine.ListContainers(ctx, container.ListOptions{All: true}); err != nil || len(list) != 0 {
		t.Errorf("half made, and listed: %v, %v", list, err)
	}
	if err := h.engine.StartContainer(ctx, "half"); !errs.Is(err, errs.NotFound) {
		t.Errorf("starting half a container: %v", err)
	}
	if _, err := h.engine.CreateContainer(ctx, "half", request("true")); !errs.Is(err, errs.Conflict) {
		t.Errorf("its name a second time: %v", err)
	}
	open()
	must(t, <-made)
	if st := h.inspect("half").State; st.Status != container.Created {
		t.Errorf("made, and is %+v", st)
	}
}

// A container that its end is to remove is removed by it after a restart too,
// however soon that comes.
func TestARestartedContainerIsStillRemovedByItsEnd(t *testing.T) {
	t.Parallel()
	h := start(t)
	ctx := limited(t)
	for range 20 {
		id := h.run("", "test -e /again && exit 0; touch /again; exec sleep 1000", func(r *container.CreateRequest) { r.HostConfig.AutoRemove = true })
		until(t, "its first run", func() bool { _, code := h.exec(id, "test -e /again"); return code == 0 })
		gone, err := h.engine.WaitContainer(ctx, id, "removed")
		must(t, err)
		must(t, h.engine.RestartContainer(ctx, id, "KILL", nil))
		h.exit(gone)
	}
}

// A kill at the moment of a pause ends the container all the same.
func TestAKillAtTheMomentOfAPauseEndsIt(t *testing.T) {
	t.Parallel()
	h := start(t)
	ctx := limited(t)
	id := h.create("paused", "sleep 60")
	for range 40 {
		must(t, h.engine.StartContainer(ctx, id))
		paused := make(chan error, 1)
		go func() { paused <- h.engine.PauseContainer(ctx, id) }()
		if err := h.engine.KillContainer(ctx, id, ""); err != nil {
			t.Fatal(err)
		}
		if err := <-paused; err != nil && !errs.Is(err, errs.Conflict) && !errs.Is(err, errs.NotFound) {
			t.Logf("pausing it: %v", err)
		}
		if st := h.inspect(id).State; st.Status != container.Exited || st.ExitCode != 137 {
			t.Fatalf("it is %+v", st)
		}
	}
}
