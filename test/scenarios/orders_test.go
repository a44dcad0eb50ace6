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
