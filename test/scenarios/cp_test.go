package scenarios

import (
	"archive/tar"
	"bytes"
	"debug/elf"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lus/test/stack"
)

// clients are the two commands that copy: ours and Docker's.
func clients(t *testing.T, s *stack.Stack) map[string]string {
	t.Helper()
	return map[string]string{"lus": filepath.Join(s.Bin, "lus"), "docker": dockerClient(t)}
}

func put(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func text(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Error(err)
	}
	return strings.TrimSpace(string(data))
}

// tarNames are the names in a tar.
func tarNames(t *testing.T, data string) []string {
	t.Helper()
	var out []string
	r := tar.NewReader(strings.NewReader(data))
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, h.Name)
	}
}

func TestCopyOutFollowsDockersRules(t *testing.T) {
	t.Parallel()
	s := shared(t)
	name := named(t, s, "cp")
	s.OK(t, "run", "--name", name, stack.Busybox, "sh", "-c",
		"mkdir -p /d/sub; echo one >/d/f; echo two >/d/sub/g; ln -s /d/f /link; ln -s d /dlink; ln /d/f /d/hard; ln -s /etc/hostname /abs; chmod 755 /d/f")
	for client, program := range clients(t, s) {
		t.Run(client, func(t *testing.T) {
			dir := t.TempDir()
			at := func(p string) string { return filepath.Join(dir, p) }
			put(t, at("file"), "old")
			put(t, at("have/x"), "x")
			cp := func(code int, args ...string) string {
				t.Helper()
				r := s.DoIn(dir, nil, program, append([]string{"cp"}, args...)...)
				r.Want(t, code)
				return r.All()
			}
			stack.Says(t, cp(0, "--quiet=false", name+":/d/f", "new"), "Successfully copied 2.05kB to "+at("new")) // a name that is not there
			cp(0, name+":/d/f", "file")                                                                            // over a file
			cp(0, name+":/d/f", "have")                                                                            // into a folder
			cp(0, name+":/d", "made")                                                                              // a folder under a new name
			cp(0, name+":/d", "have")                                                                              // a folder into a folder
			cp(0, name+":/d/.", "have")                                                                            // its content into a folder
			cp(0, "-q", name+":/link", "link")                                                                     // a link as it is
			cp(0, "-L", name+":/link", "followed")                                                                 // what it leads to
			cp(0, "-L", name+":/dlink", "dirs")
			cp(0, name+":/dlink/.", "byslash")
			for p, want := range map[string]string{
				"new": "one", "file": "one", "have/f": "one", "made/sub/g": "two", "have/d/sub/g": "two", "have/sub/g": "two",
				"have/x": "x", "followed": "one", "dirs/f": "one", "byslash/sub/g": "two", "made/hard": "one",
			} {
				if got := text(t, at(p)); got != want {
					t.Errorf("%s holds %q, not %q", p, got, want)
				}
			}
			if to, err := os.Readlink(at("link")); err != nil || to != "/d/f" {
				t.Errorf("the link leads to %q: %v", to, err)
			}
			if st, err := os.Stat(at("new")); err != nil || st.Mode().Perm() != 0o755 {
				t.Errorf("the mode is %v: %v", st.Mode(), err)
			}
			stack.Says(t, cp(1, name+":/d", "file"), "cannot copy directory")
			stack.Says(t, cp(1, name+":/d/f", "none/"), "no such directory")
			stack.Says(t, cp(1, name+":/d/f", "no/such/f"), `directory "`+at("no/such")+`" does not exist`)
			stack.Says(t, cp(1, name+":/none", "x"), "Could not find the file /none in container "+name)
			put(t, at("clash/f/x"), "x")
			put(t, at("clash/sub"), "x")
			stack.Says(t, cp(1, name+":/d/f", "clash"), "cannot overwrite directory")
			stack.Says(t, cp(1, name+":/d/sub", "clash"), "cannot overwrite non-directory")
			stack.Says(t, cp(1, name+":/d", name+":/e"), "copying between containers is not supported")
			stack.Says(t, cp(1, "a", "b"), "must specify at least one container source")
			if got := tarNames(t, cp(0, name+":/d/sub", "-")); strings.Join(got, " ") != "sub/ sub/g" {
				t.Errorf("the tar holds %q", got)
			}
		})
	}
}

