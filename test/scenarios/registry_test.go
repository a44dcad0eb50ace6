package scenarios

import (
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"lus/test/need"
	"lus/test/stack"
)

// ownRegistry is a stack with a registry of its own, open to this host.
func ownRegistry(t *testing.T) (s *stack.Stack, host string) {
	t.Helper()
	s = stack.Start(t)
	return s, enabled(t, s)
}

func enabled(t *testing.T, s *stack.Stack) (host string) {
	t.Helper()
	// A port of the kernel's choice could be somebody else's once the daemon is
	// killed and started.
	_, port, _ := strings.Cut(s.OK(t, "registry", "enable", "127.0.0.1:"+stack.Port(t)), ":")
	return "localhost:" + strings.TrimSpace(port)
}

// The suites of the specification pass whole.
func TestTheRegistryConforms(t *testing.T) {
	t.Parallel()
	s, host := ownRegistry(t)
	r := s.Do(nil, filepath.Join(s.Repo, "test/conformance/distribution/run"), host, t.TempDir())
	if r.Code == 3 {
		need.Unmet(t, "the conformance suites of the distribution specification: %s", r.Err)
	}
	stack.Says(t, r.Want(t, 0), "0 Failed", "newer suite: FAIL..........................:          0")
}

// Clients that others wrote push what they have and get it back.
func TestOthersPushToTheRegistryAndPullFromIt(t *testing.T) {
	t.Parallel()
	s, host := ownRegistry(t)
	s.Build(t, "made:1", map[string]string{"Dockerfile": "FROM busybox\nRUN echo built >/f\nCMD [\"cat\", \"/f\"]\n"})
	docker := filepath.Join(need.Tools(t), "docker")
	t.Run("docker", func(t *testing.T) {
		ref := host + "/by/docker:1"
		s.Do(nil, docker, "tag", "made:1", ref).Want(t, 0)
		stack.Says(t, s.Do(nil, docker, "push", ref).Want(t, 0), "1: digest: sha256:")
		s.Do(nil, docker, "rmi", ref).Want(t, 0)
		s.Do(nil, docker, "pull", ref).Want(t, 0)
		stack.Says(t, s.Do(nil, docker, "run", "--rm", ref).Want(t, 0), "built")
		stack.Says(t, s.Do(nil, docker, "search", "by/dock").Want(t, 0), host+"/by/docker")
	})
	ref := host + "/made:1"
	s.OK(t, "tag", "made:1", ref)
	s.OK(t, "push", ref)
	t.Run("skopeo", func(t *testing.T) {
		skopeo := need.Program(t, "skopeo", "skopeo")
		to := host + "/by/skopeo:1"
		s.Do(nil, skopeo, "--insecure-policy", "copy", "-q", "--src-tls-verify=false", "--dest-tls-verify=false", "docker://"+ref, "docker://"+to).Want(t, 0)
		dir := filepath.Join(t.TempDir(), "oci")
		s.Do(nil, skopeo, "--insecure-policy", "copy", "-q", "--src-tls-verify=false", "docker://"+to, "oci:"+dir).Want(t, 0)
		s.Do(nil, skopeo, "--insecure-policy", "copy", "-q", "--dest-tls-verify=false", "oci:"+dir, "docker://"+host+"/by/skopeo:2").Want(t, 0)
		stack.Says(t, s.Do(nil, skopeo, "list-tags", "--tls-verify=false", "docker://"+host+"/by/skopeo").Want(t, 0), `"1"`, `"2"`)
		stack.Says(t, s.OK(t, "run", "--rm", host+"/by/skopeo:2"), "built")
		s.Do(nil, skopeo, "delete", "--tls-verify=false", "docker://"+host+"/by/skopeo:1").Want(t, 0) // the manifest, and so both tags
		stack.Says(t, s.OK(t, "registry", "ls", "--format", "{{.Repository}} {{.Tags}}"), "by/skopeo 0")
	})
	t.Run("crane", func(t *testing.T) { byCrane(t, s, host, ref) })
	t.Run("oras", func(t *testing.T) { byOras(t, s, host, ref) })
	for _, name := range []string{"podman", "buildah"} {
		t.Run(name, func(t *testing.T) {
			program := need.Program(t, name, name)
			dir, err := os.MkdirTemp("", "lus-p-") // a short path, as they want it
			if err != nil {
				t.Fatal(err)
			}
			do := func(args ...string) string {
				return s.Do(nil, "env", append([]string{"-u", "DOCKER_CONFIG", program, "--root", filepath.Join(dir, "root"), "--runroot", filepath.Join(dir, "run"), "--storage-driver", "vfs"}, args...)...).Want(t, 0)
			}
			t.Cleanup(func() {
				do("rmi", "-a", "-f")
				if err := os.RemoveAll(dir); err != nil {
					t.Error(err)
				}
			})
			do("pull", "-q", "--tls-verify=false", ref)
			to := host + "/by/" + name + ":1"
			do("tag", ref, to)
			do("push", "-q", "--tls-verify=false", to)
			stack.Says(t, s.OK(t, "run", "--rm", to), "built")
		})
	}
}

