package keeper

import (
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A pid is used again: who has it now is not who ended.
func TestAStrangersPidIsUsedAgain(t *testing.T) {
	cmd := exec.Command("sleep", "600")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := cmd.Process.Pid
	var r strangers
	r.note(pid, unix.WaitStatus(7<<8), time.Now())
	if ws, dead := r.take(pid); dead {
		t.Errorf("one that runs is told to have ended with %d", ws.ExitStatus())
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	r.note(pid, unix.WaitStatus(7<<8), time.Now())
	if ws, dead := r.take(pid); !dead || ws.ExitStatus() != 7 {
		t.Errorf("one that ended: %v, %d", dead, ws.ExitStatus())
	}
	if _, dead := r.take(pid); dead {
		t.Error("an end is told twice")
	}
}

// One init that hangs does not have all ends be remembered for good.
func TestStrangersAreForgottenInTheEnd(t *testing.T) {
	var r strangers
	at := time.Now()
	for i := range 100_000 {
		r.note(1+i%30_000, 0, at.Add(time.Duration(i)*time.Second))
		if most := int((strangerTime + sweepTime) / time.Second); len(r.ended) > most+1 {
			t.Fatalf("%d are remembered", len(r.ended))
		}
	}
	r.forget()
	if len(r.ended) != 0 {
		t.Errorf("%d are left", len(r.ended))
	}
}
