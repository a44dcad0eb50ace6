package scenarios

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"lus/test/need"
	"lus/test/stack"
)

// TestTheLookSeesEverything: a comparison proves nothing unless a running
// container shows in every kind of it.
func TestTheLookSeesEverything(t *testing.T) {
	t.Parallel()
	s := stack.Start(t)
	before := s.Still()
	s.OK(t, "run", "-d", "--name", "seen", "-p", stack.Port(t)+":80", stack.Busybox, "sleep", "300")
	diff := before.Diff(s.Look())
	for _, kind := range []string{stack.Mounts, stack.Interfaces, stack.Rules, stack.Cgroups, stack.Processes, stack.Sockets, stack.Files, stack.Records} {
		if !strings.Contains("\n"+diff, "\n+ "+kind+" ") {
			t.Errorf("a running container shows no %s in:\n%s", kind, diff)
		}
	}
	s.OK(t, "rm", "-f", "seen")
	s.Unchanged(t, before)
}

func TestBadInputSaysWhatToDoAndLeavesNothing(t *testing.T) {
	t.Parallel()
	s := stack.Start(t)
	registry := stack.Registry(t)
	s.OK(t, "run", "--rm", stack.Busybox, "true") // what is made once is there now
	for _, c := range []struct {
		what string
		code int
		says []string
		args []string
	}{
		{"an image that no registry has", 125, []string{registry + "/no/such"}, []string{"run", "--rm", registry + "/no/such", "true"}},
		{"a registry that is not there", 125, []string{"127.0.0.1:1"}, []string{"run", "--rm", "127.0.0.1:1/a/b", "true"}},
		{"an image's name that is none", 125, []string{"UPPER", "lowercase"}, []string{"run", "--rm", "UPPER", "true"}},
		{"an unknown flag", 125, []string{"--nonsense", "--help"}, []string{"run", "--nonsense", stack.Busybox, "true"}},
		{"an unknown command", 1, []string{"nonsense", "--help"}, []string{"nonsense"}},
		{"no image at all", 1, []string{"run"}, []string{"run"}},
		{"a command that does not exist", 127, []string{"nonsense"}, []string{"run", "--rm", stack.Busybox, "nonsense"}},
		{"a path that does not exist", 127, []string{"/no/such"}, []string{"run", "--rm", stack.Busybox, "/no/such"}},
		{"a command that may not run", 126, []string{"/etc/passwd"}, []string{"run", "--rm", stack.Busybox, "/etc/passwd"}},
		{"a folder as command", 126, []string{"/etc"}, []string{"run", "--rm", stack.Busybox, "/etc"}},
		{"a user who is not there", 125, []string{"nobody-here"}, []string{"run", "--rm", "-u", "nobody-here", stack.Busybox, "true"}},
		{"a network that is not there", 125, []string{"no-net"}, []string{"run", "--rm", "--network", "no-net", stack.Busybox, "true"}},
		{"a port that is none", 125, []string{"99999"}, []string{"run", "--rm", "-p", "99999:80", stack.Busybox, "true"}},
		{"a name with a slash", 125, []string{"../up"}, []string{"run", "--rm", "--name", "../up", stack.Busybox, "true"}},
		{"a volume outside", 125, []string{"../up"}, []string{"run", "--rm", "-v", "../up:relative", stack.Busybox, "true"}},
		{"a mount's source that is not there", 125, []string{"/no/such/source"}, []string{"run", "--rm", "--mount", "type=bind,src=/no/such/source,dst=/x", stack.Busybox, "true"}},
		{"memory that is too little", 125, []string{"memory"}, []string{"run", "--rm", "--memory", "1k", stack.Busybox, "true"}},
		{"a capability that is none", 125, []string{"FLYING"}, []string{"run", "--rm", "--cap-add", "FLYING", stack.Busybox, "true"}},
		{"an environment file that is not there", 125, []string{"/no/env"}, []string{"run", "--rm", "--env-file", "/no/env", stack.Busybox, "true"}},
		{"a container that is not there", 1, []string{"No such container", "ghost"}, []string{"start", "ghost"}},
	} {
		t.Run(c.what, func(t *testing.T) {
			before := s.Still()
			r := s.Lus(c.args...)
			if r.Code != c.code {
				t.Errorf("exit code %d, want %d", r.Code, c.code)
			}
			stack.Says(t, r.Err, c.says...)
			if r.Out != "" {
				t.Errorf("it wrote to standard output: %q", r.Out)
			}
			s.Unchanged(t, before)
		})
	}
}