func TestCopyInFollowsDockersRules(t *testing.T) {
	t.Parallel()
	s := shared(t)
	for client, program := range clients(t, s) {
		t.Run(client, func(t *testing.T) {
			name, v, dir := named(t, s, "cp"), volume(t, s), t.TempDir()
			put(t, filepath.Join(dir, "f"), "one")
			put(t, filepath.Join(dir, "d/sub/g"), "two")
			if err := os.Symlink("f", filepath.Join(dir, "link")); err != nil {
				t.Fatal(err)
			}
			s.OK(t, "run", "--name", name, "-u", "33:34", "-v", v+":/vol", "-v", v+":/sealed:ro", stack.Busybox, "true")
			var in io.Reader
			cp := func(code int, args ...string) string {
				t.Helper()
				r := s.DoIn(dir, in, program, append([]string{"cp"}, args...)...)
				r.Want(t, code)
				return r.All()
			}
			read := func(p string) string {
				t.Helper()
				out := s.Do(nil, program, "cp", name+":"+p, "-").Want(t, 0)
				r := tar.NewReader(strings.NewReader(out + strings.Repeat("\x00", 1024)))
				if _, err := r.Next(); err != nil {
					t.Fatal(err)
				}
				data, _ := io.ReadAll(r)
				return strings.TrimSpace(string(data))
			}
			stack.Says(t, cp(0, "--quiet=false", "f", name+":/new"), "Successfully copied 2.05kB to "+name+":/new")
			cp(0, "f", name+":/new")  // over a file
			cp(0, "f", name+":/tmp/") // into a folder
			cp(0, "d", name+":/made") // a folder under a new name
			cp(0, "d", name+":/tmp")
			cp(0, "d/.", name+":/opt2")
			cp(0, "link", name+":/link")
			cp(0, "-L", "link", name+":/followed")
			cp(0, "-a", "f", name+":/vol/owned")
			cp(0, "f", name+":/vol/rooted")
			for p, want := range map[string]string{
				"/new": "one", "/tmp/f": "one", "/made/sub/g": "two", "/tmp/d/sub/g": "two", "/opt2/sub/g": "two", "/followed": "one", "/vol/owned": "one",
			} {
				if got := read(p); got != want {
					t.Errorf("%s holds %q, not %q", p, got, want)
				}
			}
			stack.Says(t, cp(1, "d", name+":/new"), "cannot copy directory")
			stack.Says(t, cp(1, "f", name+":/none/"), "no such directory")
			stack.Says(t, cp(1, "f", name+":/no/such/f"), "Could not find the file /no/such in container "+name)
			stack.Says(t, cp(1, "f", name+":/sealed/f"), "mounted volume is marked read-only")
			stack.Says(t, cp(1, "f", "no-such-one:/f"), "No such container: no-such-one")

			tarball := s.Do(nil, program, "cp", name+":/made", "-").Want(t, 0)
			in = strings.NewReader(tarball + strings.Repeat("\x00", 1024))
			cp(0, "-", name+":/tmp")
			if got := read("/tmp/made/sub/g"); got != "two" {
				t.Errorf("what came by standard input holds %q", got)
			}
			in = strings.NewReader(tarball)
			stack.Says(t, cp(1, "-", name+":/new"), `destination "`+name+`:/new" must be a directory`)
			in = strings.NewReader(strings.Repeat("this is no tar", 100))
			stack.Says(t, cp(1, "-", name+":/tmp"), "tar")

			out := s.OK(t, "run", "--rm", "-v", v+":/vol", stack.Busybox, "stat", "-c", "%u:%g", "/vol/owned", "/vol/rooted")
			if out != "33:34\n0:0" {
				t.Errorf("the owners are %q", out)
			}
		})
	}
}

