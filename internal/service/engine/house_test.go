package engine_test

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"lus/internal/base/errs"
	"lus/internal/base/layout"
	keeper "lus/internal/keeper/client"
	"lus/internal/linux/dns"
	"lus/internal/linux/network"
	"lus/internal/linux/runtime"
	"lus/internal/model/container"
	"lus/internal/model/image"
	"lus/internal/model/task"
	"lus/internal/service/engine"
	"lus/internal/store/sqlite"
	"lus/test/need"
)

// house is one instance: an engine with a real keeper, runtime, network and
// name server under a root of its own.
type house struct {
	layout layout.Layout
	keeper *keeper.Client
	rt     *runtime.Native
	nets   *network.Manager
	dns    *dns.Client
	db     *sqlite.DB
	engine *engine.Engine

	t     testing.TB
	stop  context.CancelFunc
	ended chan error
}

// images is one image, "busybox": a folder as its only layer.
type images struct{ root string }

const busyboxID = "sha256:0000000000000000000000000000000000000000000000000000000000000001"

func (i images) Resolve(_ context.Context, ref string) (*image.Image, error) {
	cfg := container.Config{Cmd: container.Strings{"sh"}, Env: []string{"PATH=/bin:/usr/bin", "FROM=image"}}
	switch ref {
	case "busybox", busyboxID:
	case "volumes":
		cfg.Volumes = map[string]struct{}{"/data": {}}
	default:
		return nil, errs.New(errs.NotFound, "No such image: %s", ref)
	}
	return &image.Image{ID: busyboxID, RepoTags: []string{"busybox:latest"}, Config: cfg}, nil
}

func (i images) InspectImage(ctx context.Context, ref string) (*image.Image, error) {
	img, err := i.Resolve(ctx, ref)
	if img != nil {
		img.Size = 1 << 20
	}
	return img, err
}

func (i images) Layers(context.Context, string) (*image.Layers, error) {
	return &image.Layers{ImageID: busyboxID, Dirs: []string{filepath.Join(i.root, "layer")}}, nil
}

func (i images) CommitImage(context.Context, *image.Commit) (string, error) {
	return "", errs.New(errs.Unsupported, "these images cannot be committed")
}

func (i images) Sweep(context.Context, []string) error { return nil }