// A push from here moves no bytes, and what it made is pulled by another Lus
// that runs a stack from it.
func TestAnotherLusRunsWhatIsPushedHere(t *testing.T) {
	t.Parallel()
	s, host := ownRegistry(t)
	ref := host + "/me/app:1"
	s.Build(t, ref, map[string]string{"Dockerfile": "FROM busybox\nRUN echo from here >/www\nCMD [\"httpd\", \"-f\", \"-p\", \"80\"]\nWORKDIR /\n"})
	stack.Says(t, s.OK(t, "push", ref), ": Pushed", "1: digest: sha256:")
	if again := s.OK(t, "push", ref); !strings.Contains(again, ": Layer already exists") || strings.Contains(again, "Pushed") {
		t.Errorf("the second time it says\n%s", again)
	}
	blobs, err := os.ReadDir(filepath.Join(s.Images(), "content", "blobs", "sha256"))
	if err != nil {
		t.Fatal(err)
	}
	s.OK(t, "tag", ref, host+"/me/copy:2")
	s.OK(t, "push", host+"/me/copy:2")
	after, err := os.ReadDir(filepath.Join(s.Images(), "content", "blobs", "sha256"))
	if err != nil {
		t.Fatal(err)
	}
	if len(after) != len(blobs) {
		t.Errorf("a second push made %d blobs of %d", len(after), len(blobs))
	}
	stack.Says(t, s.OK(t, "registry", "ls"), "me/app", "me/copy")
	stack.Says(t, s.OK(t, "search", "copy"), host+"/me/copy", "tags: 2")
	stack.Says(t, s.OK(t, "search", "-f", "is-official=false", "copy"), host+"/me/copy")
	for _, f := range []string{"is-official=true", "stars=1"} {
		if out := s.OK(t, "search", "-f", f, "copy"); strings.Contains(out, "copy") {
			t.Errorf("--filter %s: %s", f, out)
		}
	}
	stack.Says(t, s.Fail(t, 1, "search", "-f", "colour=red", "copy"), "is-official, is-automated and stars")
	// It is there when the images are not.
	s.OK(t, "rmi", "-f", ref, host+"/me/copy:2")

	other := stack.Idle(t)
	other.StartDaemon(t)
	port := stack.Port(t)
	dir := stack.Folder(t, map[string]string{"compose.yaml": fmt.Sprintf("name: fromhere\nservices:\n  web:\n    image: %s\n    ports: [\"127.0.0.1:%s:80\"]\n", ref, port)})
	t.Cleanup(func() { other.DoIn(dir, nil, filepath.Join(other.Bin, "lus"), "compose", "down") })
	other.DoIn(dir, nil, filepath.Join(other.Bin, "lus"), "compose", "up", "-d").Want(t, 0)
	stack.Says(t, stack.Page(t, port, "/www"), "from here")
}

