package engine_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"lus/internal/base/errs"
	"lus/internal/model/container"
)

// archiveOf is a tar of one file.
func archiveOf(name, text string) (io.Reader, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	err := w.WriteHeader(&tar.Header{Name: name, Size: int64(len(text)), Mode: 0o440, Uid: 7, Gid: 8})
	if err == nil {
		_, err = w.Write([]byte(text))
	}
	return &b, errors.Join(err, w.Close())
}

func one(t testing.TB, name, text string) io.Reader {
	t.Helper()
	r, err := archiveOf(name, text)
	must(t, err)
	return r
}

func TestAContainerIsMadeWithItsFilesOrNotAtAll(t *testing.T) {
	h := start(t)
	h.create("whole", "stat -c '%a %u %g' /run/secrets/key; cat /run/secrets/key", func(r *container.CreateRequest) {
		r.Files, r.HostConfig.ReadonlyRootfs = one(t, "run/secrets/key", "hidden\n"), true
	})
	must(t, h.engine.StartContainer(context.Background(), "whole"))
	h.wait("whole", "not-running")
	if got := h.logs("whole"); got != "440 7 8\nhidden\n" {
		t.Errorf("it saw %q", got)
	}
	req := request("true")
	req.Files = io.MultiReader(one(t, "a", "a"), &broken{})
	if _, err := h.engine.CreateContainer(context.Background(), "half", req); err == nil {
		t.Error("a container was made with half of its files")
	}
	if _, err := h.engine.InspectContainer(context.Background(), "half", false); !errs.Is(err, errs.NotFound) {
		t.Errorf("of one that could not be made there is something left: %v", err)
	}
}

type broken struct{}

func (*broken) Read([]byte) (int, error) { return 0, errors.New("broken off") }

// Whenever the daemon dies: a container that is there has its files.
func TestKilledWhileAContainerIsMadeWithFiles(t *testing.T) {
	root := newRoot(t)
	const rounds = 8
	for round := range rounds {
		c := crash(t, root)
		c.order("run steady%d while :; do sleep 0.05; done", round)
		c.send("files half%d", round)
		time.Sleep(time.Duration(round) * 2 * time.Millisecond)
		c.die()
	}
	h := reopen(t, root)
	for round := range rounds {
		name := fmt.Sprint("half", round)
		if err := h.engine.StartContainer(context.Background(), name); errs.Is(err, errs.NotFound) {
			continue
		} else if err != nil {
			t.Fatal(err)
		}
		h.wait(name, "not-running")
		if got := h.logs(name); got != "hidden\n" {
			t.Errorf("%s saw %q", name, got)
		}
	}
}
