package scenarios

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"lus/test/stack"
)

// gate is in front of a registry. While it is shut, a blob of the asked size or
// more comes in part and then nothing does, and what is sent there is taken and not
// answered.
type gate struct {
	mu     sync.Mutex
	shut   bool
	stuck  int      // requests that wait
	ranges []string // of each request for a big blob
}

// part is how much of a big blob comes while the gate is shut.
const part = 2 << 20

// behindGate is a registry with a gate that stands open, and its host:port.
func behindGate(t *testing.T) (*gate, string) {
	g := &gate{}
	host := stack.RegistryBehind(t, func(registry http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { g.pass(registry, w, r) })
	})
	return g, host
}

func (g *gate) set(shut bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut, g.stuck, g.ranges = shut, 0, nil
}

func (g *gate) waiting() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.stuck > 0
}

func (g *gate) asked() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.ranges)
}

func (g *gate) pass(registry http.Handler, w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	shut := g.shut
	g.mu.Unlock()
	switch {
	case r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/sha256:"):
		g.blob(registry, shut, w, r)
	case shut && (r.Method == http.MethodPatch || r.Method == http.MethodPut):
		_, _ = io.Copy(io.Discard, r.Body) // ends when the client does
		g.wait(r)
	default:
		registry.ServeHTTP(w, r)
	}
}

// wait stands still until the client is gone.
func (g *gate) wait(r *http.Request) {
	g.mu.Lock()
	g.stuck++
	g.mu.Unlock()
	<-r.Context().Done()
}

// blob answers as a registry does that knows ranges; the one behind does not know
// open ones.
func (g *gate) blob(registry http.Handler, shut bool, w http.ResponseWriter, r *http.Request) {
	whole := httptest.NewRecorder()
	plain := r.Clone(r.Context())
	plain.Header.Del("Range")
	registry.ServeHTTP(whole, plain)
	data := whole.Body.Bytes()
	if len(data) <= part {
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
		return
	}
	g.mu.Lock()
	g.ranges = append(g.ranges, r.Header.Get("Range"))
	g.mu.Unlock()
	if !shut {
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
		return
	}
	w.Header().Set("Content-Length", fmt.Sprint(len(data)))
	_, _ = w.Write(data[:part]) // the client may be gone
	_ = http.NewResponseController(w).Flush()
	g.wait(r)
}

