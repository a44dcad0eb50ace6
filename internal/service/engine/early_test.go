package engine_test

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"lus/internal/base/errs"
	"lus/internal/linux/network"
	"lus/internal/linux/runtime"
	"lus/internal/model/container"
	model "lus/internal/model/network"
	"lus/internal/service/engine"
)

// plugs and forks tell when the networks are joined and when the process is made,
// and keep the second until the first is done.
type plugs struct {
	engine.Network
	joined chan struct{}
}

func (p plugs) Attach(ctx context.Context, netns *os.File, eps ...network.Endpoint) error {
	defer close(p.joined)
	return p.Network.Attach(ctx, netns, eps...)
}

type forks struct {
	runtime.Runtime
	joined chan struct{}
	err    error
}

func (f forks) Create(ctx context.Context, c *runtime.Container) (*runtime.Process, error) {
	select {
	case <-f.joined:
	case <-time.After(long):
		return nil, errors.New("the networks wait for the process")
	}
	if f.err != nil {
		return nil, f.err
	}
	return f.Runtime.Create(ctx, c)
}

// Networks do not wait for the process: it finds them joined.
func TestNetworksAreJoinedBeforeTheProcess(t *testing.T) {
	t.Parallel()
	joined := make(chan struct{})
	h := start(t, func(d *engine.Deps) {
		d.Network, d.Runtime = plugs{d.Network, joined}, forks{d.Runtime, joined, nil}
	})
	_, _, err := h.engine.CreateNetwork(limited(t), &model.Network{Name: "app"})
	must(t, err)
	id := h.run("web", "sleep 1000", onNetwork("app"))
	ip := h.inspect(id).Networks["app"].IPAddress
	if _, err := netip.ParseAddr(ip); err != nil {
		t.Fatal(err)
	}
	if out, code := h.exec(id, "ip addr show; ip route"); code != 0 || !strings.Contains(out, ip) || !strings.Contains(out, "default via") || !strings.Contains(out, "127.0.0.1") {
		t.Errorf("%d: %s", code, out)
	}
}

// awaited is a network whose namespaces are there once the process is being made.
type awaited struct {
	engine.Network
	forking chan struct{}
}

func (a awaited) Namespace() (*os.File, error) {
	select {
	case <-a.forking:
		return a.Network.Namespace()
	case <-time.After(long):
		return nil, errors.New("the process waits for its namespace before anything of it is made")
	}
}

type announced struct {
	runtime.Runtime
	forking chan struct{}
}

func (a announced) Create(ctx context.Context, c *runtime.Container) (*runtime.Process, error) {
	close(a.forking)
	return a.Runtime.Create(ctx, c)
}

// Nor does what else a process needs wait for the namespace.
func TestAProcessIsBegunBesideItsNamespace(t *testing.T) {
	t.Parallel()
	forking := make(chan struct{})
	h := start(t, func(d *engine.Deps) {
		d.Network, d.Runtime = awaited{d.Network, forking}, announced{d.Runtime, forking}
	})
	id := h.run("web", "sleep 1000", onNetwork("bridge"))
	if out, code := h.exec(id, "ip addr show"); code != 0 || !strings.Contains(out, h.inspect(id).Networks["bridge"].IPAddress) {
		t.Errorf("%d: %s", code, out)
	}
}

// counted counts the namespaces that were made.
type counted struct {
	engine.Network
	made chan *os.File
}

func (c counted) Namespace() (*os.File, error) {
	f, err := c.Network.Namespace()
	c.made <- f
	return f, err
}

func closed(f *os.File) func() bool {
	return func() bool {
		_, err := f.Stat()
		return errors.Is(err, os.ErrClosed)
	}
}

// A container that will be started next has its namespace made meanwhile; one that
// is made and never started, or cannot be made, gives it back.
func TestTheNamespaceOfTheNextStartIsMadeAtOnce(t *testing.T) {
	t.Parallel()
	made := make(chan *os.File, 9)
	h := start(t, func(d *engine.Deps) { d.Network = counted{d.Network, made} })
	ctx := limited(t)
	next := func(r *container.CreateRequest) { r.Starts = true; r.HostConfig.NetworkMode = "bridge" }
	id := h.create("web", "sleep 1000", next)
	early := <-made
	must(t, h.engine.StartContainer(ctx, id))
	if out, code := h.exec(id, "ip addr show"); code != 0 || !strings.Contains(out, h.inspect(id).Networks["bridge"].IPAddress) {
		t.Errorf("%d: %s", code, out)
	}
	until(t, "the end of the file", closed(early))
	if len(made) > 0 {
		t.Error("a second namespace was made for the start")
	}
	never := h.create("never", "true", next)
	unused := <-made
	until(t, "the giving up", closed(unused))
	must(t, h.engine.StartContainer(ctx, never))
	<-made // one of its own
	req := request("true")
	next(req)
	req.Files = strings.NewReader(strings.Repeat("no tar", 500))
	if _, err := h.engine.CreateContainer(ctx, "", req); err == nil {
		t.Fatal("it could be made")
	}
	failed := <-made
	until(t, "the end of what could not be made", closed(failed))
}

// A process that cannot be made leaves nothing of the networks that were joined
// for it.
func TestAProcessThatFailsLeavesNoNetwork(t *testing.T) {
	t.Parallel()
	joined := make(chan struct{})
	h := start(t, func(d *engine.Deps) {
		d.Network = plugs{d.Network, joined}
		d.Runtime = forks{d.Runtime, joined, errs.New(errs.Internal, "no process today")}
	})
	ctx := limited(t)
	_, _, err := h.engine.CreateNetwork(ctx, &model.Network{Name: "app"})
	must(t, err)
	id := h.create("web", "sleep 1000", onNetwork("app"), published("", "80/tcp"))
	if err := h.engine.StartContainer(ctx, id); err == nil || !strings.Contains(err.Error(), "no process today") {
		t.Fatalf("started: %v", err)
	}
	c := h.inspect(id)
	if c.State.Status != container.Created || c.State.ExitCode != 128 || c.Networks["app"].IPAddress != "" {
		t.Errorf("state %+v, address %q", c.State, c.Networks["app"].IPAddress)
	}
	must(t, h.nets.Settle(ctx))
	out, err := exec.Command("ip", "-d", "link").CombinedOutput()
	must(t, err)
	if strings.Contains(string(out), ":"+id) {
		t.Errorf("left behind:\n%s", out)
	}
}