func TestCopyReachesWhatARunningContainerSees(t *testing.T) {
	t.Parallel()
	s := shared(t)
	name, v, dir := named(t, s, "cp"), volume(t, s), t.TempDir()
	put(t, filepath.Join(dir, "bound/f"), "bound")
	put(t, filepath.Join(dir, "f"), "new")
	s.OK(t, "run", "-d", "--name", name, "-v", v+":/vol", "-v", filepath.Join(dir, "bound")+":/bound", "--tmpfs", "/scratch", "--read-only",
		stack.Busybox, "sh", "-c", "echo mine >/vol/f; echo kept >/scratch/f; touch /vol/ready; sleep 300")
	stack.Eventually(t, "the container's files", func() bool { return s.Lus("exec", name, "test", "-e", "/vol/ready").Code == 0 })
	for p, want := range map[string]string{"/vol/f": "mine", "/bound/f": "bound", "/scratch/f": "kept", "/proc/1/status": "Name:", "/etc/hostname": ""} {
		to := filepath.Join(dir, "out")
		s.OK(t, "cp", name+":"+p, to)
		if got := text(t, to); !strings.Contains(got, want) || got == "" {
			t.Errorf("%s holds %q, not %q", p, got, want)
		}
		os.Remove(to)
	}
	f := filepath.Join(dir, "f")
	s.OK(t, "cp", f, name+":/bound/g")
	s.OK(t, "cp", f, name+":/vol/g")
	if got := text(t, filepath.Join(dir, "bound/g")); got != "new" {
		t.Errorf("the bind holds %q", got)
	}
	if got := s.OK(t, "exec", name, "cat", "/vol/g"); got != "new" {
		t.Errorf("the container reads %q", got)
	}
	stack.Says(t, s.Fail(t, 1, "cp", f, name+":/tmp/f"), "container rootfs is marked read-only")
	s.OK(t, "pause", name)
	s.OK(t, "cp", name+":/vol/g", filepath.Join(dir, "paused"))
	s.OK(t, "unpause", name)
	s.OK(t, "kill", name)
	s.OK(t, "wait", name)
	s.OK(t, "cp", f, name+":/bound/h") // stopped: its mounts are still its own
	if got := text(t, filepath.Join(dir, "bound/h")); got != "new" {
		t.Errorf("the bind of a stopped container holds %q", got)
	}
	stack.Says(t, s.Fail(t, 1, "cp", f, name+":/tmp/f"), "container rootfs is marked read-only")

	fresh := named(t, s, "fresh")
	s.OK(t, "create", "--name", fresh, "-v", v+":/far/away", stack.Busybox, "cat", "/g", "/far/away/g")
	s.OK(t, "cp", f, fresh+":/g")
	s.OK(t, "cp", fresh+":/far/away/g", filepath.Join(dir, "created"))
	part := named(t, s, "part")
	s.OK(t, "run", "--rm", "-v", v+":/vol", stack.Busybox, "sh", "-c", "mkdir /vol/p; echo part >/vol/p/f")
	s.OK(t, "create", "--name", part, "--mount", "type=volume,source="+v+",target=/p,volume-subpath=p", stack.Busybox, "true")
	s.OK(t, "cp", part+":/p/f", filepath.Join(dir, "part"))
	if got := text(t, filepath.Join(dir, "part")); got != "part" {
		t.Errorf("a part of a volume holds %q", got)
	}
	if got := s.OK(t, "start", "-a", fresh); got != "newnew" {
		t.Errorf("a container started after a copy reads %q", got)
	}
}

// The daemon that copies need not be the one that started the container.
func TestCopyAfterTheDaemonWasKilled(t *testing.T) {
	t.Parallel()
	s := stack.Start(t)
	dir := t.TempDir()
	s.OK(t, "run", "-d", "--name", "kept", "-v", "data:/vol", stack.Busybox, "sh", "-c", "echo mine >/vol/f; echo own >/f; touch /ready; sleep 300")
	stack.Eventually(t, "the container's files", func() bool { return s.Lus("exec", "kept", "test", "-e", "/ready").Code == 0 })
	s.Kill()
	s.StartDaemon(t)
	for p, want := range map[string]string{"/vol/f": "mine", "/f": "own"} {
		s.OK(t, "cp", "kept:"+p, filepath.Join(dir, "out"))
		if got := text(t, filepath.Join(dir, "out")); got != want {
			t.Errorf("%s holds %q", p, got)
		}
	}
	s.OK(t, "cp", filepath.Join(dir, "out"), "kept:/vol/g")
	s.OK(t, "exec", "kept", "test", "-s", "/vol/g")
	s.OK(t, "rm", "-f", "kept")
	s.OK(t, "volume", "rm", "data")
}

