package scenarios

import (
	"fmt"
	"os"
	"sync"
	"testing"

	"lus/internal/base/ids"
	"lus/test/need"
	"lus/test/stack"
)

// one is the stack that most tests share, so that images are built once. A
// test that kills the daemon or compares the machine starts one of its own.
var one struct {
	once  sync.Once
	stack *stack.Stack
	err   error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if one.stack != nil {
		if left := one.stack.Remove(); left != "" {
			fmt.Println("the shared stack left behind:\n" + left)
			code = 1
		}
	}
	os.Exit(code)
}

// shared is the shared stack, with busybox and Debian in it.
func shared(t *testing.T) *stack.Stack {
	t.Helper()
	need.Root(t)
	one.once.Do(func() {
		s, err := stack.New()
		if err != nil {
			one.err = err
			return
		}
		one.stack = s
		if one.err = s.Up(); one.err == nil {
			s.ImportBusybox(t)
			s.ImportDebian(t)
		}
	})
	if one.err != nil {
		need.Unmet(t, "a stack: %v", one.err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the daemon's last lines:\n%s", one.stack.DaemonLog(30))
		}
	})
	return one.stack
}

// named is a name that no other test has; what bears it is removed at the end.
func named(t *testing.T, s *stack.Stack, word string) string {
	t.Helper()
	name := word + "-" + ids.Short(ids.New())[:6]
	t.Cleanup(func() { s.Lus("rm", "-f", "-v", name) })
	return name
}

// network makes a network that goes with the test.
func network(t *testing.T, s *stack.Stack) string {
	t.Helper()
	name := "n-" + ids.Short(ids.New())[:6]
	s.OK(t, "network", "create", name)
	t.Cleanup(func() { s.Lus("network", "rm", name) })
	return name
}

// volume is a name for a volume that goes with the test.
func volume(t *testing.T, s *stack.Stack) string {
	t.Helper()
	name := "v-" + ids.Short(ids.New())[:6]
	t.Cleanup(func() { s.Lus("volume", "rm", "-f", name) })
	return name
}