func TestABrokenComposeFileIsPointedAt(t *testing.T) {
	t.Parallel()
	s := stack.Start(t)
	for _, c := range []struct {
		what, file string
		says       []string
	}{
		{"a key that is none", "services:\n  web:\n    image: busybox\n    prots: [\"80\"]\n", []string{"compose.yaml:4", "prots"}},
		{"not YAML", "services:\n  web:\n   image: busybox\n  - nonsense: [\n", []string{"compose.yaml:4", "not YAML"}},
		{"no image and no build", "services:\n  web:\n    command: \"true\"\n", []string{"web", "image", "build"}},
		{"a service that is not there", "services:\n  web:\n    image: busybox\n    depends_on: [db]\n", []string{"web", "db"}},
		{"a cycle", "services:\n  a: {image: busybox, depends_on: [b]}\n  b: {image: busybox, depends_on: [c]}\n  c: {image: busybox, depends_on: [a]}\n", []string{"cycle", "a", "b", "c"}},
		{"a network that is not there", "services:\n  web:\n    image: busybox\n    networks: [nowhere]\n", []string{"web", "nowhere"}},
		{"a port that is none", "services:\n  web:\n    image: busybox\n    ports: [\"http:80\"]\n", []string{"http"}},
		{"an image that is not there", "services:\n  web:\n    image: 127.0.0.1:1/no/such\n", []string{"127.0.0.1:1/no/such"}},
	} {
		t.Run(c.what, func(t *testing.T) {
			dir := stack.Folder(t, map[string]string{"compose.yaml": c.file})
			before := s.Still()
			r := s.DoIn(dir, nil, filepath.Join(s.Bin, "lus"), "compose", "-p", "broken", "up", "-d")
			if r.Code == 0 {
				t.Errorf("it was accepted:\n%s", r.All())
			}
			stack.Says(t, r.Err, c.says...)
			s.Lus("network", "rm", "broken_default") // made before its service failed, as with docker compose
			s.Unchanged(t, before)
		})
	}
	dir := stack.Folder(t, nil)
	r := s.DoIn(dir, nil, filepath.Join(s.Bin, "lus"), "compose", "up", "-d")
	if r.Code == 0 {
		t.Error("a folder without a compose file was accepted")
	}
	stack.Says(t, r.Err, "compose.yaml")
}

func TestAFullDiskIsSaid(t *testing.T) {
	t.Parallel()
	s := stack.Idle(t)
	if err := os.MkdirAll(s.Root, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("lus-test", s.Root, "tmpfs", 0, "size=48m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(s.Root, syscall.MNT_DETACH) })
	s.StartDaemon(t)
	s.ImportBusybox(t)
	s.OK(t, "run", "-d", "--name", "runs", stack.Busybox, "sh", "-c", "while :; do echo line; usleep 10000; done")
	before := s.Still()
	full := filepath.Join(s.Root, "full")
	fill(t, full)

	said := s.Fail(t, 125, "run", "--rm", stack.Busybox, "true")
	stack.Says(t, said, "no space left on device", s.Root)
	if got := s.OK(t, "inspect", "--format", "{{.State.Status}}", "runs"); got != "running" {
		t.Errorf("the container that ran is %s", got)
	}

	if err := os.Remove(full); err != nil {
		t.Fatal(err)
	}
	s.OK(t, "run", "--rm", stack.Busybox, "true")
	s.Unchanged(t, before)
}

// fill writes until nothing more fits.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 1 << 20; size > 0; {
		if _, err := f.Write(make([]byte, size)); err != nil {
			size /= 2
		}
	}
}

