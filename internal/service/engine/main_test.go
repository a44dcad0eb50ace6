package engine_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

const (
	inHost   = "LUS_ENGINE_TEST_HOST"  // set in the process that plays the host
	binDir   = "LUS_ENGINE_TEST_BIN"   // where lus-keeper and lus-dns were built
	childEnv = "LUS_ENGINE_TEST_CHILD" // the root of an engine to run until killed
)

// TestMain runs the tests in a network namespace of their own, which plays the
// host, with a keeper and a name server built for them.
func TestMain(m *testing.M) {
	switch {
	case os.Getenv(childEnv) != "":
		if err := child(os.Getenv(childEnv)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	case os.Geteuid() != 0:
		os.Exit(m.Run()) // what needs root says so
	case os.Getenv(inHost) != "":
		if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "%v\n%s", err, out)
		}
		os.Exit(m.Run())
	default:
		if err := host(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}

// host builds the programs and runs the tests where nothing of the machine's
// networks can be touched.
func host() error {
	dir, err := os.MkdirTemp("", "lus-engine-bin-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	for _, name := range []string{"lus-keeper", "lus-dns"} {
		build := exec.Command("go", "build", "-o", filepath.Join(dir, name), "lus/cmd/"+name)
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("building %s: %w\n%s", name, err, out)
		}
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), inHost+"=1", binDir+"="+dir)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS}
	return cmd.Run()
}

// child runs an engine over root until it is killed. "ready" on its standard
// output says that it answers; it then obeys lines of standard input.
func child(root string) error {
	h, err := openHouse(root)
	if err != nil {
		return err
	}
	go func() { _ = h.engine.Run(context.Background()) }()
	fmt.Println("ready")
	return h.obey(os.Stdin, os.Stdout)
}
