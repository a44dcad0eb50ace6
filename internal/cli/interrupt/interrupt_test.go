package interrupt_test

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"lus/internal/cli/interrupt"
)

// undone is the file that the program below makes when it is interrupted.
const undone = "LUS_TEST_UNDONE"

func TestMain(m *testing.M) {
	if file := os.Getenv(undone); file != "" {
		done := interrupt.Undo(func() { _ = os.WriteFile(file, nil, 0o600) })
		if os.Getenv("LUS_TEST_DONE") != "" {
			done()
		}
		_, _ = os.Stdout.WriteString("ready\n")
		select {}
	}
	os.Exit(m.Run())
}

// ended runs the program, sends it a signal, and tells how it ended and whether
// it undid what it had to.
func ended(t *testing.T, s syscall.Signal, env ...string) (by syscall.Signal, undid bool) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "undone")
	// Whoever runs the tests may ignore signals, as nohup does, and so would the program.
	cmd := exec.Command("env", "--default-signal", self)
	cmd.Env = append(os.Environ(), append(env, undone+"="+file)...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	status, _ := cmd.ProcessState.Sys().(syscall.WaitStatus)
	_, err = os.Stat(file)
	return status.Signal(), err == nil
}

func TestWhatASignalEndsIsUndoneFirst(t *testing.T) {
	for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		if by, undid := ended(t, s); by != s || !undid {
			t.Errorf("%v: it ended by %v, undone: %v", s, by, undid)
		}
		if by, undid := ended(t, s, "LUS_TEST_DONE=1"); by != s || undid {
			t.Errorf("%v, when nothing is left to undo: it ended by %v, undone: %v", s, by, undid)
		}
	}
}
