package scenarios

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"lus/test/stack"
)

// faulty is in front of a registry that can be told to go wrong.
type faulty struct {
	mu    sync.Mutex
	fault fault
}

// fault answers a request in place of the registry, or does not.
type fault func(registry http.Handler, w http.ResponseWriter, r *http.Request) (answered bool)

func (f *faulty) set(to fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault = to
}

func (f *faulty) ServeHTTP(registry http.Handler, w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	fault := f.fault
	f.mu.Unlock()
	if fault == nil || !fault(registry, w, r) {
		registry.ServeHTTP(w, r)
	}
}

// blobs limits a fault to what a blob is asked for by.
func blobs(do func(w http.ResponseWriter, data []byte)) fault {
	return only("/blobs/sha256:", do)
}

// manifests limits a fault to the manifest itself.
func manifests(do func(w http.ResponseWriter, data []byte)) fault { return only("/manifests/", do) }

func only(path string, do func(w http.ResponseWriter, data []byte)) fault {
	return func(registry http.Handler, w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet || !strings.Contains(r.URL.Path, path) {
			return false
		}
		right := httptest.NewRecorder()
		registry.ServeHTTP(right, r)
		for k, v := range right.Header() {
			w.Header()[k] = v
		}
		do(w, right.Body.Bytes())
		return true
	}
}

// says answers with a status and what a registry says with it.
func says(status int, header ...string) func(w http.ResponseWriter, _ []byte) {
	return func(w http.ResponseWriter, _ []byte) {
		w.Header().Del("Content-Length")
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(`{"errors":[{"code":"UNKNOWN","message":"of the test's making"}]}`))
	}
}

// A registry that lies, breaks off or refuses: by a pull, by a build and through our
// own registry it is told what is wrong, nothing half made is left, and the next try
// works.
func TestABadRegistryIsToldAndTheNextTryWorks(t *testing.T) {
	t.Parallel()
	s, before, kept, held := settled(t)
	f := &faulty{}
	host := stack.RegistryBehind(t, func(registry http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { f.ServeHTTP(registry, w, r) })
	})
	own := strings.TrimSpace(s.OK(t, "registry", "enable", "127.0.0.1:0"))
	before[stack.Sockets] = s.Still()[stack.Sockets]
	for what, c := range map[string]struct {
		fault fault
		says  string // by a pull
		built string // by a build
	}{
		"a layer cut short": {blobs(func(w http.ResponseWriter, data []byte) {
			_, _ = w.Write(data[:len(data)/2])
			panic(http.ErrAbortHandler)
		}), "failed: receive blob", "broke off"},
		"another layer": {blobs(func(w http.ResponseWriter, data []byte) {
			data[len(data)/2] ^= 1
			_, _ = w.Write(data)
		}), "verification failed", "something else"},
		"another manifest": {manifests(func(w http.ResponseWriter, data []byte) {
			_, _ = w.Write([]byte(strings.Replace(string(data), "2", "3", 1)))
		}), "verification failed", "something else"},
		"a manifest of another type": {func(registry http.Handler, w http.ResponseWriter, r *http.Request) bool {
			if !strings.Contains(r.URL.Path, "/manifests/") {
				return false
			}
			right := httptest.NewRecorder()
			registry.ServeHTTP(right, r)
			for k, v := range right.Header() {
				w.Header()[k] = v
			}
			w.Header().Set("Content-Type", "application/vnd.cncf.helm.config.v1+json")
			w.WriteHeader(right.Code)
			_, _ = w.Write(right.Body.Bytes())
			return true
		}, "is not an image", "helm"},
		"500": {blobs(says(http.StatusInternalServerError)), "500 Internal Server Error", "its registry failed: 500 Internal Server Error"},
		"429": {blobs(says(http.StatusTooManyRequests, "Retry-After", "0")), "allows no more pulls", "allows no more pulls"},
		"401": {blobs(says(http.StatusUnauthorized, "Www-Authenticate", `Basic realm="x"`)), "lus login", "asks for a login"},
	} {
		name := strings.ReplaceAll(what, " ", "-")
		ref, prefix := host+"/"+name+":1", "through-"+name
		through := own + "/" + prefix + "/" + name + ":1"
		stack.PushFile(t, ref, "data", []byte(noise(t, 100_000)))
		dir := stack.Folder(t, map[string]string{"Dockerfile": "FROM " + ref + "\nRUN test -s /data\n"})
		s.OK(t, "registry", "upstream", prefix, "http://"+host)
		ways := map[string][]string{"pull": {"pull", ref}, "build": {"build", "-t", "built", dir}}
		if strings.HasPrefix(what, "another") {
			ways["through"] = []string{"pull", through}
		}
		for way, line := range ways {
			t.Run(what+", "+way, func(t *testing.T) {
				f.set(c.fault)
				r := s.Lus(line...)
				if r.Code == 0 {
					t.Fatalf("it works:\n%s", r.All())
				}
				stack.Says(t, r.Err, map[string]string{"pull": c.says, "build": c.built, "through": prefix}[way])
				s.Unchanged(t, before, stack.Files)
			})
		}
		f.set(nil)
		s.OK(t, "pull", ref)
		s.OK(t, "run", "--rm", ref, "test", "-s", "/data")
		s.OK(t, "rmi", ref)
		s.OK(t, "build", "-t", "built", dir)
		s.OK(t, "rmi", "built")
		s.OK(t, "registry", "upstream", "--rm", prefix)
		s.Lus("registry", "rm", prefix+"/"+name) // the manifest may have come
	}
	s.OK(t, "registry", "gc", "--grace", "0s")
	nothingLeft(t, s, kept, held)
}