// noise is what nobody can make smaller.
func noise(t *testing.T, size int) string {
	t.Helper()
	data := make([]byte, size)
	if _, err := rand.Read(data); err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// leases are those of the image store, which no daemon may have open.
func leases(t *testing.T, s *stack.Stack) (ids []string) {
	t.Helper()
	db, err := bolt.Open(filepath.Join(s.Images(), "meta.db"), 0o600, &bolt.Options{ReadOnly: true, Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.View(func(tx *bolt.Tx) error {
		b := tx.Bucket([]byte("v1"))
		for _, name := range []string{"lus", "leases"} {
			if b = b.Bucket([]byte(name)); b == nil {
				return nil
			}
		}
		return b.ForEachBucket(func(id []byte) error {
			ids = append(ids, string(id))
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

// settled is a stack whose daemon has died once, so that what is made once and what
// a start cleans once is done, with what the machine and its store have then.
func settled(t *testing.T, config ...string) (s *stack.Stack, before stack.Machine, kept, held []string) {
	t.Helper()
	s = stack.Start(t)
	s.Stop()
	held = leases(t, s)
	for _, text := range config {
		configure(t, s, text)
	}
	s.StartDaemon(t)
	s.OK(t, "run", "--rm", stack.Busybox, "true")
	s.Build(t, "warm", map[string]string{"Dockerfile": "FROM " + stack.Busybox + "\nRUN true\n"}).Want(t, 0)
	s.OK(t, "rmi", "warm")
	s.OK(t, "builder", "prune", "-a", "-f")
	s.Kill()
	s.StartDaemon(t)
	return s, s.Still(), stored(t, s), held
}

// nothingLeft fails where the store keeps more than it did, once all that was made
// since is removed.
func nothingLeft(t *testing.T, s *stack.Stack, kept, held []string) {
	t.Helper()
	s.OK(t, "image", "prune", "-f") // and what came in part
	s.OK(t, "builder", "prune", "-a", "-f")
	if now := stored(t, s); len(now) != len(kept) {
		t.Errorf("the store had %v, now it has %v", kept, now)
	}
	s.Stop()
	if now := leases(t, s); len(now) > len(held) {
		t.Errorf("the leases were %q, now they are %q", held, now)
	}
	s.StartDaemon(t)
}

// die kills the daemon once something is under way, and returns how the client that
// waits for it ended.
func die(t *testing.T, s *stack.Stack, what string, underWay func() bool, client <-chan stack.Result) stack.Result {
	t.Helper()
	stack.Eventually(t, what, underWay)
	s.Kill()
	r := <-client
	s.StartDaemon(t)
	s.OK(t, "ps") // its socket is there before it has looked around
	return r
}

// begin runs lus beside the test.
func begin(s *stack.Stack, args ...string) <-chan stack.Result {
	ended := make(chan stack.Result, 1)
	go func() { ended <- s.Lus(args...) }()
	return ended
}

// The daemon is killed in the middle of a layer: its client is told, nothing half
// made is seen, the next pull asks for the rest alone, and when the image is gone
// nothing is left.
func TestAPullThatWasKilledGoesOn(t *testing.T) {
	t.Parallel()
	s, before, kept, held := settled(t)
	g, host := behindGate(t)
	ref := host + "/team/big:1"
	data := noise(t, 2*part)
	stack.PushFile(t, ref, "data", []byte(data))
	for round := range 2 { // the second time with nothing to go on from
		g.set(true)
		r := die(t, s, "a part of the layer", func() bool { return received(s) == part }, begin(s, "pull", ref))
		if r.Code != 1 || !strings.Contains(r.Err, "the daemon") {
			t.Errorf("exit code %d: %s", r.Code, r.All())
		}
		s.Unchanged(t, before, stack.Files)
		if round == 1 {
			s.OK(t, "image", "prune", "-f")
			if n := received(s); n != 0 {
				t.Errorf("a prune leaves %d bytes", n)
			}
		}
		g.set(false)
		s.OK(t, "pull", ref)
		want := []string{fmt.Sprintf("bytes=%d-", part), ""}[round]
		if got := g.asked(); !slices.Equal(got, []string{want}) {
			t.Errorf("asked for the ranges %q, want %q", got, want)
		}
		if got := s.Lus("run", "--rm", ref, "cat", "/data").Want(t, 0); got != strings.TrimSpace(data) {
			t.Errorf("the file has %d bytes, not the right %d", len(got), len(data))
		}
		s.OK(t, "rmi", ref)
		if n := received(s); n != 0 {
			t.Errorf("%d bytes half received are left", n)
		}
	}
	s.Unchanged(t, before, stack.Files)
	nothingLeft(t, s, kept, held)
}

// The same for a blob on its way through our registry from another one.
func TestAFetchThroughTheRegistryThatWasKilled(t *testing.T) {
	t.Parallel()
	s, _, kept, held := settled(t)
	g, far := behindGate(t)
	stack.PushFile(t, far+"/team/big:1", "data", []byte(noise(t, 2*part)))
	at := strings.TrimSpace(s.OK(t, "registry", "enable", "127.0.0.1:"+stack.Port(t))) // the same next time
	s.OK(t, "registry", "upstream", "far", "http://"+far)
	ref := at + "/far/team/big:1"
	g.set(true)
	// By the registry, and by the pull, to which it is sent on while it comes.
	r := die(t, s, "a part of the blob", func() bool { return received(s) >= part }, begin(s, "pull", ref))
	if r.Code != 1 {
		t.Errorf("exit code %d: %s", r.Code, r.All())
	}
	g.set(false)
	stack.Eventually(t, "the registry to listen again", func() bool {
		return strings.Contains(s.Lus("registry", "status").Out, at)
	})
	s.OK(t, "pull", ref)
	s.OK(t, "run", "--rm", ref, "test", "-s", "/data")
	// What is too little to go on with goes with the next collection.
	stack.Eventually(t, "what was half received to go", func() bool { return received(s) == 0 })
	s.OK(t, "rmi", ref)
	s.OK(t, "registry", "rm", "far/team/big")
	s.OK(t, "registry", "gc", "--grace", "0s")
	nothingLeft(t, s, kept, held)
}

// The daemon is killed in the middle of a build, at several of its moments: nothing
// of it runs, is mounted or named afterwards, and the next try works.
func TestABuildThatWasKilledIsDoneAgain(t *testing.T) {
	t.Parallel()
	s, before, kept, held := settled(t)
	g, host := behindGate(t)
	const big = "RUN dd if=/dev/urandom of=/big bs=1M count=24 && sha256sum /big >/sum\n"
	many := map[string]string{"Dockerfile": "FROM busybox\nCOPY many /copied\nRUN test $(ls /copied | wc -l) = 1500\n"}
	for i := range 1500 {
		many[fmt.Sprintf("many/%d", i)] = fmt.Sprint(i)
	}
	for _, c := range []struct {
		what  string
		files map[string]string
		args  []string
		under func(out string) bool
		ref   string
	}{
		{
			what:  "a step",
			files: map[string]string{"Dockerfile": "FROM busybox\nRUN --mount=type=bind,target=/c test -e /c/go || exec sleep 1002\n"},
			under: func(string) bool { return slices.Contains(s.Look()[stack.Processes], "sleep 1002") },
		},
		{
			what: "a copy", files: many,
			under: func(string) bool {
				found, _ := filepath.Glob(filepath.Join(s.Images(), "overlayfs/snapshots/*/fs/copied/1*"))
				return len(found) > 0
			},
		},
		{
			what: "the export of an image", files: map[string]string{"Dockerfile": "FROM busybox\n" + big},
			under: func(out string) bool { return strings.Contains(out, "exporting") },
		},
		{
			what: "the export of files", files: map[string]string{"Dockerfile": "FROM busybox\n" + big},
			args:  []string{"-o", "-"}, // into a pipe that nobody empties
			under: func(out string) bool { return strings.Contains(out, "ustar") },
		},
		{
			what: "a push", files: map[string]string{"Dockerfile": "FROM busybox\n" + big},
			args: []string{"--push"}, ref: host + "/team/built:1",
			under: func(string) bool { return g.waiting() },
		},
	} {
		t.Run(c.what, func(t *testing.T) {
			if c.ref == "" {
				c.ref = "built"
			}
			dir := stack.Folder(t, c.files)
			line := append([]string{"build", "--progress", "plain", "-t", c.ref, dir}, c.args...)
			g.set(true)
			client := startClient(t, s, line...)
			stack.Eventually(t, c.what, func() bool { return c.under(client.said()) })
			s.Kill()
			client.wait()
			s.StartDaemon(t)
			s.OK(t, "rmi", "-f", c.ref) // the build may have been quicker
			s.Unchanged(t, before, stack.Files)

			g.set(false)
			if err := os.WriteFile(filepath.Join(dir, "go"), nil, 0o644); err != nil {
				t.Fatal(err)
			}
			s.Lus("build", "-t", c.ref, dir).Want(t, 0)
			s.OK(t, "run", "--rm", c.ref, "sh", "-c", "test ! -e /sum || sha256sum -c /sum")
			if c.what == "a push" {
				s.Lus(line...).Want(t, 0)
			}
			s.OK(t, "rmi", c.ref)
			s.OK(t, "builder", "prune", "-a", "-f")
			s.Unchanged(t, before, stack.Files)
			if now := stored(t, s); len(now) != len(kept) {
				t.Errorf("the store had %v, now it has %v", kept, now)
			}
		})
	}
	nothingLeft(t, s, kept, held)
}

// client is a lus that runs beside the test. Of what it writes on its standard
// output the first bytes alone are read until the test waits for it, so that the
// pipe stays full.
type client struct {
	cmd  *exec.Cmd
	mu   sync.Mutex
	text []byte
	more chan struct{} // closed when the rest is read
	done chan struct{}
}

func startClient(t *testing.T, s *stack.Stack, args ...string) *client {
	t.Helper()
	c := &client{cmd: exec.Command(filepath.Join(s.Bin, "lus"), args...), more: make(chan struct{}), done: make(chan struct{})}
	c.cmd.Env, c.cmd.Stderr = s.Env(), c
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { // ends with the program
		defer close(c.done)
		_, _ = io.CopyN(c, out, 64<<10)
		<-c.more
		_, _ = io.Copy(io.Discard, out)
		_ = c.cmd.Wait() // how it ended depends on the moment
	}()
	return c
}

func (c *client) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.text = append(c.text, p...)
	return len(p), nil
}

func (c *client) said() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return string(c.text)
}

// wait returns once it ended.
func (c *client) wait() {
	close(c.more)
	<-c.done
}
