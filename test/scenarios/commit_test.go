package scenarios

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"lus/test/need"
	"lus/test/stack"
)

// imageName is a name for an image that goes with the test.
func imageName(t *testing.T, s *stack.Stack, word string) string {
	t.Helper()
	name := named(t, s, word)
	t.Cleanup(func() { s.Lus("rmi", "-f", name) })
	return name
}

func TestDiffTellsWhatAContainerChanged(t *testing.T) {
	t.Parallel()
	s := shared(t)
	name, base, v := named(t, s, "diff"), imageName(t, s, "base"), volume(t, s)
	from := named(t, s, "from")
	s.OK(t, "run", "--name", from, stack.Busybox, "sh", "-c", "mkdir -p /d/sub /e; echo a >/d/a; echo b >/d/sub/b; echo c >/e/c; echo k >/e/k; echo f >/f")
	s.OK(t, "commit", from, base)
	s.OK(t, "run", "--name", name, "-v", v+":/far/away", base, "sh", "-c",
		"echo more >>/d/a; rm /d/sub/b; rm -r /e; mkdir /e; echo n >/e/n; rm /f; mkdir -p /new/deep; touch /new/deep/x; ln -s x /d/link; echo v >/far/away/v; chmod 700 /d/sub")
	want := "C /d\nC /d/a\nA /d/link\nC /d/sub\nD /d/sub/b\nC /e\nD /e/c\nD /e/k\nA /e/n\nD /f\nA /new\nA /new/deep\nA /new/deep/x"
	for client, program := range clients(t, s) {
		if got := s.Do(nil, program, "diff", name).Want(t, 0); got != want {
			t.Errorf("%s says\n%s\nnot\n%s", client, got, want)
		}
	}
	idle := named(t, s, "idle")
	s.OK(t, "run", "--name", idle, "-v", v+":/far/away", "--tmpfs", "/scratch", stack.Busybox, "true")
	if got := s.OK(t, "diff", idle); got != "" {
		t.Errorf("a container that did nothing changed %q", got)
	}
	stack.Says(t, s.Fail(t, 1, "diff", "no-such-one"), "No such container: no-such-one")
}

func TestAnExportBecomesAnImageThatRuns(t *testing.T) {
	t.Parallel()
	s := shared(t)
	dir := t.TempDir()
	for client, program := range clients(t, s) {
		name, image, v := named(t, s, "export"), imageName(t, s, "imported"), volume(t, s)
		s.OK(t, "run", "-d", "--name", name, "-v", v+":/vol", stack.Busybox, "sh", "-c", "echo mine >/f; rm /etc/group; echo not >/vol/g; touch /ready; sleep 300")
		stack.Eventually(t, "the container's files", func() bool { return s.Lus("exec", name, "test", "-e", "/ready").Code == 0 })
		tar := filepath.Join(dir, client+".tar")
		s.Do(nil, program, "export", "-o", tar, name).Want(t, 0)
		s.Do(nil, program, "import", "-c", `CMD ["cat", "/f"]`, tar, image).Want(t, 0)
		if got := s.OK(t, "run", "--rm", image); got != "mine" {
			t.Errorf("%s: the image says %q", client, got)
		}
		if got := s.OK(t, "run", "--rm", image, "sh", "-c", "ls /vol; ls /etc/group 2>/dev/null || echo gone"); got != "gone" {
			t.Errorf("%s: the image holds %q", client, got)
		}
	}
}

