package scenarios

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lus/test/need"
	"lus/test/stack"
)

// tool is a program of others that has images of its own, in a folder of the
// test's.
type tool struct {
	t    *testing.T
	s    *stack.Stack
	line []string // the program and its options
}

func (o *tool) do(args ...string) string {
	o.t.Helper()
	return o.s.Do(nil, o.line[0], append(append([]string{}, o.line[1:]...), args...)...).Want(o.t, 0)
}

func newTool(t *testing.T, s *stack.Stack, name string) *tool {
	dir, err := os.MkdirTemp("", "lus-x") // podman takes no long path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	// Without the file that DOCKER_CONFIG names, buildah does nothing.
	line := []string{"env", "-u", "DOCKER_CONFIG", need.Program(t, name, name), "--root", dir + "/root", "--runroot", dir + "/run", "--storage-driver", "vfs"}
	if name == "podman" {
		line = append(line, "--tmpdir", dir+"/tmp", "--cgroup-manager", "cgroupfs", "--events-backend", "none")
	}
	return &tool{t: t, s: s, line: line}
}

// An image goes from us to the other program and back, through a registry and in
// archives of both formats, and one that the other program made comes to us.
func TestImagesAreExchangedWithOthers(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"buildah", "podman"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := shared(t)
			other := newTool(t, s, name)
			reg, dir := stack.Registry(t), t.TempDir()
			ours := reg + "/ours:1"
			t.Cleanup(func() { s.Lus("rmi", "-f", ours) })
			s.Do(strings.NewReader("FROM "+stack.Busybox+"\nRUN mkdir /d && echo built >/d/f && chmod 700 /d\nCMD [\"cat\", \"/d/f\"]\n"),
				filepath.Join(s.Bin, "lus"), "build", "-q", "-t", ours, "-").Want(t, 0)
			s.OK(t, "push", ours)
			runs := func(ref, want string) {
				t.Helper()
				t.Cleanup(func() { s.Lus("rmi", "-f", ref) })
				if got := s.OK(t, "run", "--rm", ref); got != want {
					t.Errorf("%s says %q, want %q", ref, got, want)
				}
			}

			// Through the registry, there and back.
			other.do("pull", "--tls-verify=false", ours)
			other.do("push", "--tls-verify=false", ours, "docker://"+reg+"/back:1")
			s.OK(t, "pull", reg+"/back:1")
			runs(reg+"/back:1", "built")

			// What they made.
			context := stack.Folder(t, map[string]string{"g": "theirs\n", "Dockerfile": "FROM " + ours + "\nCOPY g /g\nCMD [\"cat\", \"/g\"]\n"})
			for _, format := range []string{"docker", "oci"} {
				ref := reg + "/theirs:" + format
				other.do("build", "--format", format, "--isolation", "chroot", "-t", ref, context)
				other.do("push", "--tls-verify=false", ref, "docker://"+ref)
				s.OK(t, "pull", ref)
				runs(ref, "theirs")
			}

			// In archives.
			file := filepath.Join(dir, "ours.tar")
			s.OK(t, "save", "-o", file, ours)
			for _, kind := range []string{"docker-archive", "oci-archive"} {
				id := lastOf(other.do("pull", "-q", kind+":"+file))
				archive := filepath.Join(dir, kind+".tar")
				ref := "from-" + name + "-" + kind + ":1"
				other.do("push", id, kind+":"+archive+":"+ref)
				out := s.OK(t, "load", "-i", archive)
				stack.Says(t, out, "Loaded image")
				_, loaded, _ := strings.Cut(lastOf(out), ": ")
				runs(loaded, "built")
			}
		})
	}
}

func lastOf(text string) string {
	text = strings.TrimSpace(text)
	return text[strings.LastIndexByte(text, '\n')+1:]
}

