package scenarios

import (
	"syscall"
	"testing"

	"lus/test/stack"
)

// Whatever ends lus, the terminal is as it was.
func TestATerminalIsGivenBackWhenASignalEndsTheProgram(t *testing.T) {
	t.Parallel()
	s := shared(t)
	name := named(t, s, "shell")
	s.OK(t, "run", "-dit", "--name", name, stack.Busybox, "sh")
	for _, args := range [][]string{{"exec", "-it", name, "sh"}, {"attach", name}} {
		term := s.Terminal(t, args...)
		term.Type("echo in''side\n")
		term.Sees("inside")
		if term.Echoes() {
			t.Errorf("%s: the terminal is not raw", args[0])
		}
		term.Signal(syscall.SIGTERM)
		term.Ends()
		if !term.Echoes() {
			t.Errorf("%s: the terminal stayed raw", args[0])
		}
	}

	login := s.Terminal(t, "login", "registry.example")
	login.Sees("Username: ")
	login.Type("me\n")
	login.Sees("Password: ")
	stack.Eventually(t, "what is typed is hidden", func() bool { return !login.Echoes() })
	login.Type("\x03")
	login.Ends()
	if !login.Echoes() {
		t.Error("what is typed stays hidden")
	}

	build := s.Terminal(t, "build", "--no-cache", stack.Folder(t, map[string]string{"Dockerfile": "FROM busybox\nRUN echo sl''eeps; sleep 1000\n"}))
	build.Sees("# sleeps")
	build.Type("\x03")
	build.Sees("\x1b[?25h") // the cursor is shown again
	build.Ends()
}

// A signal that comes from elsewhere is for the program in the container, on a
// terminal too.
func TestASignalToRunOnATerminalGoesInside(t *testing.T) {
	t.Parallel()
	s := shared(t)
	term := s.Terminal(t, "run", "-it", "--rm", "--name", named(t, s, "traps"), stack.Busybox,
		"sh", "-c", "trap 'echo tra''pped; exit 7' TERM; echo re''ady; while :; do sleep 0.1; done")
	term.Sees("ready")
	term.Signal(syscall.SIGTERM)
	if code := term.Ends(); code != 7 || !term.Echoes() {
		t.Errorf("it ended with %d", code)
	}
}

// Who joins a terminal sees what is drawn there: the program is told of a size,
// also where that is the one it has.
func TestWhoJoinsATerminalSeesItDrawn(t *testing.T) {
	t.Parallel()
	s := shared(t)
	name := named(t, s, "draws")
	s.OK(t, "run", "-dit", "--name", name, stack.Busybox, "sh", "-c", "trap 'echo dra''wn' WINCH; echo re''ady; while :; do sleep 0.1; done")
	await(t, s, name, "ready")
	for range 2 {
		term := s.Terminal(t, "attach", name)
		term.Sees("drawn")
		term.Type("\x10\x11")
		term.Ends()
	}
}
