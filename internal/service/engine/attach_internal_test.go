package engine

import (
	"errors"
	"io"
	"os"
	"sync"
	"testing"
	"time"

	"lus/internal/base/layout"
	"lus/internal/model/container"
	"lus/internal/store/logs"
)

// Whoever has read the output of a run to its end does not hold it any more, though
// it still waits for something, as for the removal: the next run of an unlogged
// container waits until the output of the former is gone.
func TestOutputThatWasReadToTheEndIsNotHeld(t *testing.T) {
	e := &Engine{Deps: Deps{Layout: layout.Layout{Root: t.TempDir()}}, hub: logs.NewHub()}
	defer e.hub.Close()
	u := newUnit(&container.Container{ID: "x", Config: &container.Config{}, HostConfig: &container.HostConfig{}}, nil)
	if err := os.MkdirAll(e.paths(u.id).dir, 0o700); err != nil {
		t.Fatal(err)
	}
	left := make(chan struct{})
	out, err := e.attachOutput(t.Context(), u, u.run, container.AttachOptions{Stdout: true, Stream: true}, sync.OnceFunc(func() { close(left) }))
	if err != nil {
		t.Fatal(err)
	}
	close(u.run.ended)
	if _, err := out.Next(); !errors.Is(err, io.EOF) {
		t.Fatalf("after the end: %v", err)
	}
	select {
	case <-left:
	case <-time.After(time.Minute):
		t.Error("it is held until it is closed")
	}
	_ = out.Close()
}