func TestADaemonThatIsNotThere(t *testing.T) {
	t.Parallel()
	s := stack.Idle(t)
	nowhere := filepath.Join(t.TempDir(), "nobody.sock")
	for args, code := range map[string]int{"ps": 1, "run --rm busybox true": 125, "exec x true": 1} {
		r := s.Do(nil, "env", append([]string{"LUS_HOST=unix://" + nowhere, s.Bin + "/lus"}, strings.Fields(args)...)...)
		if r.Code != code {
			t.Errorf("lus %s: exit code %d, want %d", args, r.Code, code)
		}
		stack.Says(t, r.Err, nowhere, "lusd")
	}
}

func TestTheFirstCommandStartsTheDaemonAndSaysSoOnce(t *testing.T) {
	t.Parallel()
	s := stack.Idle(t)
	t.Cleanup(func() {
		for _, pid := range s.Daemons() {
			_ = syscall.Kill(pid, syscall.SIGTERM)
		}
		stack.Eventually(t, "the daemon's end", func() bool { return len(s.Daemons()) == 0 })
	})
	bare := append([]string{"-i"}, s.Bare()...)
	first := s.Do(nil, "env", append(bare, s.Bin+"/lus", "ps")...)
	first.Want(t, 0)
	stack.Says(t, first.Err, "lusd")
	second := s.Do(nil, "env", append(bare, s.Bin+"/lus", "ps")...)
	second.Want(t, 0)
	if second.Err != "" {
		t.Errorf("the second command says %q", second.Err)
	}
	if n := len(s.Daemons()); n != 1 {
		t.Errorf("%d daemons run", n)
	}
}

func TestASecondDaemonOnTheSameRoot(t *testing.T) {
	t.Parallel()
	s := stack.Start(t)
	s.OK(t, "run", "-d", "--name", "runs", stack.Busybox, "sleep", "300")
	before := s.Still()
	r := s.Do(nil, filepath.Join(s.Bin, "lusd"), "--root", s.Root, "--run", s.Run+"2")
	if r.Code == 0 {
		t.Error("a second daemon took the root")
	}
	stack.Says(t, r.All(), s.Root, "--root")
	s.Unchanged(t, before)
	s.OK(t, "exec", "runs", "true")
}

func TestAStopIsCleanAndContainersGoOn(t *testing.T) {
	t.Parallel()
	s := stack.Start(t)
	s.OK(t, "run", "-d", "--name", "runs", stack.Busybox, "sleep", "300")
	pid := s.OK(t, "inspect", "--format", "{{.State.Pid}}", "runs")
	if code := s.Stop(); code != 0 {
		t.Errorf("on SIGTERM the daemon ended with %d", code)
	}
	if _, err := os.Stat("/proc/" + pid); err != nil {
		t.Errorf("the container ended with its daemon: %v", err)
	}
	s.StartDaemon(t)
	if got := s.OK(t, "inspect", "--format", "{{.State.Pid}}", "runs"); got != pid {
		t.Errorf("the container has pid %s, had %s", got, pid)
	}
}

// TestAStopEndsWhatIsOpen: followers, waits, execs and a build that hangs do not
// hold the daemon up, and none of their commands starts another one.
func TestAStopEndsWhatIsOpen(t *testing.T) {
	t.Parallel()
	s := stack.Start(t)
	s.OK(t, "run", "-d", "--name", "runs", stack.Busybox, "sleep", "300")
	folder := stack.Folder(t, map[string]string{"Dockerfile": "FROM " + stack.Busybox + "\nRUN trap '' TERM; sleep 300\n"})
	bare := append([]string{"-i"}, s.Bare()...)
	var open sync.WaitGroup
	for _, args := range [][]string{{"logs", "-f", "runs"}, {"events"}, {"wait", "runs"}, {"attach", "runs"}, {"exec", "runs", "sleep", "300"}, {"build", folder}} {
		open.Go(func() { s.Do(nil, "env", append(append(bare[:len(bare):len(bare)], s.Bin+"/lus"), args...)...) })
	}
	stack.Eventually(t, "the exec and the build's step", func() bool {
		return strings.Count(strings.Join(s.Look()[stack.Processes], "\n"), "sleep 300") >= 3
	})
	// One that came later would find no daemon, and rightly start one.
	stack.Eventually(t, "all six to be with the daemon", func() bool { return s.Clients() == 6 })
	if code := s.Stop(); code != 0 {
		t.Errorf("the daemon ended with %d", code)
	}
	open.Wait()
	if n := len(s.Daemons()); n != 0 {
		t.Errorf("%d daemons were started anew", n)
	}
	s.StartDaemon(t)
	if got := s.OK(t, "inspect", "--format", "{{.State.Status}}", "runs"); got != "running" {
		t.Errorf("the container is %s", got)
	}
}

