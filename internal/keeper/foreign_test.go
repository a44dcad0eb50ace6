package keeper_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	initproc "lus/internal/linux/init"
	"lus/internal/model/task"
)

// A step that fails after the word to go was sent, and before the init has
// looked for it, is told all the same: it did not become the program.
func TestAStepThatFailsWithTheWordOnItsWayIsTold(t *testing.T) {
	b := start(t)
	goOn := filepath.Join(t.TempDir(), "go-on")
	var p initproc.Program
	p.Ready()
	p.Run(time.Minute, "/", []string{"/bin/sh", "-c", "until [ -e " + goOn + " ]; do sleep 0.01; done; exit 1"}, []string{"PATH=/usr/bin:/bin"})
	p.Wait()
	p.Done()
	program, err := p.Memfd()
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	k := key("fails")
	if _, err := b.Create(t.Context(), &task.Create{Key: k, Generation: 1, Streams: task.Streams{Kind: task.StreamNull}}, program); err != nil {
		t.Fatal(err)
	}
	// The word is sent, and its answer not waited for; the keeper serves the
	// requests of a connection in order.
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := b.Go(ctx, k); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("the start ended before its step: %v", err)
	}
	if _, err := b.List(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(goOn, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var failed *task.StepError
	if _, err := b.Go(t.Context(), k); !errors.As(err, &failed) || !strings.HasPrefix(failed.Step, "run ") {
		t.Errorf("the start said %v, want the step that failed", err)
	}
}
