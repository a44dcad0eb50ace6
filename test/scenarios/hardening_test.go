package scenarios

import (
	"archive/tar"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"lus/internal/base/ids"
	"lus/test/stack"
)

// Known escapes from other engines, tried on the whole of ours. Those of the
// runtime alone are in internal/linux/runtime, those of images' layers in
// internal/service/image.

// CVE-2019-5736 on the real daemon: the image's command is the runtime's own
// program by /proc/self/exe, for run and for exec; what the host runs for the
// next container must be what it was.
func TestCVE2019_5736TheHostsProgramsStay(t *testing.T) {
	t.Parallel()
	s := shared(t)
	name := named(t, s, "trap")
	before := programs(t, s)
	s.OK(t, "run", "-d", "--name", name, stack.Busybox, "sh", "-c", `printf '#!/proc/self/exe\n' > /trap && chmod 755 /trap
while :; do for p in /proc/[0-9]*; do ( exec 5<>$p/exe && echo overwritten >&5 ); done; done 2>/dev/null`)
	stack.Eventually(t, "the trap", func() bool { return s.Lus("exec", name, "test", "-x", "/trap").Code == 0 })
	for range 10 {
		if r := s.Lus("exec", name, "/trap"); r.Code == 0 || r.Out != "" {
			t.Errorf("the runtime's program, run by the image, ended with %d: %s", r.Code, r.All())
		}
		s.OK(t, "exec", name, "true")
	}
	s.OK(t, "run", "--rm", stack.Busybox, "true")
	if after := programs(t, s); after != before {
		t.Errorf("the programs of the host were\n%s\nand are\n%s", before, after)
	}
}

func programs(t *testing.T, s *stack.Stack) string {
	t.Helper()
	return s.Do(nil, "sh", "-c", "cd "+s.Bin+" && sha256sum lus lusd lus-keeper lus-dns").Want(t, 0)
}

// CVE-2024-21626 on the real daemon and keeper, which have files of the host
// open: a working directory by /proc/self/fd leads nowhere, in run, exec and
// the image's own WORKDIR.
func TestCVE2024_21626TheWorkingDirectoryStaysInside(t *testing.T) {
	t.Parallel()
	s := shared(t)
	name := named(t, s, "stays")
	s.OK(t, "run", "-d", "--name", name, stack.Busybox, "sleep", "300")
	const open = "ls /proc/self/fd | tr '\\n' ' '" // the last is the folder that ls reads
	for what, args := range map[string][]string{"run": {"run", "--rm", stack.Busybox}, "exec": {"exec", name}} {
		if got := s.OK(t, append(args, "sh", "-c", open)...); got != "0 1 2 3" {
			t.Errorf("%s: a process starts with the descriptors %s", what, got)
		}
	}
	for fd := 3; fd < 24; fd++ {
		cwd := fmt.Sprintf("/proc/self/fd/%d", fd)
		for _, args := range [][]string{{"run", "--rm", "-w", cwd, stack.Busybox, "pwd"}, {"exec", "-w", cwd, name, "pwd"}} {
			if r := s.Lus(args...); r.Code == 0 {
				t.Errorf("%s: %s", r.Line, r.Out)
			}
		}
	}
	image, _ := built(t, s, "FROM busybox\nRUN ln -s /proc/self/fd/8 /way\nWORKDIR /way\n", "-q")
	if r := s.Lus("run", "--rm", image, "pwd"); r.Code == 0 {
		t.Errorf("the image's working directory was entered: %s", r.Out)
	}
}

