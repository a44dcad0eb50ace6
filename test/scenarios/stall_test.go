package scenarios

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"lus/test/stack"
)

// standing is a registry that knows ranges and can be told to stand still in one
// way or another.
type standing struct {
	faulty
	mu     sync.Mutex
	stuck  int // requests that stand still
	ranges []string
}

// stands is a registry that can stand still, and its host:port.
func stands(t *testing.T) (*standing, string) {
	st := &standing{}
	host := stack.RegistryBehind(t, func(registry http.Handler) http.Handler {
		ranged := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodGet || !strings.Contains(r.URL.Path, "/blobs/sha256:") {
				registry.ServeHTTP(w, r)
				return
			}
			st.mu.Lock()
			st.ranges = append(st.ranges, r.Header.Get("Range"))
			st.mu.Unlock()
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(blobOf(registry, r)))
		})
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { st.ServeHTTP(ranged, w, r) })
	})
	return st, host
}

// blobOf is the whole of what a request asks for, or a part of.
func blobOf(registry http.Handler, r *http.Request) []byte {
	whole := httptest.NewRecorder()
	plain := r.Clone(r.Context())
	plain.Header.Del("Range")
	registry.ServeHTTP(whole, plain)
	return whole.Body.Bytes()
}

// still lets a request stand until its client is gone.
func (st *standing) still(r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	st.mu.Lock()
	st.stuck++
	st.mu.Unlock()
	<-r.Context().Done()
	st.mu.Lock()
	st.stuck--
	st.mu.Unlock()
}

func (st *standing) waiting() int {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.stuck
}

// forget returns the ranges that were asked for since it was called last.
func (st *standing) forget() []string {
	st.mu.Lock()
	defer st.mu.Unlock()
	was := st.ranges
	st.ranges = nil
	return was
}

// silent answers nothing at all to what is asked with one of these methods.
func (st *standing) silent(methods ...string) fault {
	return func(_ http.Handler, _ http.ResponseWriter, r *http.Request) bool {
		if !slices.Contains(methods, r.Method) {
			return false
		}
		st.still(r)
		return true
	}
}

// onBlobs begins the answer of a blob with some of it, if there is more, and then
// goes on as rest does.
func (st *standing) onBlobs(some int, rest func(w http.ResponseWriter, st *standing, r *http.Request)) fault {
	return func(registry http.Handler, w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet || !strings.Contains(r.URL.Path, "/blobs/sha256:") {
			return false
		}
		_, _ = io.Copy(io.Discard, r.Body) // else nobody sees that the client is gone
		data := blobOf(registry, r)
		if len(data) <= some {
			return false
		}
		if r.Header.Get("Range") == "" {
			w.Header().Set("Content-Length", fmt.Sprint(len(data)))
			_, _ = w.Write(data[:some]) // the client may be gone
			_ = http.NewResponseController(w).Flush()
		}
		rest(w, st, r)
		return true
	}
}

// drip sends a byte each second.
func drip(w http.ResponseWriter, r *http.Request) {
	every := time.NewTicker(time.Second)
	defer every.Stop()
	for {
		select {
		case <-every.C:
		case <-r.Context().Done():
			return
		}
		_, _ = w.Write([]byte("x"))
		_ = http.NewResponseController(w).Flush()
	}
}

