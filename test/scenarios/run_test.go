package scenarios

import (
	"strings"
	"testing"

	"lus/test/stack"
)

func TestS30HelloWorldIsPulledOnce(t *testing.T) {
	t.Parallel()
	s := shared(t)
	ref := stack.Registry(t) + "/library/hello-world:latest"
	stack.PushBusybox(t, ref, "echo", "Hello from Lus!")

	first := s.Lus("run", "--name", named(t, s, "hello"), ref)
	first.Want(t, 0)
	stack.Says(t, first.Err, "Unable to find image '"+ref+"' locally")
	stack.Says(t, first.Out, "Hello from Lus!")

	name := named(t, s, "hello")
	second := s.Lus("run", "--name", name, ref)
	second.Want(t, 0)
	if strings.Contains(second.Err, "Unable to find") {
		t.Errorf("the second run pulled again:\n%s", second.Err)
	}
	if running := s.OK(t, "ps", "-q", "--filter", "name="+name); running != "" {
		t.Errorf("ps lists the ended container %s", running)
	}
	stack.Says(t, s.OK(t, "ps", "-a", "--filter", "name="+name), "Exited (0)", name)
}

func TestS31AlpineListsItsFiles(t *testing.T) {
	t.Skip("Alpine's packages cannot be had without a registry; TestS37 runs a given command on busybox")
}

func TestS32AlpineOnATerminal(t *testing.T) {
	t.Skip("Alpine's packages cannot be had without a registry; TestTerminal has the same on busybox")
}

func TestTerminalWithResizeAndExitCode(t *testing.T) {
	t.Parallel()
	s := shared(t)
	term := s.Terminal(t, "run", "-it", "--rm", "--name", named(t, s, "tty"), stack.Busybox, "sh")
	term.Type("stty size; tty\n")
	term.Sees("24 80")
	term.Sees("/dev/pts/")
	term.Resize(40, 132)
	term.Type("until stty size | grep -q 132; do sleep 0.05; done; stty size; echo re''sized\n")
	term.Sees("resized")
	term.Sees("40 132")
	term.Type("echo sle''eps; sleep 1000\n")
	term.Sees("sleeps")
	term.Type("\x03") // Ctrl-C reaches the program inside
	term.Asks("echo interrupt''ed $?", "interrupted 130")
	term.Type("exit 3\n")
	if code := term.Ends(); code != 3 {
		t.Errorf("exit code %d, want 3", code)
	}
}

func TestS37AContainerLivesAsLongAsItsMainProcess(t *testing.T) {
	t.Parallel()
	s := shared(t)
	short, long := named(t, s, "short"), named(t, s, "long")
	s.OK(t, "run", "-d", "--name", short, stack.Busybox, "true")
	s.OK(t, "run", "-d", "--name", long, stack.Busybox, "sleep", "300")
	if code := s.OK(t, "wait", short); code != "0" {
		t.Errorf("true ended with %s", code)
	}
	stack.Says(t, s.OK(t, "ps", "-a", "--filter", "name="+short), "Exited (0)")
	stack.Says(t, s.OK(t, "ps", "--filter", "name="+long), "Up ")
	s.OK(t, "kill", long)
	stack.Says(t, s.OK(t, "ps", "-a", "--filter", "name="+long), "Exited (137)")
}

func TestExitCodesAreDockers(t *testing.T) {
	t.Parallel()
	s := shared(t)
	for _, c := range []struct {
		what string
		code int
		args []string
	}{
		{"the process's own", 7, []string{"run", "--rm", stack.Busybox, "sh", "-c", "exit 7"}},
		{"a command that does not exist", 127, []string{"run", "--rm", stack.Busybox, "no-such-program"}},
		{"a command that may not run", 126, []string{"run", "--rm", stack.Busybox, "/etc/passwd"}},
		{"an engine error", 125, []string{"run", "--rm", "--network", "no-such-network", stack.Busybox, "true"}},
		{"an unknown flag", 125, []string{"run", "--no-such-flag", stack.Busybox, "true"}},
	} {
		if r := s.Lus(c.args...); r.Code != c.code {
			t.Errorf("%s: exit code %d, want %d\n%s", c.what, r.Code, c.code, r.All())
		}
	}
}

func TestS44EnvironmentFromFlagAndFile(t *testing.T) {
	t.Parallel()
	s := shared(t)
	image := "s44-" + named(t, s, "env")
	s.Build(t, image, map[string]string{"Dockerfile": "FROM busybox\nENV NAME=image GREETING=hello\n"}).Want(t, 0)
	t.Cleanup(func() { s.Lus("rmi", "-f", image) })
	file := stack.Folder(t, map[string]string{"env": "# a comment\nFROM_FILE=yes\nNAME=file\n"}) + "/env"

	out := s.OK(t, "run", "--rm", "-e", "NAME=Lus", "--env-file", file, image, "env")
	stack.Says(t, out, "NAME=Lus", "FROM_FILE=yes", "GREETING=hello")
	if strings.Contains(out, "NAME=image") || strings.Contains(out, "NAME=file") {
		t.Errorf("-e does not win:\n%s", out)
	}
	stack.Says(t, s.OK(t, "run", "--rm", "--env-file", file, image, "env"), "NAME=file")
}

func TestLimitsAndIdentityReachTheProcess(t *testing.T) {
	t.Parallel()
	s := shared(t)
	out := s.OK(t, "run", "--rm", "--hostname", "box", "-w", "/srv/here", "-u", "1000:1001", "--read-only",
		"--cap-drop", "ALL", "--cap-add", "NET_RAW", "--label", "a=b", stack.Busybox,
		"sh", "-c", "hostname; pwd; id -u; id -g; touch /x 2>&1; grep -E 'CapBnd|Seccomp:' /proc/self/status")
	stack.Says(t, out, "box", "/srv/here", "1000", "1001", "Read-only file system", "CapBnd:\t0000000000002000", "Seccomp:\t2")

	over := s.Lus("run", "--rm", "--memory", "16m", stack.Busybox, "sh", "-c", "dd if=/dev/zero of=/dev/null bs=64M count=1")
	if over.Code != 137 {
		t.Errorf("a process over its memory ended with %d, want 137\n%s", over.Code, over.All())
	}
	forks := s.Lus("run", "--rm", "--pids-limit", "4", stack.Busybox, "sh", "-c", "for i in 1 2 3 4 5 6 7 8; do sleep 5 & done; wait")
	if forks.Code == 0 || !strings.Contains(forks.All(), "fork") {
		t.Errorf("eight children fit into a limit of four: code %d\n%s", forks.Code, forks.All())
	}
}