// CVE-2020-15257: a container with the host's network reaches every abstract
// socket; containerd's let it command the engine. None of ours is abstract, and
// those with a path are root's alone.
func TestCVE2020_15257NoSocketIsAbstract(t *testing.T) {
	t.Parallel()
	s := shared(t)
	s.OK(t, "run", "--rm", stack.Busybox, "true") // keeper and names run
	ours := map[string]bool{}
	var pids []string
	links, _ := filepath.Glob("/proc/[0-9]*/exe")
	for _, l := range links {
		exe, _ := os.Readlink(l)
		if !strings.HasPrefix(exe, s.Bin+"/lus") {
			continue
		}
		pids = append(pids, strings.Split(l, "/")[2])
		fds, _ := filepath.Glob(filepath.Dir(l) + "/fd/*")
		for _, fd := range fds {
			if to, _ := os.Readlink(fd); strings.HasPrefix(to, "socket:[") {
				ours[strings.Trim(to, "socket:[]")] = true
			}
		}
	}
	if len(ours) == 0 {
		t.Fatal("no process of ours has a socket: the test looks at nothing")
	}
	seen := s.OK(t, "run", "--rm", "--network", "host", stack.Busybox, "cat", "/proc/net/unix")
	for _, line := range strings.Split(seen, "\n") {
		if f := strings.Fields(line); len(f) > 7 && ours[f[6]] && strings.HasPrefix(f[7], "@") {
			t.Errorf("an abstract socket: %s", line)
		}
	}
	// Nor by the folders of processes, where a container sees those of the host.
	for _, pid := range pids[:min(len(pids), 6)] {
		line := fmt.Sprintf("ls /proc/%[1]s/root/ /proc/%[1]s/cwd/ 2>&1; cat /proc/%[1]s/fd/3 /proc/%[1]s/fd/5 /proc/%[1]s/environ /proc/%[1]s/mem 2>&1", pid)
		r := s.Lus("run", "--rm", "--network", "host", "--pid", "host", stack.Busybox, "sh", "-c", line)
		for _, said := range strings.Split(strings.TrimSpace(r.All()), "\n") {
			// It may have ended: other tests have daemons too.
			if !strings.Contains(said, "ermission denied") && !strings.Contains(said, "No such") {
				t.Errorf("of our process %s a container has: %s", pid, said)
			}
		}
	}
	for _, path := range []string{s.Socket(), s.KeeperSocket(), s.DNSSocket()} {
		if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v, want a socket of mode 0600", path, st, err)
		}
		if r := s.Lus("run", "--rm", "--network", "host", stack.Busybox, "test", "-e", path); r.Code != 1 {
			t.Errorf("%s is there in a container with the host's network", path)
		}
	}
}

// nobody runs a program of the host as a user without rights.
func nobody(words ...string) error {
	cmd := exec.Command(words[0], words[1:]...)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	return cmd.Run()
}

// CVE-2021-41091: folders of the engine that any user of the host may enter
// make the setuid programs of images setuid programs of the host.
func TestCVE2021_41091OtherUsersReachNothing(t *testing.T) {
	t.Parallel()
	s := shared(t) // Debian is in it, with its setuid programs
	name, vol := named(t, s, "reach"), volume(t, s)
	s.OK(t, "run", "-d", "--name", name, "-v", vol+":/v", stack.Debian, "sh", "-c",
		"cp /usr/bin/su /v/su && chmod 4755 /v/su && cp -a /v/su /own-su && touch /done && sleep 300")
	stack.Eventually(t, "the setuid programs", func() bool { return s.Lus("exec", name, "test", "-e", "/done").Code == 0 })
	if err := nobody("test", "-x", "/"); err != nil {
		t.Fatalf("not even the host's root can be entered by others: %v", err)
	}
	programs := map[string]int{}
	// Its exit code tells only of files that went meanwhile.
	found := s.Do(nil, "find", s.Root, "-type", "f", "-perm", "/6000").Out
	for _, path := range strings.Fields(found) {
		rel, _ := filepath.Rel(s.Root, path)
		kind, _, _ := strings.Cut(rel, "/")
		// One look is dear; the first of each kind stand for their siblings.
		if programs[kind]++; programs[kind] < 5 && nobody("test", "-e", path) == nil {
			t.Errorf("any user can reach %s", path)
		}
	}
	for _, in := range []string{"images", "containers", "volumes"} {
		if programs[in] == 0 {
			t.Errorf("no setuid program below %s: the test looks at nothing", in)
		}
	}
	for _, dir := range []string{s.Root, s.Images(), s.Containers(), s.Volumes()} {
		if st, err := os.Stat(dir); err == nil && nobody("ls", dir) == nil {
			t.Errorf("any user can list %s (%v)", dir, st.Mode())
		}
	}
	// What was closed to others must not be closed to the container's own users.
	if got := s.OK(t, "run", "--rm", "-u", "1000:1000", "-v", vol+":/v", stack.Busybox, "ls", "/v"); got != "su" {
		t.Errorf("a user of a container sees in its volume: %q", got)
	}
}

// CVE-2022-23648: an image's VOLUME leads by links to a folder of the host,
// which is copied into the new volume, or mounted over.
func TestCVE2022_23648AVolumeIsFilledFromTheImageOnly(t *testing.T) {
	t.Parallel()
	s := shared(t)
	host := t.TempDir()
	if err := os.WriteFile(filepath.Join(host, "secret"), []byte("the host's"), 0o644); err != nil {
		t.Fatal(err)
	}
	up := strings.Repeat("../", 20)
	image, _ := built(t, s, "FROM busybox\nRUN mkdir -p /real && echo mine > /real/file && ln -s "+host+" /absolute && ln -s "+up+host+" /climbing && ln -s /real /inside\n"+
		"VOLUME /absolute /climbing "+"/inside /x/"+up+host+"\n", "-q")
	name := named(t, s, "filled")
	r := s.Lus("run", "--name", name, image, "sh", "-c", "cat /inside/file; find / -xdev -name secret; ls /absolute /climbing")
	if strings.Contains(r.All(), "secret") {
		t.Errorf("the host's file is in the container:\n%s", r.All())
	}
	sources := strings.Fields(s.OK(t, "inspect", "-f", "{{range .Mounts}}{{.Source}} {{end}}", name))
	if len(sources) != 4 {
		t.Errorf("%d volumes, want 4", len(sources))
	}
	for _, dir := range sources {
		if _, err := os.Lstat(filepath.Join(dir, "secret")); err == nil || !strings.HasPrefix(dir, s.Volumes()) {
			t.Errorf("the volume %s was filled from the host", dir)
		}
	}
	if entries, err := os.ReadDir(host); err != nil || len(entries) != 1 {
		t.Errorf("the host's folder has changed: %v %v", entries, err)
	}
}