// skopeo moves our images between registries and archives, and we take what it
// made of them.
func TestSkopeoCarriesImagesBothWays(t *testing.T) {
	t.Parallel()
	s := shared(t)
	skopeo := need.Program(t, "skopeo", "skopeo")
	reg, dir := stack.Registry(t), t.TempDir()
	ours := reg + "/ours:1"
	t.Cleanup(func() { s.Lus("rmi", "-f", ours) })
	s.Do(strings.NewReader("FROM "+stack.Busybox+"\nRUN echo built >/f\nCMD [\"cat\", \"/f\"]\n"),
		filepath.Join(s.Bin, "lus"), "build", "-q", "-t", ours, "-").Want(t, 0)
	file := filepath.Join(dir, "ours.tar")
	s.OK(t, "save", "-o", file, ours)
	s.OK(t, "push", ours)
	carry := func(from, to string, options ...string) {
		t.Helper()
		s.Do(nil, skopeo, append(append([]string{"--insecure-policy", "copy", "-q", "--src-tls-verify=false", "--dest-tls-verify=false"}, options...), from, to)...).Want(t, 0)
	}
	for name, way := range map[string]struct {
		from    string
		options []string
	}{
		"from-docker-archive": {"docker-archive:" + file, nil},
		"from-oci-archive":    {"oci-archive:" + file, nil},
		"as-docker":           {"docker://" + ours, []string{"--format", "v2s2"}},
		"as-zstd":             {"docker-archive:" + file, []string{"--dest-compress-format", "zstd", "--format", "oci"}},
	} {
		ref := reg + "/" + name + ":1"
		t.Cleanup(func() { s.Lus("rmi", "-f", ref) })
		carry(way.from, "docker://"+ref, way.options...)
		s.OK(t, "pull", ref)
		if got := s.OK(t, "run", "--rm", ref); got != "built" {
			t.Errorf("%s says %q", name, got)
		}
	}
	for _, kind := range []string{"docker-archive", "oci-archive"} {
		archive := filepath.Join(dir, kind+".tar")
		carry("docker://"+ours, kind+":"+archive+":by-skopeo-"+kind+":1")
		out := s.OK(t, "load", "-i", archive)
		_, loaded, _ := strings.Cut(lastOf(out), ": ")
		t.Cleanup(func() { s.Lus("rmi", "-f", loaded) })
		if got := s.OK(t, "run", "--rm", loaded); got != "built" {
			t.Errorf("%s says %q: %s", kind, got, out)
		}
	}
}

// An image that is built on one that was loaded is whole without that: its layers came
// as plain tars of others, and what is written of their files is not the same bytes.
func TestWhatIsBuiltOnALoadedImageOutlivesIt(t *testing.T) {
	t.Parallel()
	s := stack.Start(t) // its build cache is pruned
	skopeo := need.Program(t, "skopeo", "skopeo")
	ref, file := stack.Registry(t)+"/base:1", filepath.Join(t.TempDir(), "base.tar")
	stack.PushBusybox(t, ref, "cat", "/f")
	s.Do(nil, skopeo, "--insecure-policy", "copy", "-q", "--src-tls-verify=false", "docker://"+ref, "docker-archive:"+file+":base:1").Want(t, 0)
	stack.Says(t, s.OK(t, "load", "-i", file), "Loaded image: base:1")
	s.Build(t, "built:1", map[string]string{"Dockerfile": "FROM base:1\nRUN echo built >/f\n"}).Want(t, 0)
	pushed := strings.Replace(ref, "/base:", "/built:", 1)
	s.OK(t, "tag", "built:1", pushed)
	s.OK(t, "push", pushed)
	s.OK(t, "rmi", "base:1", pushed)
	s.OK(t, "builder", "prune", "-a", "-f")
	s.OK(t, "image", "prune", "-f")
	s.OK(t, "save", "-o", file, "built:1")
	s.OK(t, "rmi", "built:1")
	s.OK(t, "load", "-i", file)
	s.OK(t, "pull", pushed)
	for _, image := range []string{"built:1", pushed} {
		if got := s.OK(t, "run", "--rm", image); got != "built" {
			t.Errorf("%s says %q", image, got)
		}
	}
}

// All tags of a repository come with -a, by either client.
func TestAllTagsArePulled(t *testing.T) {
	t.Parallel()
	s := shared(t)
	repo := stack.Registry(t) + "/many"
	t.Cleanup(func() { s.Lus("rmi", "-f", repo+":1", repo+":2") })
	stack.PushBusybox(t, repo+":1", "echo", "one")
	stack.PushBusybox(t, repo+":2", "echo", "two")
	for client, program := range clients(t, s) {
		out := s.Do(nil, program, "pull", "-a", repo).Want(t, 0)
		stack.Says(t, out, "1: Pulling from many", "2: Pulling from many", "Status: Downloaded newer image for "+repo+":2")
		for tag, want := range map[string]string{"1": "one", "2": "two"} {
			if got := s.OK(t, "run", "--rm", repo+":"+tag); got != want {
				t.Errorf("%s: %s says %q", client, tag, got)
			}
		}
		s.OK(t, "rmi", repo+":1", repo+":2")
		if r := s.Do(nil, program, "pull", "-a", repo+":1"); r.Code == 0 || !strings.Contains(r.All(), "tag can't be used with --all-tags/-a") {
			t.Errorf("%s takes a tag with -a: %s", client, r.All())
		}
	}
	s.Do(strings.NewReader("FROM "+stack.Busybox+"\nRUN echo built >/f\n"), filepath.Join(s.Bin, "lus"), "build", "-q", "-t", repo+":1", "-").Want(t, 0)
	s.OK(t, "push", "--compression", "zstd", repo+":1")
	raw := s.Do(nil, need.Program(t, "skopeo", "skopeo"), "inspect", "--tls-verify=false", "--raw", "docker://"+repo+":1").Want(t, 0)
	stack.Says(t, raw, "application/vnd.oci.image.layer.v1.tar+zstd")
	stack.Says(t, s.Fail(t, 1, "push", "--compression", "lz4", repo+":1"), "it is gzip or zstd")
}