// openHouse opens the instance at root; also the next one after a crash.
func openHouse(root string, change ...func(*engine.Deps)) (_ *house, err error) {
	ctx := context.Background()
	h := &house{layout: layout.Resolve(root, filepath.Join(root, "run"))}
	bin := os.Getenv(binDir)
	if h.keeper, err = keeper.Ensure(ctx, h.layout, filepath.Join(bin, "lus-keeper")); err != nil {
		return nil, err
	}
	if h.dns, err = dns.Ensure(ctx, h.layout.DNSSocket(), filepath.Join(bin, "lus-dns"), ""); err != nil {
		return nil, err
	}
	if h.rt, err = runtime.New(h.keeper); err != nil {
		return nil, err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	h.nets, err = network.New(network.Config{Instance: h.layout.Instance(), Log: log, LockDir: filepath.Join(root, "pools"), Holder: holder{h.keeper}, Name: h.name})
	if err != nil {
		return nil, err
	}
	if h.db, err = sqlite.Open(h.layout.Records(), engine.Migrations()); err != nil {
		return nil, err
	}
	deps := engine.Deps{Runtime: mortal(h.rt, h.db), Images: images{root}, Network: h.nets, Names: h.dns, Layout: h.layout, DB: h.db, Log: log}
	for _, fn := range change {
		fn(&deps)
	}
	h.engine, err = engine.New(deps)
	return h, err
}

// dieAt kills a process that runs an engine at a call of the runtime: "create",
// before it and with all written that is by then, "start", before it, or "delete",
// after it.
const dieAt = "LUS_ENGINE_TEST_DIE"

func mortal(rt runtime.Runtime, db *sqlite.DB) runtime.Runtime {
	if at := os.Getenv(dieAt); at != "" {
		return dying{rt, at, db}
	}
	return rt
}

type dying struct {
	runtime.Runtime
	at string
	db *sqlite.DB
}

func (d dying) Create(ctx context.Context, c *runtime.Container) (*runtime.Process, error) {
	if d.at == "create" {
		_, _ = c.NetNS()
		d.written(c.ID)
		d.die()
	}
	return d.Runtime.Create(ctx, c)
}

// written waits until the record says that the process may run.
func (d dying) written(id string) {
	for {
		var begun bool
		err := d.db.Read(context.Background(), func(tx *sql.Tx) error {
			return tx.QueryRow("SELECT record ->> 'Begun' FROM containers WHERE id = ?", id).Scan(&begun)
		})
		if err == nil && begun {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

func (d dying) Start(ctx context.Context, k task.Key) error {
	if d.at == "start" {
		d.die()
	}
	return d.Runtime.Start(ctx, k)
}

func (d dying) Delete(ctx context.Context, id string) error {
	err := d.Runtime.Delete(ctx, id)
	if d.at == "delete" {
		d.die()
	}
	return err
}

func (d dying) die() {
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}

// name tells the networks how people call a container.
func (h *house) name(id string) string {
	if h.engine != nil {
		if c, err := h.engine.InspectContainer(context.Background(), id, false); err == nil {
			return c.Name
		}
	}
	return ""
}

type holder struct{ *keeper.Client }

func (h holder) Hold(ctx context.Context, key string, files []*os.File) error {
	return h.Client.Hold(ctx, key, files...)
}

// newRoot is a root with an image, short because a socket's path ends at 107
// bytes. All that lives under it is ended with the test.
func newRoot(t testing.TB) string {
	t.Helper()
	need.Root(t)
	need.Program(t, "ip", "iproute2")
	root, err := os.MkdirTemp("", "lus-e-")
	if err != nil {
		t.Fatal(err)
	}
	must(t, os.Chmod(root, 0o755))
	rootfs := need.BusyboxRootfs(t)
	must(t, os.MkdirAll(filepath.Join(rootfs, "data/sub"), 0o755))
	must(t, os.WriteFile(filepath.Join(rootfs, "data/file"), []byte("from the image\n"), 0o640))
	must(t, os.Chown(filepath.Join(rootfs, "data/file"), 65534, 65534))
	must(t, os.Rename(rootfs, filepath.Join(root, "layer")))
	t.Cleanup(func() {
		if err := os.RemoveAll(root); err != nil {
			t.Error(err)
		}
	})
	return root
}

// start opens an instance, with parts changed by the functions, and runs its
// engine until the test ends.
func start(t testing.TB, change ...func(*engine.Deps)) *house {
	t.Helper()
	return reopen(t, newRoot(t), change...)
}

func reopen(t testing.TB, root string, change ...func(*engine.Deps)) *house {
	t.Helper()
	h, err := openHouse(root, change...)
	if err != nil {
		t.Fatal(err)
	}
	h.t = t
	ctx, cancel := context.WithCancel(context.Background())
	h.stop, h.ended = cancel, make(chan error, 1)
	go func() { h.ended <- h.engine.Run(ctx) }()
	t.Cleanup(h.tearDown)
	return h
}

// close ends the engine as a daemon that stops does; the containers run on.
func (h *house) close() {
	if h.stop == nil {
		return
	}
	h.stop()
	if err := <-h.ended; err != nil {
		h.t.Errorf("the engine ended with %v", err)
	}
	h.stop = nil
	must(h.t, h.db.Close())
	must(h.t, h.nets.Close())
	must(h.t, h.rt.Close())
	must(h.t, h.keeper.Close())
	must(h.t, h.dns.Close())
}

// tearDown removes everything and checks that nothing is left.
func (h *house) tearDown() {
	if h.stop == nil {
		return
	}
	ctx := context.Background()
	list, err := h.engine.ListContainers(ctx, container.ListOptions{All: true})
	must(h.t, err)
	for _, c := range list {
		err := h.engine.RemoveContainer(ctx, c.ID, container.RemoveOptions{Force: true, Volumes: true})
		if err != nil && !errs.Is(err, errs.NotFound) && !errs.Is(err, errs.Conflict) {
			h.t.Errorf("removing %s: %v", c.Name, err)
		}
	}
	must(h.t, h.engine.Settle(ctx))
	h.clean()
	must(h.t, h.nets.Teardown(ctx))
	if err := h.dns.Stop(ctx); err != nil {
		h.t.Log("stopping lus-dns:", err)
	}
	if err := h.keeper.Quit(ctx); err != nil {
		h.t.Error("the keeper still has something:", err)
	}
	h.stop()
	if err := <-h.ended; err != nil {
		h.t.Errorf("the engine ended with %v", err)
	}
	h.stop = nil
	must(h.t, h.db.Close())
	_ = h.nets.Close()
	must(h.t, h.rt.Close("lus-"+h.layout.Instance()))
}

// clean checks that no container has left anything.
func (h *house) clean() {
	h.t.Helper()
	if left := h.traces(); left != "" {
		h.t.Errorf("left behind:\n%s", left)
	}
}

// traces lists what containers have in the kernel and on the disk.
func (h *house) traces() string {
	var out []string
	note := func(what string, found []string, err error) {
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			h.t.Errorf("looking for %s: %v", what, err)
		}
		for _, f := range found {
			out = append(out, what+" "+f)
		}
	}
	folders, err := filepath.Glob(filepath.Join(h.layout.Containers(), "*"))
	note("folder", folders, err)
	groups, err := filepath.Glob("/sys/fs/cgroup/*/lus-" + h.layout.Instance() + "/*")
	groups = slices.DeleteFunc(groups, func(g string) bool { return len(filepath.Base(g)) != 64 })
	note("cgroup", groups, err)
	links, err := exec.Command("ip", "-o", "link", "show", "type", "veth").Output()
	note("link", slices.DeleteFunc(lines(string(links)), h.others), err)
	rules, err := exec.Command("nft", "list", "map", "ip", "lus_"+h.layout.Instance(), "pub_any").Output()
	if err == nil && strings.Contains(string(rules), "elements") {
		note("rule", []string{string(rules)}, nil)
	}
	mountinfo, err := os.ReadFile("/proc/self/mountinfo")
	for _, l := range lines(string(mountinfo)) {
		if strings.Contains(l, h.layout.Root+"/containers") {
			note("mount", []string{l}, err)
		}
	}
	status, err := h.rt.List(context.Background())
	for _, s := range status {
		note("process", []string{fmt.Sprintf("%+v", s.Key)}, err)
	}
	return strings.Join(out, "\n")
}

// others reports whether a link belongs to a house beside this one.
func (h *house) others(link string) bool {
	return !strings.Contains(link, "lv"+h.layout.Instance())
}

func lines(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == '\n' })
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// request is a container on no network that runs a line of the shell.
func request(line string) *container.CreateRequest {
	return &container.CreateRequest{
		Config:     container.Config{Image: "busybox", Cmd: container.Strings{"sh", "-c", line}},
		HostConfig: &container.HostConfig{NetworkMode: "none"},
	}
}

// create makes a container, changed by the functions.
func (h *house) create(name, line string, change ...func(*container.CreateRequest)) string {
	h.t.Helper()
	req := request(line)
	for _, fn := range change {
		fn(req)
	}
	res, err := h.engine.CreateContainer(context.Background(), name, req)
	must(h.t, err)
	return res.ID
}

func (h *house) run(name, line string, change ...func(*container.CreateRequest)) string {
	h.t.Helper()
	id := h.create(name, line, change...)
	must(h.t, h.engine.StartContainer(context.Background(), id))
	return id
}

func (h *house) inspect(name string) *container.Container {
	h.t.Helper()
	c, err := h.engine.InspectContainer(context.Background(), name, false)
	must(h.t, err)
	return c
}

// long is how long something may take on a slow machine that has much else to do.
const long = 5 * time.Minute

func limited(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), long)
	t.Cleanup(cancel)
	return ctx
}