func TestCommitKeepsEverythingAndTheContainerGoesOn(t *testing.T) {
	t.Parallel()
	s := shared(t)
	name, v := named(t, s, "commit"), volume(t, s)
	s.OK(t, "run", "-d", "--name", name, "-e", "A=b", "-v", v+":/vol", stack.Busybox, "sh", "-c",
		"mkdir /d; echo one >/d/f; ln /d/f /d/hard; ln -s f /d/link; chown 3:4 /d/f; chmod 4750 /d/f; rm /etc/group; echo no >/vol/f; touch /ready; i=0; while :; do i=$((i+1)); echo $i >>/first; echo $i >>/then; done")
	stack.Eventually(t, "the container's files", func() bool { return s.Lus("exec", name, "test", "-e", "/ready").Code == 0 })
	for client, program := range clients(t, s) {
		image := imageName(t, s, "made")
		id := s.Do(nil, program, "commit", "-a", "me", "-m", "why", "-c", `CMD ["stat", "-c", "%u:%g %a %h", "/d/f"]`, "-c", "ENV X=y", "-c", "EXPOSE 80",
			"-c", "LABEL l=m", "-c", "ONBUILD RUN true", "-c", "USER 0:0", "-c", "VOLUME /data", "-c", "WORKDIR /d", name, image+":1").Want(t, 0)
		t.Cleanup(func() { s.Lus("rmi", "-f", image+":1") })
		if !strings.HasPrefix(id, "sha256:") {
			t.Errorf("%s: commit printed %q", client, id)
		}
		if got := s.OK(t, "run", "--rm", image+":1"); got != "3:4 4750 2" {
			t.Errorf("%s: the file is %q", client, got)
		}
		if got := s.OK(t, "run", "--rm", image+":1", "sh", "-c", "pwd; echo $A $X; readlink link; ls /etc/group /vol 2>/dev/null; true"); got != "/d\nb y\nf\n/vol:" {
			t.Errorf("%s: the image holds %q", client, got)
		}
		// One moment: what is written first is at most one line ahead.
		if got := s.OK(t, "run", "--rm", image+":1", "sh", "-c", "echo $(($(wc -l </first) - $(wc -l </then)))"); got != "0" && got != "1" {
			t.Errorf("%s: the image is torn: one file is %s lines ahead of the other", client, got)
		}
		var list []struct {
			Author, Comment string
			Config          struct {
				ExposedPorts, Volumes map[string]struct{}
				Labels                map[string]string
				OnBuild               []string
				User                  string
			}
			RootFS struct{ Layers []string }
		}
		if err := json.Unmarshal([]byte(s.OK(t, "image", "inspect", image+":1")), &list); err != nil {
			t.Fatal(err)
		}
		i := list[0]
		if i.Author != "me" || i.Comment != "why" || i.Config.Labels["l"] != "m" || len(i.Config.OnBuild) != 1 || i.Config.User != "0:0" || len(i.RootFS.Layers) != 2 {
			t.Errorf("%s: the image is %+v", client, i)
		}
		for _, have := range []map[string]struct{}{i.Config.ExposedPorts, i.Config.Volumes} {
			if len(have) != 1 {
				t.Errorf("%s: ports and volumes: %+v", client, i.Config)
			}
		}
		stack.Says(t, s.OK(t, "history", "--no-trunc", image+":1"), "why", "echo $i >>/then")
	}
	if got := s.OK(t, "inspect", "-f", "{{.State.Status}}", name); got != "running" {
		t.Errorf("the container is %s", got)
	}
	stack.Says(t, s.Fail(t, 1, "commit", "-c", "RUN true", name), "RUN is not a valid change command")
	stack.Says(t, s.Fail(t, 1, "commit", name, "UPPER"), "repository name")
}

func TestS50FigletByCommit(t *testing.T) {
	t.Parallel()
	s := shared(t)
	name, image := named(t, s, "figlet"), named(t, s, "figlet")+":1"
	t.Cleanup(func() { s.Lus("rmi", "-f", image) })
	s.OK(t, "run", "-d", "--name", name, stack.Debian, "sleep", "600")
	if r := s.Lus("exec", name, "sh", "-c", "apt-get update -qq && apt-get install -qq -y --no-install-recommends figlet"); r.Code != 0 {
		need.Unmet(t, "Debian's packages are not in reach from a container:\n%s", r.All())
	}
	diff := s.OK(t, "diff", name)
	stack.Says(t, diff, "C /usr/bin", "A /usr/bin/figlet", "C /var/lib/dpkg/status")
	id := s.OK(t, "commit", name)
	t.Cleanup(func() { s.Lus("rmi", "-f", id) })
	stack.Says(t, s.OK(t, "images", "--no-trunc", "--filter", "dangling=true"), "<none>", id)
	s.OK(t, "tag", id, image)
	stack.Says(t, s.OK(t, "images", image), strings.TrimSuffix(image, ":1"))
	stack.Says(t, s.OK(t, "run", "--rm", image, "figlet", "hi"), "| |__ (_)", "|_| |_|_|")
}