// A registry that stands still, in each way it can, ends what waits for it with a
// clear error; nothing half made is left, what came is not fetched again, and the
// next try works: for pulls, builds, and pulls through our own registry.
func TestARegistryThatStandsStillIsGivenUp(t *testing.T) {
	t.Parallel()
	s, before, kept, held := settled(t, `{"registry-timeout": "1s"}`)
	own := strings.TrimSpace(s.OK(t, "registry", "enable", "127.0.0.1:0"))
	before[stack.Sockets] = s.Still()[stack.Sockets]
	used := s.OK(t, "system", "df")
	const half = 2 << 20 // of which enough comes to be kept
	stops := func(_ http.ResponseWriter, st *standing, r *http.Request) { st.still(r) }
	drips := func(w http.ResponseWriter, _ *standing, r *http.Request) { drip(w, r) }
	type try struct {
		what, ref, through, dir string
		*standing
		ends map[string]<-chan stack.Result
		goes bool // on where it was
	}
	var tries []*try
	for what, fault := range map[string]func(st *standing) fault{
		"says-nothing":          func(st *standing) fault { return st.silent(http.MethodHead, http.MethodGet) },
		"names-a-size":          func(st *standing) fault { return st.onBlobs(0, stops) },
		"sends-half":            func(st *standing) fault { return st.onBlobs(half, stops) },
		"sends-a-byte-a-second": func(st *standing) fault { return st.onBlobs(0, drips) },
	} {
		st, host := stands(t)
		c := &try{what: what, ref: host + "/app:1", through: own + "/" + what + "/app:1", standing: st, goes: what == "sends-half"}
		stack.PushFile(t, c.ref, "data", []byte(noise(t, 2*half)))
		c.dir = stack.Folder(t, map[string]string{"Dockerfile": "FROM " + c.ref + "\nRUN test -s /data\n"})
		s.OK(t, "registry", "upstream", what, "http://"+host)
		st.set(fault(st))
		c.ends = map[string]<-chan stack.Result{"pull": begin(s, "pull", c.ref), "build": begin(s, "build", "-t", "built", c.dir), "through": begin(s, "pull", c.through)}
		tries = append(tries, c)
	}
	for _, c := range tries {
		host, _, _ := strings.Cut(c.ref, "/")
		for way, end := range c.ends {
			r := <-end
			if r.Code == 0 {
				t.Errorf("%s, %s: it works:\n%s", c.what, way, r.All())
			}
			if !strings.Contains(r.Err, "stopped sending") || !strings.Contains(r.Err, host) {
				t.Errorf("%s, %s: it says\n%s", c.what, way, r.Err)
			}
		}
		c.set(nil)
		c.forget()
	}
	s.Unchanged(t, before, stack.Files)
	s.OK(t, "builder", "prune", "-a", "-f") // what came whole
	for _, c := range tries {
		s.Lus("registry", "rm", c.what+"/app") // one has not even a manifest
	}
	s.OK(t, "registry", "gc", "--grace", "0s")
	if now := s.OK(t, "system", "df"); now != used {
		t.Errorf("in use were\n%s\nnow are\n%s", used, now)
	}
	for _, c := range tries {
		s.OK(t, "pull", c.ref)
		if asked := c.forget(); c.goes && !slices.Contains(asked, fmt.Sprintf("bytes=%d-", half)) {
			t.Errorf("%s: the next pull asked for %q", c.what, asked)
		}
		s.OK(t, "run", "--rm", c.ref, "test", "-s", "/data")
		s.OK(t, "rmi", c.ref)
		s.OK(t, "build", "-t", "built", c.dir)
		s.OK(t, "builder", "prune", "-a", "-f")
		s.OK(t, "rmi", "built")
		c.forget()
		stack.Eventually(t, "our registry asks again", func() bool { return s.Lus("pull", c.through).Code == 0 })
		if asked := c.forget(); c.goes && !slices.Contains(asked, fmt.Sprintf("bytes=%d-", half)) {
			t.Errorf("%s: for the next pull our registry asked for %q", c.what, asked)
		}
		s.OK(t, "run", "--rm", c.through, "test", "-s", "/data")
		s.OK(t, "rmi", c.through)
		s.OK(t, "registry", "upstream", "--rm", c.what)
		s.OK(t, "registry", "rm", c.what+"/app")
	}
	s.OK(t, "registry", "gc", "--grace", "0s")
	nothingLeft(t, s, kept, held)
}