// TestAStopWithNothingRunningLeavesNothing: the helpers end, bridges, rules and
// cgroups go; what is on disk is found again.
func TestAStopWithNothingRunningLeavesNothing(t *testing.T) {
	t.Parallel()
	s := stack.Start(t)
	s.OK(t, "network", "create", "app")
	s.OK(t, "run", "-d", "--name", "over", "--network", "app", "-p", stack.Port(t)+":80", stack.Busybox, "sleep", "300")
	s.OK(t, "kill", "over")
	r := s.Lus("system", "stop")
	r.Want(t, 0)
	if r.Err != "" {
		t.Errorf("it says %q", r.Err)
	}
	s.Stop() // waits for its end
	for kind, lines := range s.Still().Less(stack.Files, stack.Records) {
		if len(lines) > 0 {
			t.Errorf("%s left behind:\n%s", kind, strings.Join(lines, "\n"))
		}
	}
	s.StartDaemon(t)
	s.OK(t, "start", "over")
	stack.Says(t, s.OK(t, "run", "--rm", "--network", "app", stack.Busybox, "nslookup", "over"), "Address")

	r = s.Lus("system", "stop")
	r.Want(t, 0)
	stack.Says(t, r.Err, "1 container runs on")
	s.Stop()
	if left := s.Look(); len(left[stack.Interfaces]) == 0 || len(left[stack.Rules]) == 0 || len(left[stack.Processes]) < 3 {
		t.Errorf("what runs lost something: %v", left.Less(stack.Files))
	}
}

func TestTwoDaemonsSideBySide(t *testing.T) {
	t.Parallel()
	need.Root(t)
	a, b := stack.Start(t), stack.Start(t)
	for _, s := range []*stack.Stack{a, b} {
		s.OK(t, "network", "create", "same")
		s.OK(t, "run", "-d", "--name", "same", "--network", "same", stack.Busybox, "httpd", "-f", "-h", "/etc")
		s.Listens(t, "same", 80)
	}
	a.OK(t, "rm", "-f", "same")
	stack.Says(t, b.OK(t, "run", "--rm", "--network", "same", stack.Busybox, "wget", "-qO-", "http://same/passwd"), "root:")
	if got := a.OK(t, "ps", "-q"); got != "" {
		t.Errorf("the first daemon sees %s", got)
	}
}

// TestADaemonThatCannotStartSaysWhy: whoever had it started sees its last words,
// and nothing of it stays.
func TestADaemonThatCannotStartSaysWhy(t *testing.T) {
	t.Parallel()
	s := stack.Idle(t)
	bin := t.TempDir()
	for _, name := range []string{"lus", "lusd", "lus-keeper"} { // and no lus-dns
		data, err := os.ReadFile(filepath.Join(s.Bin, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(bin, name), data, 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	r := s.Do(nil, "env", append(append([]string{"-i"}, s.Bare()...), filepath.Join(bin, "lus"), "ps")...)
	if r.Code != 1 || !strings.Contains(r.Err, "lus-dns is missing: install it beside lusd") || strings.Contains(r.Err, "lus: started the daemon") {
		t.Errorf("exit code %d: %s%s", r.Code, r.Out, r.Err)
	}
	if left := s.Look()[stack.Processes]; len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