// wait waits for the condition and returns the exit.
func (h *house) wait(name, condition string) container.Exit {
	h.t.Helper()
	ch, err := h.engine.WaitContainer(limited(h.t), name, condition)
	must(h.t, err)
	return h.exit(ch)
}

func (h *house) exit(ch <-chan container.Exit) container.Exit {
	h.t.Helper()
	select {
	case x := <-ch:
		return x
	case <-limited(h.t).Done():
		h.t.Fatal("it did not end")
		return container.Exit{}
	}
}

// output runs a container to its end and returns what it wrote and its code.
func (h *house) output(line string, change ...func(*container.CreateRequest)) (string, int) {
	h.t.Helper()
	id := h.run("", line, change...)
	x := h.wait(id, "not-running")
	return h.logs(id), x.Code
}

func (h *house) logs(name string) string {
	h.t.Helper()
	r, _, err := h.engine.Logs(context.Background(), name, container.LogOptions{Stdout: true, Stderr: true, Tail: -1})
	must(h.t, err)
	defer r.Close()
	return readAll(h.t, r)
}

func readAll(t testing.TB, r container.LogReader) string {
	t.Helper()
	var b bytes.Buffer
	for {
		rec, err := r.Next()
		b.Write(rec.Data)
		if errors.Is(err, io.EOF) {
			return b.String()
		}
		must(t, err)
	}
}