// The daemon is killed while a chunk comes: nothing half sent is seen, and the
// client goes on where the registry says that it is.
func TestAPushOutlivesTheDaemonsDeath(t *testing.T) {
	t.Parallel()
	s, host := ownRegistry(t)
	s.OK(t, "registry", "enable", "127.0.0.1:"+host[len("localhost:"):]) // the same port next time
	base := "http://" + host + "/v2/me/app/blobs/"
	text := strings.Repeat("0123456789abcdef", 1<<17) // 2 MB
	half := len(text) / 2
	name := digest.FromString(text).String()
	whole := digest.FromString("whole").String()
	answered(t, http.StatusCreated, "POST", base+"uploads/?digest="+whole, strings.NewReader("whole"))
	at := "http://" + host + answered(t, http.StatusAccepted, "POST", base+"uploads/", nil).Get("Location")

	more, chunk := io.Pipe()
	sent := make(chan struct{})
	go func() { // ends with the connection
		defer close(sent)
		r, err := http.NewRequest("PATCH", at, more)
		if err != nil {
			t.Error(err)
			return
		}
		if resp, err := http.DefaultClient.Do(r); err == nil {
			_ = resp.Body.Close()
			t.Errorf("a chunk that never ended: %s", resp.Status)
		}
	}()
	if _, err := chunk.Write([]byte(text[:half])); err != nil {
		t.Fatal(err)
	}
	stack.Eventually(t, "the first half", func() bool { return received(s) == int64(half) })
	s.Kill()
	if err := chunk.Close(); err != nil {
		t.Error(err)
	}
	<-sent
	s.StartDaemon(t)
	stack.Eventually(t, "the registry listens again", func() bool {
		status, _ := stack.Get(host[len("localhost:"):], "/v2/me/app/blobs/"+whole)
		return status == http.StatusOK
	})
	for _, d := range []string{name, digest.FromString(text[:half]).String()} {
		answered(t, http.StatusNotFound, "HEAD", base+d, nil)
	}
	told := answered(t, http.StatusNoContent, "GET", at, nil).Get("Range")
	if want := fmt.Sprint("0-", half-1); told != want {
		t.Fatalf("go on after %s, want %s", told, want)
	}
	answered(t, http.StatusAccepted, "PATCH", at, strings.NewReader(text[half:]))
	answered(t, http.StatusCreated, "PUT", at+"?digest="+name, nil)
	answered(t, http.StatusOK, "GET", base+name, nil)
	// One that nobody goes on with is let go at last.
	answered(t, http.StatusAccepted, "DELETE", base+name, nil)
	s.OK(t, "registry", "gc", "--grace", "0s")
	stack.Says(t, s.OK(t, "registry", "status"), "Blobs:         0")
	if n := received(s); n != 0 {
		t.Errorf("%d bytes half sent are left", n)
	}
}

// received is how many bytes of unfinished blobs the store has.
func received(s *stack.Stack) (n int64) {
	files, _ := filepath.Glob(filepath.Join(s.Images(), "content/ingest/*/data"))
	for _, f := range files {
		if i, err := os.Stat(f); err == nil {
			n += i.Size()
		}
	}
	return n
}

