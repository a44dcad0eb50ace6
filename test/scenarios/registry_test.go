package scenarios

import (
	"fmt"
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
	_, port, _ := strings.Cut(s.OK(t, "registry", "enable", "127.0.0.1:0"), ":")
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

// Who is killed in the middle of a push leaves nothing that is seen, and the next
// try works.
func TestAPushOutlivesTheDaemonsDeath(t *testing.T) {
	t.Parallel()
	s, host := ownRegistry(t)
	s.OK(t, "registry", "enable", "127.0.0.1:"+host[len("localhost:"):]) // the same port next time
	ask := func(method, path, body string) (int, http.Header, string) {
		t.Helper()
		r, err := http.NewRequest(method, path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		return resp.StatusCode, resp.Header, resp.Header.Get("Location")
	}
	base := "http://" + host
	_, _, whole := ask("POST", base+"/v2/me/app/blobs/uploads/?digest="+digest.FromString("whole").String(), "whole")
	_, _, at := ask("POST", base+"/v2/me/app/blobs/uploads/", "")
	if code, _, _ := ask("PATCH", base+at, "half"); code != http.StatusAccepted {
		t.Fatal(code)
	}
	s.Kill()
	s.StartDaemon(t)
	stack.Eventually(t, "the registry listens again", func() bool {
		resp, err := http.Get(base + whole)
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	if code, _, _ := ask("PATCH", base+at, "rest"); code != http.StatusNotFound {
		t.Errorf("an upload of the dead daemon: %d", code)
	}
	for _, text := range []string{"half", "halfrest"} {
		if code, _, _ := ask("HEAD", base+"/v2/me/app/blobs/"+digest.FromString(text).String(), ""); code != http.StatusNotFound {
			t.Errorf("what was half sent is there: %d", code)
		}
	}
	if code, _, _ := ask("POST", base+"/v2/me/app/blobs/uploads/?digest="+digest.FromString("halfrest").String(), "halfrest"); code != http.StatusCreated {
		t.Errorf("the next try: %d", code)
	}
	s.OK(t, "registry", "gc", "--grace", "0s")
	stack.Says(t, s.OK(t, "registry", "status"), "Blobs:         0")
}

// A full disk refuses a push, says so, and takes it once there is room.
func TestAPushOntoAFullDiskIsRefused(t *testing.T) {
	t.Parallel()
	s, d := onSmallDisk(t)
	host := enabled(t, s)
	body := strings.Repeat("x", 8<<20)
	push := func() (int, string) {
		t.Helper()
		r, err := http.NewRequest("POST", "http://"+host+"/v2/me/app/blobs/uploads/?digest="+digest.FromString(body).String(), strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		return stack.Do(r)
	}
	d.fill(2 << 20)
	if code, text := push(); code != http.StatusServiceUnavailable || !strings.Contains(text, "full") {
		t.Errorf("%d %s", code, text)
	}
	d.empty()
	if code, text := push(); code != http.StatusCreated {
		t.Errorf("with room again: %d %s", code, text)
	}
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
	stack.Says(t, s.Fail(t, 1, "push", host+"/me/other:1"), "the quota of me is used up")
	s.OK(t, "registry", "quota", "me", "none")
	// Its address is kept.
	port := host[len("localhost:"):]
	s.OK(t, "registry", "enable", port)
	s.Stop()
	s.StartDaemon(t)
	stack.Eventually(t, "it listens again", func() bool { return strings.Contains(s.Lus("registry", "status").Out, "127.0.0.1:"+port) })
	stack.Says(t, s.OK(t, "registry", "rm", "me/app:1"), "me/app:1")
	s.OK(t, "registry", "rm", "me/app")
	stack.Says(t, s.Fail(t, 1, "registry", "rm", "me/app"), "there is no repository me/app")
	stack.Says(t, s.OK(t, "registry", "gc", "--grace", "0s"), "Total reclaimed space")
	s.OK(t, "registry", "disable")
	if _, err := exec.Command("bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/"+port).Output(); err == nil {
		t.Error("it still listens")
	}
}
