package engine

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"lus/internal/base/errs"
	"lus/internal/linux/runtime"
	"lus/internal/model/task"
)

// failing is a runtime that has nothing left to end.
type failing struct{ runtime.Runtime }

func (failing) Signal(context.Context, task.Key, int) error { return nil }
func (failing) Ack(context.Context, task.Key, uint64) error { return nil }

// TestAFailedExecHasTheCodeOfItsFailure, not that of the init that was to become
// the program, whenever the end of that is told.
func TestAFailedExecHasTheCodeOfItsFailure(t *testing.T) {
	e := &Engine{Deps: Deps{Runtime: failing{}, Log: slog.New(slog.DiscardHandler), Now: time.Now}, execs: map[string]*execution{}}
	x := &execution{unit: &unit{execs: map[string]*execution{}}, id: "x", gen: 1, starting: true, ended: make(chan struct{})}
	e.execs[x.id] = x
	e.execEnded(task.Status{Key: x.key(), Generation: 1, Exit: &task.Exit{Code: 125}})
	if x.code != nil {
		t.Fatalf("while it starts it has ended with %d", *x.code)
	}
	e.execFailed(x, errs.New(errs.CommandNotFound, "executable file not found"))
	if x.code == nil || *x.code != 127 || x.starting {
		t.Errorf("it ended with %v, starting: %v", x.code, x.starting)
	}
}

// Looking through all that ended at each exec made the ten-thousandth take a
// millisecond longer than the first.
func TestExecsThatEndedAreSweptNowAndThen(t *testing.T) {
	now := time.Now()
	e := &Engine{execs: map[string]*execution{}}
	code := 0
	end := func(id string, ago time.Duration) {
		e.execs[id] = &execution{id: id, code: &code, endedAt: now.Add(-ago)}
	}
	e.sweepExecs(now)
	end("old", execKept+time.Second)
	e.sweepExecs(now.Add(execsSweep / 2))
	if e.execs["old"] == nil {
		t.Error("each one sweeps")
	}
	end("young", 0)
	e.execs["running"] = &execution{id: "running"}
	e.sweepExecs(now.Add(execsSweep))
	if e.execs["old"] != nil || e.execs["young"] == nil || e.execs["running"] == nil {
		t.Errorf("there are %v", e.execs)
	}
}