// CVE-2022-36109, CVE-2022-29162, CVE-2022-24769: a process's own group is
// among its groups, so that leaving it gains nothing; nothing is inheritable.
func TestCVE2022_36109GroupsAndInheritableCapabilities(t *testing.T) {
	t.Parallel()
	s := shared(t)
	const look = "grep -E '^(Groups|CapInh|CapAmb):' /proc/self/status | tr -d ' \\t' | tr '\\n' ' '"
	for _, c := range []struct {
		flags []string
		want  string
	}{
		{nil, "Groups:0 "},
		{[]string{"-u", "1000:1001"}, "Groups:1001 "},
		{[]string{"-u", "1000:1001", "--group-add", "7", "--group-add", "1001"}, "Groups:71001 "},
		{[]string{"-u", "nobody"}, "Groups:65534 "},
		{[]string{"--cap-add", "ALL"}, "Groups:0 "},
		{[]string{"--privileged"}, "Groups:0 "},
	} {
		want := c.want + "CapInh:0000000000000000 CapAmb:0000000000000000"
		name := named(t, s, "groups")
		s.OK(t, append(append([]string{"run", "-d", "--name", name}, c.flags...), stack.Busybox, "sh", "-c", look+"; sleep 300")...)
		stack.Eventually(t, "its output", func() bool { return s.OK(t, "logs", name) != "" })
		if got := s.OK(t, "logs", name); got != want {
			t.Errorf("run %v: %q, want %q", c.flags, got, want)
		}
		if got := s.OK(t, "exec", name, "sh", "-c", look); got != want {
			t.Errorf("exec after %v: %q, want %q", c.flags, got, want)
		}
	}
}

// A layer brings device nodes: they are there, and cannot be opened.
func TestDeviceNodesOfALayerAreShut(t *testing.T) {
	t.Parallel()
	s := shared(t)
	var disk unix.Stat_t
	if err := unix.Stat("/", &disk); err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, h := range []tar.Header{
		{Name: "disk", Typeflag: tar.TypeBlock, Devmajor: int64(unix.Major(disk.Dev)), Devminor: int64(unix.Minor(disk.Dev)), Mode: 0o666},
		{Name: "mem", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 1, Mode: 0o666},
		{Name: "kmsg", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 11, Mode: 0o666},
	} {
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	dir := stack.Folder(t, map[string]string{"devices.tar": buf.String(), "Dockerfile": "FROM busybox\nADD devices.tar /\n"})
	image := "devices-" + ids.Short(ids.New())[:6]
	s.OK(t, "build", "-q", "-t", image, dir)
	t.Cleanup(func() { s.Lus("rmi", "-f", image) })
	for _, flags := range [][]string{nil, {"--cap-add", "ALL"}} {
		out := s.OK(t, append(append([]string{"run", "--rm"}, flags...), image, "sh", "-c",
			"test -b /disk && test -c /mem && echo there; for d in disk mem kmsg; do ( : < /$d ) 2>&1; ( : > /$d ) 2>&1; done | grep -c 'Operation not permitted'")...)
		if out != "there\n6" {
			t.Errorf("%v: %q, want the nodes there and six refusals", flags, out)
		}
	}
}

// TestADaemonStartedInPassingHoldsNothing: a shell's lock that lus was started
// with is free when the shell is done, though the daemon that lus started lives.
func TestADaemonStartedInPassingHoldsNothing(t *testing.T) {
	t.Parallel()
	s := stack.Idle(t)
	lock := filepath.Join(t.TempDir(), "lock")
	bare := append([]string{"-i"}, s.Bare()...)
	r := s.Do(nil, "env", append(bare, "sh", "-c", `exec 9>"$0"; flock 9; lus ps -q`, lock)...)
	r.Want(t, 0)
	if !strings.Contains(r.Err, "started the daemon") {
		t.Fatalf("no daemon was started: %s", r.Err)
	}
	s.Do(nil, "flock", "-n", lock, "true").Want(t, 0)
	s.OK(t, "system", "stop")
}