// A process in the container swaps a folder for a link to the host's while we
// copy both ways: CVE-2018-15664. Whatever wins, it is a file of the container.
func TestCVE201815664LinksSwappedUnderACopy(t *testing.T) {
	t.Parallel()
	s := shared(t)
	name, dir := named(t, s, "race"), t.TempDir()
	host := filepath.Join(dir, "host")
	put(t, filepath.Join(host, "w"), "the host's")
	put(t, filepath.Join(dir, "w"), "copied in")
	// The same path inside the container, so that a link to it is not dangling there.
	s.OK(t, "run", "-d", "--name", name, "--pid", "host", stack.Busybox, "sh", "-c",
		"mkdir -p "+host+" /box; echo inside >"+host+"/w; echo inside >/box/w; ln -s "+host+" /l; ln -s /proc/1/root"+host+" /m; echo >/ready; "+
			"while :; do mv /box /b; mv /l /box; mv /box /l; mv /m /box; mv /box /m; mv /b /box; done")
	stack.Eventually(t, "the links to be swapped", func() bool { return s.Lus("exec", name, "test", "-e", "/ready").Code == 0 })
	reached, tries := 0, 0
	// On a busy machine the swapper may stand still with the link in place.
	for end := time.Now().Add(3 * time.Minute); tries < 60 || reached == 0 && time.Now().Before(end); tries++ {
		out := filepath.Join(dir, "out")
		if s.Lus("cp", name+":/box/w", out).Code == 0 {
			reached++
			if got := text(t, out); got != "inside" && got != "copied in" {
				t.Fatalf("a copy out read %q", got)
			}
		}
		s.Lus("cp", filepath.Join(dir, "w"), name+":/box/w")
		s.Lus("cp", filepath.Join(dir, "w"), name+":/box")
		if got := text(t, filepath.Join(host, "w")); got != "the host's" {
			t.Fatalf("the host's file was written: %q", got)
		}
	}
	if list, err := os.ReadDir(host); err != nil || len(list) != 1 {
		t.Errorf("the host's folder holds %v: %v", list, err)
	}
	if reached == 0 {
		t.Error("not one copy came through: nothing was shown")
	}
}

// A container's libraries are data to the daemon: CVE-2019-14271. It could not
// load one, because it has no loader.
func TestCVE201914271NoCodeOfTheContainerIsLoaded(t *testing.T) {
	t.Parallel()
	s := shared(t)
	for _, program := range []string{"lusd", "lus", "lus-keeper"} {
		f, err := elf.Open(filepath.Join(s.Bin, program))
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range f.Progs {
			if p.Type == elf.PT_INTERP {
				t.Errorf("%s has a loader and could load a library", program)
			}
		}
		_ = f.Close()
	}
	name, dir := named(t, s, "nss"), t.TempDir()
	s.OK(t, "create", "--name", name, stack.Debian, "true")
	put(t, filepath.Join(dir, "lib/libnss_files.so.2"), "no library")
	put(t, filepath.Join(dir, "etc/nsswitch.conf"), "passwd: evil\n")
	s.OK(t, "cp", filepath.Join(dir, "lib/libnss_files.so.2"), name+":/lib/x86_64-linux-gnu/libnss_files.so.2")
	s.OK(t, "cp", filepath.Join(dir, "etc/nsswitch.conf"), name+":/etc/nsswitch.conf")
	s.OK(t, "cp", name+":/etc/passwd", filepath.Join(dir, "passwd"))
	stack.Says(t, text(t, filepath.Join(dir, "passwd")), "root:x:0:0")
}

// Tars that mean harm stay inside the container's folder they are unpacked to.
func TestHostileTarsStayInTheContainer(t *testing.T) {
	t.Parallel()
	s := shared(t)
	name, dir := named(t, s, "hostile"), t.TempDir()
	s.OK(t, "create", "--name", name, stack.Busybox, "cat", filepath.Join(dir, "through"))
	send := func(list ...tar.Header) stack.Result {
		t.Helper()
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for _, h := range list {
			h.Size, h.Mode = int64(len("evil")), 0o644
			if h.Typeflag != tar.TypeReg {
				h.Size = 0
			}
			if err := w.WriteHeader(&h); err != nil {
				t.Fatal(err)
			}
			if h.Size > 0 {
				_, _ = w.Write([]byte("evil"))
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return s.Do(&b, filepath.Join(s.Bin, "lus"), "cp", "-", name+":/tmp")
	}
	up := strings.Repeat("../", 20)
	send(tar.Header{Name: up + dir[1:] + "/up", Typeflag: tar.TypeReg}).Want(t, 1)
	send(tar.Header{Name: "out", Typeflag: tar.TypeSymlink, Linkname: dir}, tar.Header{Name: "out/through", Typeflag: tar.TypeReg})
	put(t, filepath.Join(dir, "secret"), "secret")
	send(tar.Header{Name: "hard", Typeflag: tar.TypeLink, Linkname: up + filepath.Join(dir, "secret")[1:]}).Want(t, 1)
	list, err := os.ReadDir(dir)
	if err != nil || len(list) != 1 {
		t.Errorf("the host's folder holds %v: %v", list, err)
	}
}