// So do pushes, whether it does not say what it has, takes no upload, or does not
// say what became of one.
func TestAPushToARegistryThatStandsStillIsGivenUp(t *testing.T) {
	t.Parallel()
	for what, method := range map[string]string{"does not say what it has": http.MethodHead, "takes nothing": http.MethodPost, "takes it and says nothing": http.MethodPut} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			s, _, kept, held := settled(t, `{"registry-timeout": "1s"}`)
			st, host := stands(t)
			ref := host + "/app:1"
			s.Build(t, ref, map[string]string{"Dockerfile": "FROM " + stack.Busybox + "\nCOPY data /\n", "data": noise(t, 100_000)}).Want(t, 0)
			before := s.Still()
			st.set(st.silent(method))
			r := s.Lus("push", ref)
			if r.Code == 0 {
				t.Errorf("it works:\n%s", r.All())
			}
			stack.Says(t, r.Err, "the push of "+host+"/app stalled", host)
			s.Unchanged(t, before, stack.Files)
			st.set(nil)
			s.OK(t, "push", ref)
			s.OK(t, "rmi", ref)
			s.OK(t, "pull", ref)
			s.OK(t, "rmi", ref)
			nothingLeft(t, s, kept, held)
		})
	}
}

// Whoever has enough of waiting says so, and it ends; the registry sees that.
func TestAnInterruptEndsWhatWaitsForARegistry(t *testing.T) {
	t.Parallel()
	s, _, kept, held := settled(t, `{"registry-timeout": "1h"}`)
	st, host := stands(t)
	stops := func(_ http.ResponseWriter, st *standing, r *http.Request) { st.still(r) }
	ref := host + "/app:1"
	stack.PushFile(t, ref, "data", []byte(noise(t, 100_000)))
	one, other, built := host+"/one:1", host+"/other:1", host+"/built:1"
	for _, sent := range []string{one, other} {
		s.Build(t, sent, map[string]string{"Dockerfile": "FROM " + stack.Busybox + "\nCOPY data /\n", "data": noise(t, 100_000)}).Want(t, 0)
	}
	dir := stack.Folder(t, map[string]string{"Dockerfile": "FROM " + ref + "\nRUN test -s /data\n"})
	for what, c := range map[string]struct {
		fault fault
		line  []string
	}{
		"a pull that asks":          {st.silent(http.MethodHead), []string{"pull", ref}},
		"a pull that waits":         {st.onBlobs(1000, stops), []string{"pull", ref}},
		"a build that asks":         {st.silent(http.MethodHead), []string{"build", "-t", "built", dir}},
		"a build that waits":        {st.onBlobs(1000, stops), []string{"build", "-t", "built", dir}},
		"a run that pulls":          {st.silent(http.MethodHead), []string{"run", "--rm", ref}},
		"a push that asks":          {st.silent(http.MethodHead), []string{"push", one}},
		"a push that sent":          {st.silent(http.MethodPut), []string{"push", other}},
		"a build that sends":        {st.silent(http.MethodPut), []string{"build", "--push", "-t", built, dir}},
		"a pull of all of the tags": {st.silent(http.MethodGet), []string{"pull", "-a", host + "/app"}},
	} {
		t.Run(what, func(t *testing.T) {
			before := s.Still()
			st.set(c.fault)
			cmd := exec.Command(filepath.Join(s.Bin, "lus"), c.line...)
			cmd.Env = s.Env()
			var out bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &out
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			stack.Eventually(t, "the registry is asked", func() bool { return st.waiting() > 0 })
			_ = cmd.Process.Signal(syscall.SIGINT)
			_ = cmd.Wait()
			if code := cmd.ProcessState.ExitCode(); code != -1 && code != 130 && code != 1 { // -1: by the signal
				t.Errorf("it ends with %d:\n%s", code, out.String())
			}
			stack.Eventually(t, "the registry is left", func() bool { return st.waiting() == 0 })
			if !slices.Contains(c.line, "--push") { // whose image is made by then
				s.Unchanged(t, before, stack.Files)
			}
			st.set(nil)
			s.OK(t, c.line...)
			s.Lus("rmi", "-f", ref, "built", built)
			s.OK(t, "builder", "prune", "-a", "-f") // the next build has to fetch as well
		})
	}
	s.OK(t, "rmi", one, other)
	nothingLeft(t, s, kept, held)
}
