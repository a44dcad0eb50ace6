package ociruntime

import (
	"context"
	"strings"

	"lus/internal/base/errs"
	"lus/internal/linux/runtime"
	"lus/internal/model/task"
)

// Exec implements runtime.Runtime. An exec of another runtime begins all at
// once, so the runtime is run at the start; until then there is no pid.
func (r *Runtimes) Exec(ctx context.Context, id, execID string, e *runtime.Exec) (*runtime.Process, error) {
	name := r.of(id)
	if name == "" {
		return r.Native.Exec(ctx, id, execID, e)
	}
	switch {
	case execID == "" || strings.ContainsAny(execID, "/\x00"):
		return nil, errs.New(errs.Invalid, "an exec needs an id")
	case e.Process == nil || len(e.Process.Args) == 0 || e.Process.Args[0] == "":
		return nil, errs.New(errs.Invalid, "no command specified")
	}
	program, err := find(name)
	if err != nil {
		return nil, err
	}
	b := r.bundle(name, id)
	b.program = program
	defer b.close()
	if err := b.compileExec(execID, e); err != nil {
		b.forget(execID)
		return nil, err
	}
	key := task.Key{Container: id, Exec: execID}
	_, err = r.fork(ctx, b, &task.Create{Key: key, Generation: e.Generation, Streams: e.Streams, Tied: e.Tied}, e.Given)
	if err != nil {
		b.forget(execID)
		return nil, err
	}
	if e.Go {
		err = r.Start(ctx, key)
	}
	return &runtime.Process{}, err
}

func (b *bundle) compileExec(execID string, e *runtime.Exec) error {
	process := *e.Process
	terminal(&process, e.Streams)
	if err := b.write(processOf(execID), &process); err != nil {
		return err
	}
	b.init.Ready()
	b.init.Wait()
	b.init.Subreaper() // or one that ends at once would be reaped before it is named
	words := []string{"exec", "--detach", "--process", b.path(processOf(execID)), "--pid-file", b.path(pidOf(execID))}
	if err := b.runWith(process.Terminal, execID, words...); err != nil {
		return err
	}
	b.init.Adopt(b.path(pidOf(execID)))
	b.init.Done()
	return nil
}

// runWith has the init run the runtime's command and hand on the terminal that
// it makes, where it makes one.
func (b *bundle) runWith(terminal bool, execID string, words ...string) error {
	if !terminal {
		b.run(execID, words...)
		return nil
	}
	socket, err := b.listen(consoleOf(execID))
	if err != nil {
		return err
	}
	b.run(execID, append(words, "--console-socket", consoleOf(execID))...)
	b.init.Terminal(socket)
	return nil
}