// answered makes a request that must be answered so, and returns the header.
func answered(t *testing.T, status int, method, url string, body io.Reader) http.Header {
	t.Helper()
	r, err := http.NewRequest(method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != status {
		t.Fatalf("%s %s: %s, want %d: %s", method, url, resp.Status, status, text)
	}
	return resp.Header
}

// A disk that fills up in the middle of a push refuses it and says so, whatever
// the client; what came gives its room back, and the next try works.
func TestAPushOntoAFullDiskIsRefused(t *testing.T) {
	t.Parallel()
	s, d := onSmallDisk(t)
	host := enabled(t, s)
	base := "http://" + host + "/v2/me/app/blobs/"
	body := strings.Repeat("x", 8<<20)
	do := func(method, url, body string) (int, string) {
		t.Helper()
		r, err := http.NewRequest(method, url, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		return stack.Do(r)
	}
	inChunks := func() (int, string) {
		t.Helper()
		at := "http://" + host + answered(t, http.StatusAccepted, "POST", base+"uploads/", nil).Get("Location")
		if code, text := do("PATCH", at, body[:1<<20]); code != http.StatusAccepted {
			t.Fatalf("the first chunk: %d %s", code, text)
		}
		if code, text := do("PATCH", at, body[1<<20:]); code != http.StatusAccepted {
			if again, said := do("PATCH", at, "x"); again != code || said != text {
				t.Errorf("asked again, it says %d %s", again, said)
			}
			return code, text
		}
		return do("PUT", at+"?digest="+digest.FromString(body).String(), "")
	}
	atOnce := func() (int, string) {
		return do("POST", base+"uploads/?digest="+digest.FromString(body).String(), body)
	}
	far := stack.Start(t)
	noise := make([]byte, 8<<20)
	if _, err := rand.Read(noise); err != nil {
		t.Fatal(err)
	}
	ref := host + "/me/far:1"
	far.Build(t, ref, map[string]string{"Dockerfile": "FROM busybox\nCOPY noise /\n", "noise": string(noise)}).Want(t, 0)

	d.fill(4 << 20)
	for name, push := range map[string]func() (int, string){"in chunks": inChunks, "at once": atOnce} {
		if code, text := push(); code != http.StatusServiceUnavailable || !strings.Contains(text, "full") {
			t.Errorf("%s: %d %s", name, code, text)
		}
		if n := received(s); n != 0 {
			t.Errorf("%s: %d bytes are left", name, n)
		}
	}
	stack.Says(t, far.Fail(t, 1, "push", ref), "the disk of the registry is full", "lus registry gc")
	d.empty()
	for name, push := range map[string]func() (int, string){"in chunks": inChunks, "at once": atOnce} {
		if code, text := push(); code != http.StatusCreated {
			t.Errorf("%s, with room again: %d %s", name, code, text)
		}
	}
	stack.Says(t, far.OK(t, "push", ref), "1: digest: sha256:")
}

// The same for what is fetched from another registry: that one is not blamed, and is
// asked again at once.
func TestAFetchOntoAFullDiskIsRefused(t *testing.T) {
	t.Parallel()
	s, d := onSmallDisk(t)
	host := enabled(t, s)
	far := stack.Registry(t)
	blob := "sha256:" + stack.PushFile(t, far+"/team/big:1", "data", []byte(noise(t, 8<<20)))
	s.OK(t, "registry", "upstream", "far", "http://"+far)
	url := "http://" + host + "/v2/far/team/big/"
	answered(t, http.StatusOK, "GET", url+"manifests/1", nil)
	d.fill(4 << 20)
	r, err := http.NewRequest("GET", url+"blobs/"+blob, nil)
	if err != nil {
		t.Fatal(err)
	}
	if code, text := stack.Do(r); code != http.StatusServiceUnavailable || !strings.Contains(text, "the disk of the registry is full") {
		t.Errorf("%d %s", code, text)
	}
	if n := received(s); n != 0 {
		t.Errorf("%d bytes are left", n)
	}
	d.empty()
	answered(t, http.StatusOK, "GET", url+"blobs/"+blob, nil)
	s.OK(t, "pull", host+"/far/team/big:1")
}

// A registry that is fetched from by ours need not be there twice.
func TestImagesAreFetchedThroughTheRegistry(t *testing.T) {
	t.Parallel()
	far, farHost := ownRegistry(t)
	far.OK(t, "tag", "busybox", farHost+"/base/busybox:1")
	far.OK(t, "push", farHost+"/base/busybox:1")
	s := stack.Idle(t)
	s.StartDaemon(t)
	host := enabled(t, s)
	s.OK(t, "registry", "upstream", "far", "http://"+farHost)
	stack.Says(t, s.OK(t, "registry", "upstream"), "far/", "http://"+farHost)
	ref := host + "/far/base/busybox:1"
	s.OK(t, "pull", ref)
	far.OK(t, "registry", "disable")
	s.OK(t, "rmi", ref)
	s.OK(t, "pull", ref)
	stack.Says(t, s.OK(t, "run", "--rm", ref, "echo", "kept"), "kept")
}

func TestTheRegistrysVerbs(t *testing.T) {
	t.Parallel()
	s := stack.Start(t)
	stack.Says(t, s.OK(t, "registry", "status"), "not enabled")
	stack.Says(t, s.Fail(t, 1, "search", "x"), "not enabled")
	stack.Says(t, s.Fail(t, 1, "registry", "enable", "nonsense:x"), "is not a port")
	host := enabled(t, s)
	s.OK(t, "registry", "quota", "me", "10MB")
	ref := host + "/me/app:1"
	s.OK(t, "tag", "busybox", ref)
	s.OK(t, "push", ref)
	stack.Says(t, s.OK(t, "registry", "quota"), "me", "10MB")
	stack.Says(t, s.OK(t, "registry", "ls", "me/app"), "sha256:")
	if got := s.OK(t, "registry", "ls", "-q"); strings.TrimSpace(got) != "me/app" {
		t.Errorf("%q", got)
	}
	s.OK(t, "registry", "quota", "me", "1kB")
	s.OK(t, "tag", "busybox", host+"/me/other:1")
	stack.Says(t, s.Fail(t, 1, "push", host+"/me/other:1"), "denied: the quota of me is used up")
	s.OK(t, "registry", "quota", "me", "none")
	// Its address is kept.
	port := host[len("localhost:"):]
	s.OK(t, "registry", "enable", port)
	s.Stop()
	s.StartDaemon(t)
	stack.Eventually(t, "it listens again", func() bool { return strings.Contains(s.Lus("registry", "status").Out, "127.0.0.1:"+port) })
	stack.Says(t, s.Fail(t, 1, "registry", "rm", "me/app:2"), "the repository me/app has no tag 2")
	stack.Says(t, s.Fail(t, 1, "registry", "rm", "me/app@sha256:"+strings.Repeat("0", 64)), "has no manifest sha256:0")
	stack.Says(t, s.OK(t, "registry", "rm", "me/app:1"), "me/app:1")
	s.OK(t, "registry", "rm", "me/app")
	stack.Says(t, s.Fail(t, 1, "registry", "rm", "me/app"), "there is no repository me/app")
	stack.Says(t, s.OK(t, "registry", "gc", "--grace", "0s"), "Total reclaimed space")
	s.OK(t, "registry", "disable")
	if _, err := exec.Command("bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/"+port).Output(); err == nil {
		t.Error("it still listens")
	}
}