// exec runs a line in a running container to its end.
func (h *house) exec(name, line string) (string, int) {
	h.t.Helper()
	ctx := limited(h.t)
	id, err := h.engine.CreateExec(ctx, name, &container.ExecConfig{Cmd: container.Strings{"sh", "-c", line}, AttachStdout: true, AttachStderr: true})
	must(h.t, err)
	s, err := h.engine.StartExec(ctx, id, false, false, nil)
	must(h.t, err)
	out := readAll(h.t, s.Out)
	x, err := h.engine.InspectExec(ctx, id)
	must(h.t, err)
	if x.ExitCode == nil {
		h.t.Fatal("the output ended and the exit code is not known")
	}
	must(h.t, s.Detach())
	return out, *x.ExitCode
}

// until waits for something to become true.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(long)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// obey carries out the orders of the test that runs this process: lines of a
// verb, a name and, for run, a shell line.
func (h *house) obey(in io.Reader, out io.Writer) error {
	ctx := context.Background()
	orders := bufio.NewScanner(in)
	for orders.Scan() {
		f := strings.SplitN(orders.Text(), " ", 3)
		var err error
		switch f[0] {
		case "run", "wired", "restarting", "removing":
			req := request(f[2])
			if f[0] == "wired" {
				req.HostConfig.NetworkMode = "bridge"
			}
			req.HostConfig.AutoRemove = f[0] == "removing"
			if f[0] == "restarting" {
				req.HostConfig.RestartPolicy.Name = "always"
			}
			if _, err = h.engine.CreateContainer(ctx, f[1], req); err == nil {
				err = h.engine.StartContainer(ctx, f[1])
			}
		case "missing":
			req := request("true")
			req.Entrypoint, req.Cmd = nil, container.Strings{"/no/such/program"}
			if _, err = h.engine.CreateContainer(ctx, f[1], req); err == nil {
				err = h.engine.StartContainer(ctx, f[1])
			}
		case "files":
			req := request("cat /run/secrets/key")
			if req.Files, err = archiveOf("run/secrets/key", "hidden\n"); err == nil {
				_, err = h.engine.CreateContainer(ctx, f[1], req)
			}
		case "create":
			_, err = h.engine.CreateContainer(ctx, f[1], request("true"))
		}
		if err != nil {
			fmt.Fprintln(out, "error:", err)
		} else {
			fmt.Fprintln(out, "done")
		}
	}
	return orders.Err()
}

func (i images) Returned(string) {}
