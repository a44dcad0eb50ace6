package keeper

import (
	"encoding/json"
	"os"
	"testing"

	"lus/internal/base/layout"
	"lus/internal/model/task"
)

// TestARecordIsWholeAtAnyMoment: whoever takes over from a keeper that was killed
// finds the start or the end of each process, whatever the keeper was doing.
func TestARecordIsWholeAtAnyMoment(t *testing.T) {
	dir := t.TempDir()
	s := &server{layout: layout.Resolve(dir, dir), boot: "boot"}
	if err := os.Mkdir(s.records(), 0o700); err != nil {
		t.Fatal(err)
	}
	p := &proc{Status: task.Status{Key: task.Key{Container: "c"}, Phase: task.Running}}
	if err := s.record(p); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.Phase, p.Exit = task.Ended, &task.Exit{Code: 7}
		for range 3000 {
			s.recordExit(p)
		}
	}()
	for looking := true; looking; {
		select {
		case <-done:
			looking = false
		default:
		}
		b, err := os.ReadFile(s.recordPath(p.Key))
		if err != nil {
			t.Fatal(err)
		}
		var l leftover
		if len(b) > recordHead {
			_ = json.Unmarshal(b[recordHead:], &l)
		}
		if started, ended := l.Phase == task.Running, l.Exit != nil && l.Exit.Code == 7; !started && !ended {
			t.Fatalf("a record of %d bytes: %q", len(b), b)
		}
	}
}
