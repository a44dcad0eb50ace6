package scenarios

import (
	"path/filepath"
	"testing"

	"lus/test/stack"
)

// What others wrote gives no orders to a terminal; a file or a program gets it as
// it is.
func TestNamesOfOthersGiveNoOrdersToTheTerminal(t *testing.T) {
	t.Parallel()
	s := shared(t)
	const label = "\x1b]0;owned\a\x1b[2Jgone"
	name := named(t, s, "orders")
	s.OK(t, "run", "-d", "--name", name, "--label", "l="+label, stack.Busybox, "sleep", "1000")
	// A session that ends takes with it what nobody has read yet.
	onTerminal := func(args ...string) *stack.Terminal {
		return s.TerminalOf(t, "sh", append([]string{"-c", `"$0" "$@"; read x`, filepath.Join(s.Bin, "lus")}, args...)...)
	}
	for _, args := range [][]string{
		{"ps", "--filter", "name=" + name, "--format", "{{.Labels}}"},
		{"ps", "--filter", "name=" + name, "--format", "table {{.Names}}\t{{.Labels}}"},
		{"inspect", "--format", "{{.Config.Labels.l}}", name},
		{"events", "--since", "10m", "--until", "0s", "--filter", "container=" + name},
		{"rm", label},
	} {
		term := onTerminal(args...)
		term.Sees("gone")
		stack.Lacks(t, term.Screen(), "\x1b", "\a")
		if out := s.Lus(args...).All(); args[0] != "rm" {
			stack.Says(t, out, label)
		}
	}
	// The user's own orders are carried out.
	term := onTerminal("ps", "--filter", "name="+name, "--format", "\x1b[1m{{.Names}}")
	term.Sees("\x1b[1m" + name)
}

// Of what a build prints a terminal gets the colours, and nothing else that it
// obeys; a Dockerfile that is quoted has not even those.
func TestBuildsGiveNoOrdersToTheTerminal(t *testing.T) {
	t.Parallel()
	s := shared(t)
	dir := stack.Folder(t, map[string]string{
		"Dockerfile":   "FROM busybox\nRUN printf '\\033[31mred\\033[0m\\033[2J\\033]0;owned\\007gone\\n'\n",
		"Quoted":       "FROM busybox\r\nMAINTAINER \x1b]0;owned\agone\r\n",
		"compose.yaml": "name: " + named(t, s, "orders") + "\nservices: {a: {build: .}}\n",
	})
	lus := filepath.Join(s.Bin, "lus")
	on := func(args ...string) string {
		term := s.TerminalOf(t, "sh", append([]string{"-c", `"$0" "$@"; echo over; read x`, lus}, args...)...)
		term.Sees("over")
		return term.Screen()
	}
	for _, args := range [][]string{
		{"build", "--no-cache", "--progress", "plain", dir},
		{"compose", "--project-directory", dir, "--progress", "plain", "build", "--no-cache"},
		{"compose", "--project-directory", dir, "build", "--no-cache"},
	} {
		screen := on(args...)
		stack.Says(t, screen, "\x1b[31mred\x1b[0mgone")
		stack.Lacks(t, screen, "\x1b[2J", "\a")
	}
	stack.Says(t, s.Lus("build", "--no-cache", "--progress", "plain", dir).All(), "\x1b[31mred\x1b[0m\x1b[2J\x1b]0;owned\agone")

	screen := on("build", "--check", "-f", filepath.Join(dir, "Quoted"), dir)
	stack.Says(t, screen, "MAINTAINER ?]0;owned?gone")
	stack.Lacks(t, screen, "\x1b", "\a")
	stack.Says(t, s.Lus("build", "--check", "-f", filepath.Join(dir, "Quoted"), dir).All(), "\x1b]0;owned\agone")
}
